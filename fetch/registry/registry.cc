#include "fetch/registry/registry.h"

#include <set>
#include <string_view>
#include <utility>

#include "conf/printable.h"
#include "fetch/registry/tag_list.h"

namespace ocirepofs {
namespace {

constexpr size_t kMaxManifest = size_t{4} << 20;
constexpr size_t kMaxPages = 1000;
constexpr size_t kMaxTags = 1'000'000;
constexpr size_t kMaxTagBytes = size_t{64} << 20;

RegistryRequest ManifestRequest(const RegistryAccess& access, std::string_view reference) {
  RegistryRequest request;
  request.target = fmt::format("/v2/{}/manifests/{}", access.repository.path, reference);
  // Without it, registries answer for the oldest format that they know.
  request.headers.emplace_back("Accept", ManifestAccept());
  request.max_body = kMaxManifest;
  return request;
}

Result<OciManifest> ReadManifest(const RegistryAnswer& answer) {
  const std::string* type = answer.response.Header("content-type");
  Result<OciManifest> manifest =
      ParseOciManifest(answer.response.body, type == nullptr ? std::string_view() : *type);
  if (!manifest) return Wrap(manifest.error(), answer.request);
  return manifest;
}

/// The next page's target, or nothing when this was the last.
Result<std::optional<std::string>> NextPage(const RegistryAnswer& answer) {
  const std::string* header = answer.response.Header("link");
  const std::optional<std::string> link = header ? NextLink(*header) : std::nullopt;
  if (!link) return std::nullopt;
  const Result<Url> here = ParseUrl(answer.url);
  if (!here) return tl::unexpected(here.error());
  const Result<Url> next = ResolveUrl(*here, *link);
  if (!next) return Wrap(next.error(), answer.request + ": link to the next page");
  if (next->origin != here->origin) {
    return Fail(ErrorCode::kMalformed, "{}: the next page is said to be at {}://{}; refused",
                answer.request, next->origin.scheme, Printable(next->origin.ToString(), 256));
  }
  return next->target;
}

}  // namespace

RegistryClient::RegistryClient(Transport* transport, const Clock* clock, Sleeper sleeper)
    : channel_(transport, clock, std::move(sleeper)) {}

Result<Digest> RegistryClient::ResolveTag(const RegistryAccess& access, const std::string& tag,
                                          const std::stop_token& stop) {
  // These can't be one segment of a path: clients and servers remove them.
  if (tag.empty() || tag == "." || tag == "..") {
    return Fail(ErrorCode::kInvalid, "'{}' is not a tag", tag);
  }
  RegistryRequest request = ManifestRequest(access, PercentEncode(tag));
  request.method = HttpRequest::Method::kHead;
  request.retry_statuses = false;
  const Result<RegistryAnswer> head = channel_.Send(access, request, nullptr, stop);
  if (!head) return tl::unexpected(head.error());
  if (head->IsSuccess()) {
    const std::string* header = head->response.Header("docker-content-digest");
    if (header != nullptr) {
      if (Result<Digest> digest = Digest::Parse(*header)) return digest;
    }
  }
  // Asking again would not change these.
  if (head->response.status == 401 || head->response.status == 429)
    return channel_.StatusFailure(*head);

  request.method = HttpRequest::Method::kGet;
  request.retry_statuses = true;
  const Result<RegistryAnswer> get = channel_.Send(access, request, nullptr, stop);
  if (!get) return tl::unexpected(get.error());
  if (!get->IsSuccess()) return channel_.StatusFailure(*get);
  if (const Result<OciManifest> manifest = ReadManifest(*get); !manifest) {
    return tl::unexpected(manifest.error());
  }
  return Digest::Of(get->response.body);
}

Result<OciManifest> RegistryClient::FetchManifest(const RegistryAccess& access,
                                                  const Digest& digest,
                                                  const std::stop_token& stop) {
  const RegistryRequest request = ManifestRequest(access, digest.ToString());
  const Result<RegistryAnswer> answer = channel_.Send(access, request, nullptr, stop);
  if (!answer) return tl::unexpected(answer.error());
  if (!answer->IsSuccess()) return channel_.StatusFailure(*answer);
  const Digest actual = Digest::Of(answer->response.body);
  if (actual != digest) {
    return Fail(ErrorCode::kMismatch, "{}: the answer's digest is {}", answer->request,
                actual.ToString());
  }
  return ReadManifest(*answer);
}

Result<std::vector<std::string>> RegistryClient::ListTags(const RegistryAccess& access,
                                                          const std::stop_token& stop) {
  RegistryRequest request;
  request.target = fmt::format("/v2/{}/tags/list?n=1000", access.repository.path);
  std::vector<std::string> tags;
  std::set<std::string> visited;
  size_t bytes = 0;
  while (true) {
    visited.insert(request.target);
    request.max_body = kMaxTagBytes - bytes;
    const Result<RegistryAnswer> answer = channel_.Send(access, request, nullptr, stop);
    if (!answer) return tl::unexpected(answer.error());
    if (!answer->IsSuccess()) return channel_.StatusFailure(*answer);
    bytes += answer->response.body.size();
    Result<std::vector<std::string>> page =
        ParseTagList(answer->response.body, kMaxTags - tags.size());
    if (!page) return Wrap(page.error(), answer->request);
    const bool is_empty = page->empty();
    tags.insert(tags.end(), std::make_move_iterator(page->begin()),
                std::make_move_iterator(page->end()));

    const Result<std::optional<std::string>> next = NextPage(*answer);
    if (!next) return tl::unexpected(next.error());
    if (!next->has_value() || is_empty) return tags;
    if (visited.contains(**next)) {
      return Fail(ErrorCode::kMalformed, "{}: the pages of the tag list go in a circle",
                  answer->request);
    }
    if (visited.size() == kMaxPages) {
      return Fail(ErrorCode::kLimitExceeded, "{}: the tag list has more than {} pages",
                  answer->request, kMaxPages);
    }
    request.target = **next;
  }
}

}  // namespace ocirepofs
