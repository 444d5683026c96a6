#pragma once

#include <cstdint>
#include <string_view>

namespace ocirepofs {

/// What a scalar of a YAML document is. The rules are those of YAML 1.1 as kubectl applies them,
/// so that a manifest means the same here as in a cluster.
enum class ScalarType : uint8_t { kNull, kBool, kNumber, kString };

/// The type of a scalar written without quotes and without a tag.
ScalarType ResolvePlainScalar(std::string_view text);

/// REQUIRES: ResolvePlainScalar(text) is kBool.
bool BoolValue(std::string_view text);

}  // namespace ocirepofs
