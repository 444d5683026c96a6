#pragma once

#include <cstddef>
#include <string_view>

namespace ocirepofs {

/// One Unicode character and the number of bytes that spell it.
struct Rune {
  char32_t value;
  size_t width;
};

/// Stands for a byte that begins no valid UTF-8 sequence. Its width tells it from a spelled U+FFFD,
/// which has three bytes.
inline constexpr Rune kInvalidRune = {0xFFFD, 1};

/// The first character of `text`, as Go decodes it: every byte that is not part of a valid sequence
/// is a kInvalidRune by itself. REQUIRES: `text` is not empty.
Rune DecodeRune(std::string_view text);

}  // namespace ocirepofs
