#include "fetch/http/redirect.h"

#include <utility>

#include "conf/printable.h"

namespace ocirepofs {
namespace {

constexpr int kMaxHops = 10;

bool IsRedirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

}  // namespace

std::string DescribeRequest(HttpRequest::Method method, const Url& url, bool foreign) {
  return fmt::format("{} {}{}", method == HttpRequest::Method::kHead ? "HEAD" : "GET",
                     Printable(url.origin.ToString(), 300),
                     foreign ? std::string() : Printable(url.path(), 600));
}

Result<RedirectedResponse> PerformRedirected(Exchange& exchange, HttpRequest request,
                                             const Url& url, const std::string& authorization) {
  RedirectedResponse result{.response = {}, .url = url};
  const auto plain_headers = request.headers;
  for (int hop = 0;; ++hop) {
    const bool at_registry = result.url.origin == exchange.policy.registry && !result.foreign;
    request.url = result.url.ToString();
    request.headers = plain_headers;
    if (!authorization.empty() && !result.foreign) {
      request.headers.emplace_back("Authorization", authorization);
    }
    request.nearest = at_registry ? AddressClass::kLinkLocal : exchange.policy.Limit();
    const std::chrono::nanoseconds left = exchange.deadline.Left();
    const std::string name = DescribeRequest(request.method, result.url, result.foreign);
    if (left <= left.zero()) return Fail(ErrorCode::kTimeout, "{}: no time left", name);
    // With a sink, the transport bounds the time without progress.
    request.timeout = exchange.sink == nullptr ? left : exchange.deadline.timeout();
    Result<HttpResponse> response =
        exchange.transport.Perform(request, exchange.sink, exchange.stop);
    if (!response) return tl::unexpected(response.error());
    exchange.reached = true;
    if (at_registry) exchange.policy.nearest = response->peer;
    const std::string* location = response->Header("location");
    if (!IsRedirect(response->status) || location == nullptr) {
      result.response = std::move(*response);
      return result;
    }

    if (hop == kMaxHops) {
      return Fail(ErrorCode::kMalformed, "{}: more than {} redirects", name, kMaxHops);
    }
    const Result<Url> next = ResolveUrl(result.url, *location);
    if (!next) return Wrap(next.error(), name + ": redirect");
    if (const Result<void> allowed = CheckRedirect(result.url, *next, exchange.policy); !allowed) {
      return Wrap(allowed.error(), name);
    }
    result.foreign = result.foreign || next->origin != url.origin;
    result.url = *next;
  }
}

}  // namespace ocirepofs
