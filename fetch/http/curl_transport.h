#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <string>

#include "fetch/http/transport.h"

namespace ocirepofs {

/// HTTP/1.1 and HTTP/2 through libcurl. Connections are kept for the next request to the same
/// origin with the same TLS settings, in a bounded number; a transfer has its handle for itself, so
/// any number of threads may call Perform. The proxy environment (http_proxy, HTTPS_PROXY,
/// ALL_PROXY, NO_PROXY) counts as for curl, and SSL_CERT_FILE, where set, names the trusted
/// certificates. Does not do cookies, netrc, redirects, content encodings or authentication.
class CurlTransport final : public Transport {
 public:
  /// "ocirepofs/1.0"
  explicit CurlTransport(std::string user_agent);
  ~CurlTransport() override;

  Result<HttpResponse> Perform(const HttpRequest& request, const BodySink* sink,
                               std::stop_token stop) override;

 private:
  struct Handle;
  struct Idle {
    std::string key;
    std::unique_ptr<Handle> handle;
  };

  std::unique_ptr<Handle> Take(const std::string& key);
  void Return(const std::string& key, std::unique_ptr<Handle> handle);

  const std::string user_agent_;
  const std::string ca_file_;
  std::mutex mutex_;
  std::deque<Idle> idle_;  // guarded by mutex_; the longest unused first
};

}  // namespace ocirepofs
