#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>

#include "conf/printable.h"
#include "fetch/registry/registry.h"
#include "fetch/registry/registry_error.h"

namespace ocirepofs {
namespace {

constexpr int kMaxResumes = 5;

std::optional<uint64_t> ParseNumber(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// A blob on its way: hashes it, counts it, and puts the pieces of several answers together.
class Download {
 public:
  Download(const Descriptor& descriptor, const BodySink& sink)
      : descriptor_(descriptor), sink_(sink) {}

  uint64_t delivered() const { return delivered_; }
  bool complete() const { return delivered_ == descriptor_.size; }
  /// The sink's own refusal: another try would not help.
  bool sink_failed() const { return sink_failed_; }

  /// Sees an answer's headers: whether it is the blob from the start, or from where it broke off.
  Result<void> Begin(const HttpResponse& response) {
    skip_ = 0;
    uint64_t expected = descriptor_.size;
    if (response.status == 206) {
      const std::string* range = response.Header("content-range");
      const std::string wanted = fmt::format("bytes {}-", delivered_);
      const std::string total = fmt::format("/{}", descriptor_.size);
      if (range == nullptr || !range->starts_with(wanted) || !range->ends_with(total)) {
        return Fail(ErrorCode::kMismatch, "blob {}: asked for bytes from {} of {}, got range '{}'",
                    descriptor_.digest.ToString(), delivered_, descriptor_.size,
                    range == nullptr ? "" : Printable(*range, 100));
      }
      expected -= delivered_;
    } else if (response.status == 200) {
      skip_ = delivered_;
    } else {
      return Fail(ErrorCode::kMalformed, "blob {}: unexpected status code {}",
                  descriptor_.digest.ToString(), StatusText(response.status));
    }
    const std::string* length = response.Header("content-length");
    if (length != nullptr && ParseNumber(*length) != expected) {
      return Fail(ErrorCode::kMismatch, "blob {}: {} bytes announced, {} expected",
                  descriptor_.digest.ToString(), Printable(*length, 32), expected);
    }
    return {};
  }

  Result<void> Take(std::span<const std::byte> data) {
    const auto skipped = static_cast<size_t>(std::min<uint64_t>(skip_, data.size()));
    skip_ -= skipped;
    data = data.subspan(skipped);
    if (data.empty()) return {};
    if (data.size() > descriptor_.size - delivered_) {
      return Fail(ErrorCode::kMismatch, "blob {} is longer than its {} bytes",
                  descriptor_.digest.ToString(), descriptor_.size);
    }
    hash_.Update(data);
    delivered_ += data.size();
    Result<void> taken = sink_(data);
    sink_failed_ = !taken;
    return taken;
  }

  Result<void> Finish() {
    if (!complete()) {
      return Fail(ErrorCode::kMismatch, "blob {} ends after {} of its {} bytes",
                  descriptor_.digest.ToString(), delivered_, descriptor_.size);
    }
    const Digest actual = hash_.Finish();
    if (actual != descriptor_.digest) {
      return Fail(ErrorCode::kMismatch, "blob {}: the content's digest is {}",
                  descriptor_.digest.ToString(), actual.ToString());
    }
    return {};
  }

 private:
  const Descriptor& descriptor_;
  const BodySink& sink_;
  Sha256 hash_;
  uint64_t delivered_ = 0;
  uint64_t skip_ = 0;  // what this answer repeats
  bool sink_failed_ = false;
};

}  // namespace

Result<void> RegistryClient::FetchBlob(const RegistryAccess& access, const Descriptor& descriptor,
                                       const BodySink& sink, const std::stop_token& stop) {
  Download download(descriptor, sink);
  const BodySink take = [&](std::span<const std::byte> data) { return download.Take(data); };
  RegistryRequest request;
  request.target =
      fmt::format("/v2/{}/blobs/{}", access.repository.path, descriptor.digest.ToString());
  request.check_headers = [&](const HttpResponse& response) { return download.Begin(response); };
  for (int resumes = 0;; ++resumes) {
    const uint64_t before = download.delivered();
    request.headers.clear();
    if (before > 0) request.headers.emplace_back("Range", fmt::format("bytes={}-", before));
    // Always from the registry: where it redirects to may have expired meanwhile.
    const Result<RegistryAnswer> answer = channel_.Send(access, request, &take, stop);
    if (answer) {
      if (!answer->IsSuccess()) return channel_.StatusFailure(*answer);
      return download.Finish();
    }
    const bool is_broken = answer.error().code == ErrorCode::kUnavailable;
    // All is there, only the connection's end was unclean.
    if (is_broken && download.complete() && !download.sink_failed()) return download.Finish();
    const bool made_progress = download.delivered() > before;
    if (!is_broken || download.sink_failed() || !made_progress || resumes == kMaxResumes) {
      return tl::unexpected(answer.error());
    }
  }
}

}  // namespace ocirepofs
