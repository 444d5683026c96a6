#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "conf/error.h"
#include "fetch/http/address.h"

namespace ocirepofs {

struct HttpResponse {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;
  /// Of the address that answered, or of the proxy's where there is one.
  AddressClass peer = AddressClass::kPublic;

  /// The first value of that name, null when absent.
  const std::string* Header(std::string_view lower_case_name) const;
};

struct HttpRequest {
  enum class Method { kGet, kHead, kPost };

  Method method = Method::kGet;
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string body = {};  // POST only
  /// Bounds the whole exchange; with a body sink it bounds the time without progress instead.
  std::chrono::nanoseconds timeout = std::chrono::seconds(60);
  /// Accept any server certificate (spec.insecure).
  bool skip_tls_verification = false;
  /// Longer bodies end in kLimitExceeded. Bodies that go to a sink are bounded by the sink.
  size_t max_body = size_t{4} << 20;
  /// Addresses nearer than this, as the name resolves, are not connected to (kMalformed).
  AddressClass nearest = AddressClass::kLinkLocal;
  /// Sees status and headers of a 2xx answer before its body; an error ends the transfer and
  /// becomes its result.
  std::function<Result<void>(const HttpResponse&)> check_headers = {};
};

/// Takes a piece of a body; an error ends the transfer and becomes its result. Runs on the thread
/// that called Transport::Perform.
using BodySink = std::function<Result<void>(std::span<const std::byte>)>;

/// One HTTP exchange, without redirects, credentials or retries: those are decided above.
/// Any thread; many at a time.
class Transport {
 public:
  virtual ~Transport() = default;

  /// Any HTTP status is a response. Errors: kUnavailable (connect, TLS, reset, early end),
  /// kMismatch (the server's certificate does not verify), kTimeout, kLimitExceeded, kCancelled
  /// (when `stop` is requested), kMalformed (see `nearest`), and those of the sink and
  /// check_headers. The body of a 2xx answer goes to `sink` where there is one; any other body is
  /// collected, and cut at 64 KiB when the status is not 2xx.
  virtual Result<HttpResponse> Perform(const HttpRequest& request, const BodySink* sink,
                                       std::stop_token stop) = 0;
};

}  // namespace ocirepofs
