#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ocirepofs {

/// Remote text as it may appear in a log, a condition or a terminal: control characters and bytes
/// that are not UTF-8 become `\xNN`, and what is longer than `max_size` bytes ends in "…".
std::string Printable(std::string_view text, size_t max_size = 4096);

}  // namespace ocirepofs
