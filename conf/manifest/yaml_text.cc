#include "conf/manifest/yaml_text.h"

#include <fmt/format.h>

#include <cstdint>

#include "conf/utf8.h"

namespace ocirepofs {

std::optional<YamlError> FindTextError(std::string_view text, int max_open_brackets) {
  int line = 1;
  size_t line_start = 0;
  int open = 0;
  const auto fail = [&](size_t at, std::string message) {
    return YamlError{line, static_cast<int>(at - line_start) + 1, std::move(message)};
  };
  for (size_t i = 0; i < text.size();) {
    const auto c = static_cast<uint8_t>(text[i]);
    if (c >= 0x80) {
      const size_t width = DecodeRune(text.substr(i)).width;
      if (width == kInvalidRune.width) return fail(i, "the file is not valid UTF-8");
      i += width;
      continue;
    }
    if (c == '\n') {
      ++line;
      line_start = i + 1;
      if (text.substr(line_start).starts_with("---")) open = 0;
    } else if ((c < 0x20 && c != '\t' && c != '\r') || c == 0x7F) {
      return fail(i, fmt::format("the control character U+{:04X} is not allowed", c));
    } else if (c == '[' || c == '{') {
      if (++open > max_open_brackets) {
        return fail(i, fmt::format("more than {} brackets are open", max_open_brackets));
      }
    } else if (c == ']' || c == '}') {
      if (open > 0) --open;
    }
    ++i;
  }
  return std::nullopt;
}

std::string QuoteForMessage(std::string_view text) {
  constexpr size_t kMaxShown = 80;
  std::string quoted = "\"";
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<uint8_t>(text[i]);
    const bool inside_character = (c & 0xC0) == 0x80;
    if (quoted.size() > kMaxShown && !inside_character) return quoted + "…\"";
    if (c == '\n') {
      quoted += "\\n";
    } else if (c < 0x20 || c == 0x7F) {
      quoted += fmt::format("\\x{:02x}", c);
    } else if (c == '"' || c == '\\') {
      quoted += {'\\', text[i]};
    } else {
      quoted += text[i];
    }
  }
  return quoted + '"';
}

}  // namespace ocirepofs
