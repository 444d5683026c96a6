#include "fetch/http/curl_transfer.h"

#include <sys/socket.h>

#include <algorithm>
#include <cctype>
#include <system_error>

#include "conf/printable.h"

namespace ocirepofs {
namespace {

constexpr size_t kMaxHeaderBytes = 256 << 10;
constexpr size_t kMaxErrorBody = 64 << 10;
constexpr long kBlobBufferSize = 512 << 10;
constexpr long kConnectTimeoutSeconds = 10;
/// A body that brings less than this in one timeout counts as stalled: without a lower bound, a
/// server could hold a worker for ever with a byte now and then.
constexpr size_t kMinProgress = 16 << 10;

std::string_view MethodName(HttpRequest::Method method) {
  switch (method) {
    case HttpRequest::Method::kGet:
      return "GET";
    case HttpRequest::Method::kHead:
      return "HEAD";
    case HttpRequest::Method::kPost:
      return "POST";
  }
  return "";
}

std::string FormatDuration(std::chrono::nanoseconds duration) {
  const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(duration).count();
  if (milliseconds % 1000 == 0) return fmt::format("{}s", milliseconds / 1000);
  return fmt::format("{}ms", milliseconds);
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
  return lower;
}

std::string_view Trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

bool IsHeaderText(std::string_view text) {
  return std::ranges::none_of(text,
                              [](unsigned char c) { return (c < 0x20 && c != '\t') || c == 0x7f; });
}

template <class T>
T Info(CURL* easy, CURLINFO info) {
  T value{};
  curl_easy_getinfo(easy, info, &value);
  return value;
}

}  // namespace

CurlTransfer::CurlTransfer(CURL* easy, const HttpRequest& request, const Url& url,
                           const BodySink* sink)
    : easy_(easy),
      request_(request),
      url_(url),
      sink_(sink),
      header_list_(nullptr, curl_slist_free_all),
      progress_time_(std::chrono::steady_clock::now()) {}

CurlTransfer::~CurlTransfer() { curl_easy_reset(easy_); }

std::string CurlTransfer::Name() const {
  return fmt::format("{} {}", MethodName(request_.method), Printable(url_.origin.ToString(), 300));
}

Result<void> CurlTransfer::Prepare(const std::string& user_agent, const std::string& ca_file) {
  const auto add_header = [this](const std::string& line) {
    curl_slist* longer = curl_slist_append(header_list_.get(), line.c_str());
    static_cast<void>(header_list_.release());
    header_list_.reset(longer);
  };
  // A digest covers the bytes as stored, so no encoding may come between.
  add_header("Accept-Encoding: identity");
  for (const auto& [name, value] : request_.headers) {
    if (!IsHeaderText(name) || !IsHeaderText(value)) {
      return Fail(ErrorCode::kInvalid, "{}: a request header holds control characters", Name());
    }
    add_header(fmt::format("{}: {}", name, value));
  }

  curl_easy_setopt(easy_, CURLOPT_URL, url_.ToString().c_str());
  curl_easy_setopt(easy_, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy_, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy_, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  curl_easy_setopt(easy_, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
  curl_easy_setopt(easy_, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy_, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy_, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  curl_easy_setopt(easy_, CURLOPT_USERAGENT, user_agent.c_str());
  curl_easy_setopt(easy_, CURLOPT_ERRORBUFFER, curl_message_.data());
  curl_easy_setopt(easy_, CURLOPT_CONNECTTIMEOUT, kConnectTimeoutSeconds);
  if (!ca_file.empty()) curl_easy_setopt(easy_, CURLOPT_CAINFO, ca_file.c_str());
  if (request_.skip_tls_verification) {
    curl_easy_setopt(easy_, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(easy_, CURLOPT_SSL_VERIFYHOST, 0L);
  }

  if (request_.method == HttpRequest::Method::kHead) {
    curl_easy_setopt(easy_, CURLOPT_NOBODY, 1L);
  } else if (request_.method == HttpRequest::Method::kPost) {
    curl_easy_setopt(easy_, CURLOPT_POST, 1L);
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(request_.body.size()));
    curl_easy_setopt(easy_, CURLOPT_POSTFIELDS, request_.body.c_str());
    add_header("Expect:");
  }
  curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, header_list_.get());

  if (sink_ != nullptr) {
    curl_easy_setopt(easy_, CURLOPT_BUFFERSIZE, kBlobBufferSize);
  } else {
    const auto timeout = std::chrono::ceil<std::chrono::milliseconds>(request_.timeout).count();
    // A timeout of 0 would be none.
    curl_easy_setopt(easy_, CURLOPT_TIMEOUT_MS, std::max<long>(timeout, 1));
  }
  curl_easy_setopt(easy_, CURLOPT_HEADERFUNCTION, &CurlTransfer::OnHeader);
  curl_easy_setopt(easy_, CURLOPT_HEADERDATA, this);
  curl_easy_setopt(easy_, CURLOPT_WRITEFUNCTION, &CurlTransfer::OnBody);
  curl_easy_setopt(easy_, CURLOPT_WRITEDATA, this);
  curl_easy_setopt(easy_, CURLOPT_OPENSOCKETFUNCTION, &CurlTransfer::OnOpenSocket);
  curl_easy_setopt(easy_, CURLOPT_OPENSOCKETDATA, this);
  return {};
}

size_t CurlTransfer::OnHeader(char* data, size_t size, size_t count, void* self) {
  const bool ok = static_cast<CurlTransfer*>(self)->TakeHeader({data, size * count});
  return ok ? size * count : 0;
}

size_t CurlTransfer::OnBody(char* data, size_t size, size_t count, void* self) {
  const bool ok =
      static_cast<CurlTransfer*>(self)->TakeBody(std::as_bytes(std::span(data, size * count)));
  return ok ? size * count : 0;
}

curl_socket_t CurlTransfer::OnOpenSocket(void* self, curlsocktype, curl_sockaddr* address) {
  auto* transfer = static_cast<CurlTransfer*>(self);
  if (ClassifyAddress(&address->addr) > transfer->request_.nearest) {
    transfer->error_ =
        Error{ErrorCode::kMalformed,
              fmt::format("{}: refused, its name leads to a local address", transfer->Name())};
    return CURL_SOCKET_BAD;
  }
  return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

bool CurlTransfer::Stop(tl::unexpected<Error> error) {
  error_ = error.value();
  return false;
}

bool CurlTransfer::TakeHeader(std::string_view line) {
  header_bytes_ += line.size();
  if (header_bytes_ > kMaxHeaderBytes) {
    return Stop(Fail(ErrorCode::kLimitExceeded, "{}: the answer's headers exceed {} bytes", Name(),
                     kMaxHeaderBytes));
  }
  if (headers_complete_) return true;  // trailers
  if (line.starts_with("HTTP/")) {
    response_.headers.clear();
    return true;
  }
  const std::string_view text = Trim(line);
  if (text.empty()) {
    response_.status = static_cast<int>(Info<long>(easy_, CURLINFO_RESPONSE_CODE));
    headers_complete_ = response_.status >= 200;
    if (!headers_complete_ || !IsSuccess() || !request_.check_headers) return true;
    const Result<void> checked = request_.check_headers(response_);
    return checked || Stop(tl::unexpected(checked.error()));
  }
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) return true;
  response_.headers.emplace_back(Lower(Trim(text.substr(0, colon))), Trim(text.substr(colon + 1)));
  return true;
}

bool CurlTransfer::TakeBody(std::span<const std::byte> data) {
  if (IsSuccess() && sink_ != nullptr) {
    const Result<void> taken = (*sink_)(data);
    if (!taken) return Stop(tl::unexpected(taken.error()));
    bytes_since_progress_ += data.size();
    if (bytes_since_progress_ >= kMinProgress) {
      bytes_since_progress_ = 0;
      progress_time_ = std::chrono::steady_clock::now();
    }
    return true;
  }
  const size_t limit = IsSuccess() ? request_.max_body : kMaxErrorBody;
  const size_t room = limit - response_.body.size();
  response_.body.append(reinterpret_cast<const char*>(data.data()), std::min(room, data.size()));
  if (data.size() <= room) return true;
  if (!IsSuccess()) return false;  // Finish takes what there is
  return Stop(Fail(ErrorCode::kLimitExceeded, "{}: the answer is longer than {} bytes", Name(),
                   request_.max_body));
}

std::optional<CurlTransfer::TimePoint> CurlTransfer::StallsAt() const {
  if (sink_ == nullptr) return std::nullopt;
  return progress_time_ + request_.timeout;
}

Result<HttpResponse> CurlTransfer::Stalled() const {
  return Fail(ErrorCode::kTimeout, "{}: no progress within {}", Name(),
              FormatDuration(request_.timeout));
}

Result<HttpResponse> CurlTransfer::Finish(CURLcode code) {
  // An address was refused, but another of the same name answered.
  const bool connected = response_.status != 0;
  if (error_ && (code != CURLE_OK || !connected)) return tl::unexpected(*error_);
  // The status says what is wrong better than a broken explanation of it does.
  const bool is_failure_status = headers_complete_ && !IsSuccess();
  if (code != CURLE_OK && !is_failure_status) return Describe(code);
  if (!headers_complete_) {
    return Fail(ErrorCode::kMalformed, "{}: the answer is not HTTP", Name());
  }
  if (const char* peer = Info<char*>(easy_, CURLINFO_PRIMARY_IP)) {
    response_.peer = ClassifyHost(peer);
  }
  return std::move(response_);
}

tl::unexpected<Error> CurlTransfer::Describe(CURLcode code) const {
  const auto fail = [this](ErrorCode error, std::string_view cause) {
    return Fail(error, "{}: {}", Name(), cause);
  };
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
      return fail(ErrorCode::kUnavailable, "no such host");
    case CURLE_COULDNT_RESOLVE_PROXY:
      return fail(ErrorCode::kUnavailable, "no such host for the proxy");
    case CURLE_COULDNT_CONNECT: {
      const long os_error = Info<long>(easy_, CURLINFO_OS_ERRNO);
      if (os_error == 0) return fail(ErrorCode::kUnavailable, "connection failed");
      return fail(ErrorCode::kUnavailable,
                  Lower(std::generic_category().message(static_cast<int>(os_error))));
    }
    case CURLE_OPERATION_TIMEDOUT:
      if (Info<curl_off_t>(easy_, CURLINFO_PRETRANSFER_TIME_T) == 0) {
        return fail(ErrorCode::kTimeout, "timed out while connecting");
      }
      return fail(ErrorCode::kTimeout,
                  fmt::format("no complete answer within {}", FormatDuration(request_.timeout)));
    case CURLE_GOT_NOTHING:
      return fail(ErrorCode::kUnavailable, "connection closed without an answer");
    case CURLE_PARTIAL_FILE:
      return fail(ErrorCode::kUnavailable, "connection closed before the end of the answer");
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
      return fail(ErrorCode::kMalformed, "the answer is not HTTP");
    case CURLE_PEER_FAILED_VERIFICATION:
      return fail(ErrorCode::kMismatch, Printable(curl_message_.data(), 512));
    default: {
      const std::string_view message = curl_message_.data();
      return fail(ErrorCode::kUnavailable,
                  Printable(message.empty() ? curl_easy_strerror(code) : message, 512));
    }
  }
}

}  // namespace ocirepofs
