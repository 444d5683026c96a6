#pragma once

#include <chrono>
#include <stop_token>
#include <string>

#include "conf/clock.h"
#include "fetch/http/origin.h"
#include "fetch/http/transport.h"

namespace ocirepofs {

/// The time an operation has left.
class Deadline {
 public:
  Deadline(const Clock* clock, std::chrono::nanoseconds timeout)
      : clock_(clock), timeout_(timeout), end_(clock->SteadyNow() + timeout) {}

  std::chrono::nanoseconds timeout() const { return timeout_; }
  std::chrono::nanoseconds Left() const { return end_ - clock_->SteadyNow(); }

 private:
  const Clock* clock_;
  std::chrono::nanoseconds timeout_;
  std::chrono::steady_clock::time_point end_;
};

/// What the requests of one exchange have in common. Outlived by all it refers to.
struct Exchange {
  Transport& transport;
  ReachPolicy policy;
  const Deadline& deadline;
  const BodySink* sink = nullptr;
  std::stop_token stop = {};
  /// The first request was answered, whatever came after it.
  bool reached = false;
};

/// The end of a chain of redirects.
struct RedirectedResponse {
  HttpResponse response;
  Url url;               // that answered
  bool foreign = false;  // some hop left the origin that was asked
};

/// Performs a GET or HEAD at `url` and follows up to ten redirects within the policy. The
/// Authorization value, unless empty, goes to the origin of `url` only, and not even there once a
/// hop has left it. The request's url, timeout and nearest are set here, and the policy's nearest
/// when the registry itself answers. A redirect without a location is a response like any other.
Result<RedirectedResponse> PerformRedirected(Exchange& exchange, HttpRequest request,
                                             const Url& url, const std::string& authorization);

/// "GET localhost:5000/v2/a/manifests/1.0": what an error's message starts with. Of a foreign URL,
/// whose path may be a capability, the host only.
std::string DescribeRequest(HttpRequest::Method method, const Url& url, bool foreign);

}  // namespace ocirepofs
