#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "conf/error.h"

namespace ocirepofs {

struct JsonLimits {
  size_t max_depth;
  /// Numbers, strings, objects…: bounds the memory of the document built from them.
  size_t max_values;
  /// Keys that must not appear twice in one object, since readers disagree which one counts.
  std::span<const std::string_view> unique_keys;
};

/// Reads a JSON text from a registry without building a document. kMalformed unless it is one UTF-8
/// JSON value without byte order mark and without NUL, within the limits.
Result<void> CheckJson(std::string_view text, const JsonLimits& limits);

}  // namespace ocirepofs
