#pragma once

#include <chrono>
#include <compare>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "conf/clock.h"
#include "conf/error.h"

namespace ocirepofs {

/// For whom a token is asked: known before any challenge.
struct TokenHolder {
  std::string origin;      // of the registry, with its scheme
  std::string repository;  // the path
  std::string identity;    // of the credential; empty when anonymous
  friend auto operator<=>(const TokenHolder&, const TokenHolder&) = default;
};

/// What a token is good for: known from the challenge.
struct TokenKey {
  TokenHolder holder;
  std::string realm;
  std::string service;
  std::vector<std::string> scopes;
  friend auto operator<=>(const TokenKey&, const TokenKey&) = default;
};

struct Token {
  std::string value;
  std::chrono::seconds expires_in;
};

/// Bearer tokens in memory, with the challenges that led to them, so that a request can carry its
/// token at once. A token is used for the smaller of 80 % of its lifetime and one hour, by both
/// clocks: the steady one stands still while the machine is suspended. Any thread.
class TokenCache {
 public:
  /// `clock` outlives the cache.
  explicit TokenCache(const Clock* clock) : clock_(clock) {}

  /// The key that was last used for this holder.
  std::optional<TokenKey> LastKey(const TokenHolder& holder) const;

  /// The token, while it is good.
  std::optional<std::string> Find(const TokenKey& key) const;

  /// The token, fetched when there is none. Threads that ask for one key at the same time share one
  /// fetch and its outcome, except that another's cancellation is not theirs.
  Result<std::string> Get(const TokenKey& key, const std::function<Result<Token>()>& fetch,
                          const std::stop_token& stop);

  /// Forgets the token, unless another has taken its place meanwhile.
  void Drop(const TokenKey& key, const std::string& value);

 private:
  struct Entry {
    std::string value;
    std::chrono::steady_clock::time_point steady_end;
    std::chrono::system_clock::time_point wall_end;
  };
  struct Flight {
    std::optional<Result<std::string>> outcome;
  };

  std::optional<std::string> FindLocked(const TokenKey& key) const;
  void StoreLocked(const TokenKey& key, const Token& token);

  const Clock* const clock_;
  mutable std::mutex mutex_;
  std::condition_variable_any landed_;
  // All guarded by mutex_.
  std::map<TokenKey, Entry> tokens_;
  std::map<TokenHolder, TokenKey> last_keys_;
  std::map<TokenKey, std::shared_ptr<Flight>> flights_;
};

}  // namespace ocirepofs
