#include "conf/printable.h"

#include <fmt/format.h>

#include "conf/utf8.h"

namespace ocirepofs {
namespace {

bool IsPrintable(const Rune& rune) {
  const char32_t c = rune.value;
  const bool invalid = c == kInvalidRune.value && rune.width == kInvalidRune.width;
  const bool control = c < 0x20 || (c >= 0x7f && c < 0xa0);
  // Marks that reorder what a terminal shows, and line separators.
  const bool reorders =
      (c >= 0x200e && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
  return !invalid && !control && !reorders;
}

}  // namespace

std::string Printable(std::string_view text, size_t max_size) {
  static constexpr std::string_view kEllipsis = "…";
  std::string result;
  while (!text.empty()) {
    const Rune rune = DecodeRune(text);
    std::string piece(text.substr(0, rune.width));
    if (!IsPrintable(rune)) {
      std::string escaped;
      for (const char c : piece) {
        escaped += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
      }
      piece = escaped;
    }
    text.remove_prefix(rune.width);
    const size_t rest = text.empty() ? 0 : kEllipsis.size();
    if (result.size() + piece.size() + rest > max_size) return result.append(kEllipsis);
    result += piece;
  }
  return result;
}

}  // namespace ocirepofs
