#include "conf/utf8.h"

namespace ocirepofs {

Rune DecodeRune(std::string_view text) {
  const auto byte_at = [text](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte_at(0);
  if (lead < 0x80) return {lead, 1};

  size_t width = 0;
  char32_t value = 0;
  char32_t smallest = 0;  // a shorter spelling exists for anything below: overlong, so invalid
  if ((lead & 0xE0) == 0xC0) {
    width = 2, value = lead & 0x1F, smallest = 0x80;
  } else if ((lead & 0xF0) == 0xE0) {
    width = 3, value = lead & 0x0F, smallest = 0x800;
  } else if ((lead & 0xF8) == 0xF0) {
    width = 4, value = lead & 0x07, smallest = 0x10000;
  } else {
    return kInvalidRune;
  }
  if (text.size() < width) return kInvalidRune;
  for (size_t i = 1; i < width; ++i) {
    if ((byte_at(i) & 0xC0) != 0x80) return kInvalidRune;
    value = (value << 6) | (byte_at(i) & 0x3F);
  }
  const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
  if (value < smallest || value > 0x10FFFF || surrogate) return kInvalidRune;
  return {value, width};
}

}  // namespace ocirepofs
