#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "conf/clock.h"
#include "fetch/auth/token_cache.h"
#include "fetch/http/redirect.h"
#include "fetch/http/transport.h"

namespace ocirepofs {

struct RegistryAccess;

/// Waits that long; false when `stop` was requested instead.
using Sleeper = std::function<bool(std::chrono::nanoseconds, std::stop_token)>;

/// A request at a registry's own origin, whichever scheme that turns out to have.
struct RegistryRequest {
  HttpRequest::Method method = HttpRequest::Method::kGet;
  std::string target;  // path and query
  std::vector<std::pair<std::string, std::string>> headers;
  size_t max_body = size_t{4} << 20;
  std::function<Result<void>(const HttpResponse&)> check_headers;
  /// Whether 408 and some 5xx are asked for again; a broken connection always is.
  bool retry_statuses = true;
};

/// A final answer: redirects were followed, a challenge was met as far as that is possible.
struct RegistryAnswer {
  HttpResponse response;
  std::string request;  // DescribeRequest, for messages
  std::string url;      // that was asked first

  bool IsSuccess() const { return response.status / 100 == 2; }
};

/// Gets one request to a registry and an answer back: decides the scheme, presents tokens, follows
/// redirects, tries again after passing failures. Any thread.
class RegistryChannel {
 public:
  RegistryChannel(Transport* transport, const Clock* clock, Sleeper sleeper);

  /// Once the sink has seen a byte, the request is not repeated.
  Result<RegistryAnswer> Send(const RegistryAccess& access, const RegistryRequest& request,
                              const BodySink* sink, const std::stop_token& stop);

  /// The answer's status as an error.
  tl::unexpected<Error> StatusFailure(const RegistryAnswer& answer) const;

 private:
  struct Attempt;

  std::vector<std::string_view> Schemes(const RegistryAccess& access) const;
  void RememberScheme(const RegistryAccess& access, std::string_view scheme);
  void ForgetScheme(const RegistryAccess& access);

  Result<RegistryAnswer> TryRepeatedly(Attempt& attempt);
  Result<RegistryAnswer> TrySchemes(Attempt& attempt);
  Result<RegistryAnswer> TryAuthenticated(Attempt& attempt, const Url& url);

  Transport* const transport_;
  const Clock* const clock_;
  const Sleeper sleeper_;
  TokenCache tokens_;
  mutable std::mutex mutex_;
  /// By registry and insecure: the scheme that last gave an answer. Guarded by mutex_.
  std::map<std::pair<std::string, bool>, std::string_view> schemes_;
};

}  // namespace ocirepofs
