#include "fetch/registry/oci_manifest.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "conf/printable.h"
#include "fetch/registry/json_check.h"

namespace ocirepofs {
namespace {

using nlohmann::json;

constexpr std::string_view kOciManifest = "application/vnd.oci.image.manifest.v1+json";
constexpr std::string_view kOciIndex = "application/vnd.oci.image.index.v1+json";
constexpr std::string_view kDockerManifest = "application/vnd.docker.distribution.manifest.v2+json";
constexpr std::string_view kDockerList =
    "application/vnd.docker.distribution.manifest.list.v2+json";
constexpr std::array<std::string_view, 2> kSchema1 = {
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws"};
/// What servers send that don't know what they serve.
constexpr std::array<std::string_view, 5> kGeneric = {
    "", "application/json", "application/octet-stream", "binary/octet-stream", "text/plain"};

constexpr std::array<std::string_view, 6> kUniqueKeys = {"mediaType", "layers", "config",
                                                         "manifests", "digest", "size"};
constexpr JsonLimits kLimits = {.max_depth = 64, .max_values = 250'000, .unique_keys = kUniqueKeys};

template <size_t N>
bool Contains(const std::array<std::string_view, N>& list, std::string_view item) {
  return std::ranges::find(list, item) != list.end();
}

std::string WithoutParameters(std::string_view content_type) {
  std::string type(content_type.substr(0, content_type.find(';')));
  std::erase_if(type, [](unsigned char c) { return std::isspace(c) != 0; });
  std::ranges::transform(type, type.begin(), [](unsigned char c) { return std::tolower(c); });
  return type;
}

/// Absent and null are the same to Go's decoder, which wrote most of these documents.
const json* Member(const json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

Result<std::string> StringMember(const json& object, const char* key) {
  const json* value = Member(object, key);
  if (value == nullptr) return std::string();
  if (!value->is_string()) return Fail(ErrorCode::kMalformed, "{} is not a string", key);
  return value->get<std::string>();
}

Result<std::map<std::string, std::string>> Annotations(const json& object) {
  std::map<std::string, std::string> annotations;
  const json* member = Member(object, "annotations");
  if (member == nullptr) return annotations;
  if (!member->is_object()) return Fail(ErrorCode::kMalformed, "annotations is not an object");
  for (const auto& [key, value] : member->items()) {
    if (!value.is_string()) {
      return Fail(ErrorCode::kMalformed, "annotation '{}' is not a string", Printable(key, 128));
    }
    annotations.emplace(key, value.get<std::string>());
  }
  return annotations;
}

Result<Descriptor> ParseDescriptor(const json& object) {
  if (!object.is_object()) return Fail(ErrorCode::kMalformed, "a descriptor is not an object");
  const Result<std::string> media_type = StringMember(object, "mediaType");
  if (!media_type) return tl::unexpected(media_type.error());
  const Result<std::string> digest_text = StringMember(object, "digest");
  if (!digest_text) return tl::unexpected(digest_text.error());
  const Result<Digest> digest = Digest::Parse(*digest_text);
  if (!digest) {
    return Fail(ErrorCode::kMalformed, "digest '{}': {}", Printable(*digest_text, 160),
                digest.error().message);
  }
  const json* size = Member(object, "size");
  if (size == nullptr || !size->is_number_unsigned() ||
      size->get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()}) {
    return Fail(ErrorCode::kMalformed, "size of {} is not a whole number from 0 to 2^63-1",
                digest->ToString());
  }
  Result<std::map<std::string, std::string>> annotations = Annotations(object);
  if (!annotations) return tl::unexpected(annotations.error());

  Descriptor descriptor{.media_type = *media_type,
                        .digest = *digest,
                        .size = size->get<uint64_t>(),
                        .annotations = std::move(*annotations),
                        .os = std::nullopt,
                        .architecture = std::nullopt};
  if (const json* platform = Member(object, "platform")) {
    if (!platform->is_object()) return Fail(ErrorCode::kMalformed, "platform is not an object");
    const Result<std::string> os = StringMember(*platform, "os");
    if (!os) return tl::unexpected(os.error());
    const Result<std::string> architecture = StringMember(*platform, "architecture");
    if (!architecture) return tl::unexpected(architecture.error());
    descriptor.os = *os;
    descriptor.architecture = *architecture;
  }
  return descriptor;
}

Result<std::vector<Descriptor>> Descriptors(const json& document, const char* key) {
  std::vector<Descriptor> descriptors;
  const json* member = Member(document, key);
  if (member == nullptr) return descriptors;
  if (!member->is_array()) return Fail(ErrorCode::kMalformed, "{} is not a list", key);
  for (const json& item : *member) {
    Result<Descriptor> descriptor = ParseDescriptor(item);
    if (!descriptor) {
      return Wrap(descriptor.error(), fmt::format("{}[{}]", key, descriptors.size()));
    }
    descriptors.push_back(std::move(*descriptor));
  }
  return descriptors;
}

/// The type that header and body agree on; empty where neither knows.
Result<std::string> AgreedMediaType(const json& document, std::string_view content_type) {
  const Result<std::string> body_type = StringMember(document, "mediaType");
  if (!body_type) return body_type;
  const std::string header_type = WithoutParameters(content_type);
  if (Contains(kGeneric, header_type)) return body_type;
  if (!body_type->empty() && *body_type != header_type) {
    return Fail(ErrorCode::kMalformed, "mediaType is '{}' but the Content-Type is '{}'",
                Printable(*body_type, 128), Printable(header_type, 128));
  }
  return header_type;
}

Result<OciManifest> ParseDocument(const json& document, std::string_view content_type) {
  if (!document.is_object()) return Fail(ErrorCode::kMalformed, "it is not a JSON object");
  const Result<std::string> media_type = AgreedMediaType(document, content_type);
  if (!media_type) return tl::unexpected(media_type.error());

  const json* version = Member(document, "schemaVersion");
  if (Contains(kSchema1, *media_type) || (version != nullptr && *version == 1)) {
    return Fail(ErrorCode::kMalformed,
                "it is in Docker's schema 1, which is not supported; push the artifact again "
                "with a tool that writes OCI manifests");
  }
  if (version != nullptr && *version != 2) {
    return Fail(ErrorCode::kMalformed, "schemaVersion is not 2");
  }

  const bool has_manifests = document.contains("manifests");
  const bool has_layers = document.contains("layers") || document.contains("config");
  if (has_manifests && has_layers) {
    return Fail(ErrorCode::kMalformed, "it is a manifest and an index at once");
  }
  OciManifest manifest;
  manifest.media_type = *media_type;
  if (media_type->empty()) {
    if (!has_manifests && !has_layers) {
      return Fail(ErrorCode::kMalformed, "it is neither a manifest nor an index");
    }
    manifest.is_index = has_manifests;
    manifest.media_type = has_manifests ? kOciIndex : kOciManifest;
  } else if (*media_type == kOciIndex || *media_type == kDockerList) {
    manifest.is_index = true;
  } else if (*media_type != kOciManifest && *media_type != kDockerManifest) {
    return Fail(ErrorCode::kMalformed, "media type '{}' is not supported",
                Printable(*media_type, 128));
  }
  if (manifest.is_index ? has_layers : has_manifests) {
    return Fail(ErrorCode::kMalformed, "its media type is that of {}, its contents are {}",
                manifest.is_index ? "an index" : "a manifest",
                manifest.is_index ? "a manifest's" : "an index's");
  }

  Result<std::vector<Descriptor>> descriptors =
      Descriptors(document, manifest.is_index ? "manifests" : "layers");
  if (!descriptors) return tl::unexpected(descriptors.error());
  (manifest.is_index ? manifest.manifests : manifest.layers) = std::move(*descriptors);
  Result<std::map<std::string, std::string>> annotations = Annotations(document);
  if (!annotations) return tl::unexpected(annotations.error());
  manifest.annotations = std::move(*annotations);
  return manifest;
}

}  // namespace

std::string_view ManifestAccept() {
  static const std::string accept =
      fmt::format("{}, {}, {}, {}", kOciManifest, kOciIndex, kDockerManifest, kDockerList);
  return accept;
}

Result<OciManifest> ParseOciManifest(std::string_view body, std::string_view content_type) {
  if (const Result<void> checked = CheckJson(body, kLimits); !checked) {
    return Wrap(checked.error(), "the manifest can't be read");
  }
  const json document = json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (document.is_discarded()) {
    return Fail(ErrorCode::kMalformed, "the manifest can't be read: it is not JSON");
  }
  Result<OciManifest> manifest = ParseDocument(document, content_type);
  if (!manifest) return Wrap(manifest.error(), "the manifest can't be read");
  return manifest;
}

Result<Descriptor> SelectPlatform(const OciManifest& index) {
  const auto is_default = [](const Descriptor& child) {
    return child.os.value_or("linux") == "linux" && child.architecture.value_or("amd64") == "amd64";
  };
  const auto found = std::ranges::find_if(index.manifests, is_default);
  if (found == index.manifests.end()) {
    return Fail(ErrorCode::kNotFound, "no child with platform linux/amd64 in the index");
  }
  return *found;
}

Result<Descriptor> SelectLayer(const OciManifest& manifest,
                               const std::optional<std::string>& media_type) {
  if (manifest.layers.empty()) {
    return Fail(ErrorCode::kMalformed, "no layers found in artifact");
  }
  if (!media_type) return manifest.layers.front();
  const auto found = std::ranges::find(manifest.layers, *media_type, &Descriptor::media_type);
  if (found == manifest.layers.end()) {
    return Fail(ErrorCode::kNotFound, "failed to find layer with media type '{}' in artifact",
                *media_type);
  }
  return *found;
}

}  // namespace ocirepofs
