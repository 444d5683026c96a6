#include "fetch/auth/token_cache.h"

#include <algorithm>
#include <utility>

namespace ocirepofs {
namespace {

constexpr std::chrono::seconds kMaxUse = std::chrono::hours(1);
/// Bounds the memory that registries with ever new realms could claim.
constexpr size_t kMaxEntries = 4096;

}  // namespace

std::optional<TokenKey> TokenCache::LastKey(const TokenHolder& holder) const {
  const std::lock_guard lock(mutex_);
  const auto found = last_keys_.find(holder);
  if (found == last_keys_.end()) return std::nullopt;
  return found->second;
}

std::optional<std::string> TokenCache::Find(const TokenKey& key) const {
  const std::lock_guard lock(mutex_);
  return FindLocked(key);
}

std::optional<std::string> TokenCache::FindLocked(const TokenKey& key) const {
  const auto found = tokens_.find(key);
  if (found == tokens_.end()) return std::nullopt;
  const Entry& entry = found->second;
  if (clock_->SteadyNow() >= entry.steady_end || clock_->WallNow() >= entry.wall_end) {
    return std::nullopt;
  }
  return entry.value;
}

void TokenCache::StoreLocked(const TokenKey& key, const Token& token) {
  if (tokens_.size() >= kMaxEntries || last_keys_.size() >= kMaxEntries) {
    // Losing a token costs one request; keeping an order of use is not worth that.
    tokens_.clear();
    last_keys_.clear();
  }
  const std::chrono::milliseconds lifetime =
      std::clamp(token.expires_in, std::chrono::seconds(0), 2 * kMaxUse);
  const std::chrono::milliseconds use =
      std::min<std::chrono::milliseconds>(lifetime * 4 / 5, kMaxUse);
  tokens_.insert_or_assign(key,
                           Entry{token.value, clock_->SteadyNow() + use, clock_->WallNow() + use});
  last_keys_.insert_or_assign(key.holder, key);
}

Result<std::string> TokenCache::Get(const TokenKey& key,
                                    const std::function<Result<Token>()>& fetch,
                                    const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (true) {
    if (const std::optional<std::string> token = FindLocked(key)) return *token;
    const auto other = flights_.find(key);
    if (other == flights_.end()) break;
    const std::shared_ptr<Flight> flight = other->second;
    if (!landed_.wait(lock, stop, [&] { return flight->outcome.has_value(); })) {
      return Fail(ErrorCode::kCancelled, "stopped while waiting for a token");
    }
    const Result<std::string>& outcome = *flight->outcome;
    if (outcome || outcome.error().code != ErrorCode::kCancelled) return outcome;
  }

  const auto flight = std::make_shared<Flight>();
  flights_.emplace(key, flight);
  lock.unlock();
  const Result<Token> token = fetch();
  lock.lock();
  if (token) {
    StoreLocked(key, *token);
    flight->outcome = token->value;
  } else {
    flight->outcome = tl::unexpected<Error>(token.error());
  }
  flights_.erase(key);
  landed_.notify_all();
  return *flight->outcome;
}

void TokenCache::Drop(const TokenKey& key, const std::string& value) {
  const std::lock_guard lock(mutex_);
  const auto found = tokens_.find(key);
  if (found != tokens_.end() && found->second.value == value) tokens_.erase(found);
}

}  // namespace ocirepofs
