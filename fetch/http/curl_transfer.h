#pragma once

#include <curl/curl.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "fetch/http/origin.h"
#include "fetch/http/transport.h"

namespace ocirepofs {

/// One exchange on one libcurl easy handle: its options, its callbacks and what they collected.
/// One thread.
class CurlTransfer {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  /// All arguments outlive the transfer.
  CurlTransfer(CURL* easy, const HttpRequest& request, const Url& url, const BodySink* sink);
  /// Leaves the handle reset, so that nothing in it points here. REQUIRES: the handle is not
  /// running.
  ~CurlTransfer();
  CurlTransfer(const CurlTransfer&) = delete;
  CurlTransfer& operator=(const CurlTransfer&) = delete;

  /// Sets the options. Fails on a header that would not stay one line.
  Result<void> Prepare(const std::string& user_agent, const std::string& ca_file);

  /// When the transfer has stalled unless more arrives; only with a sink.
  std::optional<TimePoint> StallsAt() const;

  /// The outcome, once libcurl has ended the transfer with `code`.
  Result<HttpResponse> Finish(CURLcode code);
  /// The outcome of a transfer that is given up because it stalled.
  Result<HttpResponse> Stalled() const;

 private:
  static size_t OnHeader(char* data, size_t size, size_t count, void* self);
  static size_t OnBody(char* data, size_t size, size_t count, void* self);
  static curl_socket_t OnOpenSocket(void* self, curlsocktype purpose, curl_sockaddr* address);

  bool TakeHeader(std::string_view line);
  bool TakeBody(std::span<const std::byte> data);
  bool Stop(tl::unexpected<Error> error);
  bool IsSuccess() const { return response_.status >= 200 && response_.status < 300; }
  /// "GET localhost:5000"
  std::string Name() const;
  tl::unexpected<Error> Describe(CURLcode code) const;

  CURL* const easy_;
  const HttpRequest& request_;
  const Url& url_;
  const BodySink* const sink_;
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> header_list_;
  std::array<char, CURL_ERROR_SIZE> curl_message_{};

  HttpResponse response_;
  size_t header_bytes_ = 0;
  bool headers_complete_ = false;
  std::optional<Error> error_;
  TimePoint progress_time_;
  size_t bytes_since_progress_ = 0;
};

}  // namespace ocirepofs
