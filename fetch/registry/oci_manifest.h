#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "conf/digest.h"
#include "conf/error.h"

namespace ocirepofs {

/// OCI image specification, descriptor.md. `urls` and `data` are not read: contents come from the
/// registry that was configured, by digest, and from nowhere else.
struct Descriptor {
  std::string media_type;
  Digest digest;
  uint64_t size = 0;
  std::map<std::string, std::string> annotations;
  /// Of an index's child; absent counts as linux/amd64.
  std::optional<std::string> os;
  std::optional<std::string> architecture;
};

/// An image manifest or an image index (also Docker's schema 2 manifest and manifest list).
struct OciManifest {
  bool is_index = false;
  std::string media_type;
  std::vector<Descriptor> layers;     // of a manifest, in order
  std::vector<Descriptor> manifests;  // of an index, in order
  std::map<std::string, std::string> annotations;
};

/// The value of the Accept header for manifests.
std::string_view ManifestAccept();

/// Parses a manifest's bytes. `content_type` is the header's value, with or without parameters, or
/// empty; the body's own mediaType must agree with it, and a body that is manifest and index at
/// once (CVE-2021-41190) is refused, as are schema 1, duplicate keys among those that matter, and
/// nesting beyond 64 levels. Errors are kMalformed.
Result<OciManifest> ParseOciManifest(std::string_view body, std::string_view content_type);

/// The first child for linux/amd64, as Flux chooses. Error: "no child with platform linux/amd64…".
Result<Descriptor> SelectPlatform(const OciManifest& index);

/// The first layer, or the first whose media type equals `media_type`.
Result<Descriptor> SelectLayer(const OciManifest& manifest,
                               const std::optional<std::string>& media_type);

}  // namespace ocirepofs
