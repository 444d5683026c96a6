#include "fetch/http/curl_transport.h"

#include <curl/curl.h>

#include <algorithm>
#include <cstdlib>
#include <new>
#include <stop_token>
#include <utility>

#include "fetch/http/curl_transfer.h"
#include "fetch/http/origin.h"

namespace ocirepofs {
namespace {

constexpr size_t kMaxIdle = 32;
constexpr size_t kMaxIdlePerKey = 4;
constexpr std::chrono::milliseconds kMaxPoll = std::chrono::seconds(10);

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

void InitializeCurl() {
  static const CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (code != CURLE_OK) throw std::bad_alloc();
}

/// Connections are shared only between requests that would have opened the same one.
std::string PoolKey(const Url& url, const HttpRequest& request) {
  return fmt::format("{}://{} {} {}", url.origin.scheme, url.origin.ToString(),
                     request.skip_tls_verification, static_cast<int>(request.nearest));
}

}  // namespace

/// The multi handle owns the connections, and unlike curl_easy_perform it can be woken.
struct CurlTransport::Handle {
  Handle() {
    if (easy == nullptr || multi == nullptr) throw std::bad_alloc();
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, 1L);
  }
  ~Handle() {
    curl_easy_cleanup(easy);
    curl_multi_cleanup(multi);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  Result<HttpResponse> Run(CurlTransfer& transfer, const std::stop_token& stop);

  CURL* const easy = curl_easy_init();
  CURLM* const multi = curl_multi_init();
};

Result<HttpResponse> CurlTransport::Handle::Run(CurlTransfer& transfer,
                                                const std::stop_token& stop) {
  const std::stop_callback wake(stop, [this] { curl_multi_wakeup(multi); });
  while (true) {
    int running = 0;
    const CURLMcode code = curl_multi_perform(multi, &running);
    if (code != CURLM_OK) return Fail(ErrorCode::kUnavailable, "{}", curl_multi_strerror(code));
    if (running == 0) break;
    if (stop.stop_requested()) return Fail(ErrorCode::kCancelled, "the transfer was stopped");
    auto wait = kMaxPoll;
    if (const auto stalls_at = transfer.StallsAt()) {
      const auto left = *stalls_at - std::chrono::steady_clock::now();
      if (left <= left.zero()) return transfer.Stalled();
      wait = std::min(wait, std::chrono::ceil<std::chrono::milliseconds>(left));
    }
    curl_multi_poll(multi, nullptr, 0, static_cast<int>(wait.count()), nullptr);
  }
  int queued = 0;
  const CURLMsg* message = curl_multi_info_read(multi, &queued);
  return transfer.Finish(message == nullptr ? CURLE_FAILED_INIT : message->data.result);
}

CurlTransport::CurlTransport(std::string user_agent)
    : user_agent_(std::move(user_agent)), ca_file_(Environment("SSL_CERT_FILE")) {
  InitializeCurl();
}

CurlTransport::~CurlTransport() = default;

Result<HttpResponse> CurlTransport::Perform(const HttpRequest& request, const BodySink* sink,
                                            std::stop_token stop) {
  if (stop.stop_requested()) return Fail(ErrorCode::kCancelled, "the transfer was stopped");
  const Result<Url> url = ParseUrl(request.url);
  if (!url) return tl::unexpected(url.error());
  const std::string key = PoolKey(*url, request);
  std::unique_ptr<Handle> handle = Take(key);
  Result<HttpResponse> response = Fail(ErrorCode::kUnavailable, "the transfer was not started");
  {
    // Its end resets the handle, and must come before others may have it.
    CurlTransfer transfer(handle->easy, request, *url, sink);
    if (const Result<void> prepared = transfer.Prepare(user_agent_, ca_file_); !prepared) {
      return tl::unexpected(prepared.error());
    }
    const CURLMcode code = curl_multi_add_handle(handle->multi, handle->easy);
    if (code != CURLM_OK) return Fail(ErrorCode::kUnavailable, "{}", curl_multi_strerror(code));
    response = handle->Run(transfer, stop);
    // An unfinished transfer's connection is closed by this.
    curl_multi_remove_handle(handle->multi, handle->easy);
  }
  Return(key, std::move(handle));
  return response;
}

std::unique_ptr<CurlTransport::Handle> CurlTransport::Take(const std::string& key) {
  {
    const std::lock_guard lock(mutex_);
    // The most recently used is the likeliest to be still connected.
    const auto found = std::find_if(idle_.rbegin(), idle_.rend(),
                                    [&](const Idle& idle) { return idle.key == key; });
    if (found != idle_.rend()) {
      std::unique_ptr<Handle> handle = std::move(found->handle);
      idle_.erase(std::next(found).base());
      return handle;
    }
  }
  return std::make_unique<Handle>();
}

void CurlTransport::Return(const std::string& key, std::unique_ptr<Handle> handle) {
  std::unique_ptr<Handle> surplus;  // closed without the lock: that may take a round trip
  const std::lock_guard lock(mutex_);
  const auto same = [&](const Idle& idle) { return idle.key == key; };
  if (static_cast<size_t>(std::ranges::count_if(idle_, same)) >= kMaxIdlePerKey) {
    surplus = std::move(handle);
    return;
  }
  if (idle_.size() >= kMaxIdle) {
    surplus = std::move(idle_.front().handle);
    idle_.pop_front();
  }
  idle_.push_back({key, std::move(handle)});
}

}  // namespace ocirepofs
