#include "fs/yaml_writer.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <string_view>

#include "conf/utf8.h"

namespace ocirepofs {
namespace {

using nlohmann::ordered_json;

/// YAML lets a reader give up a key that has no colon within 1024 characters.
constexpr size_t kLongestSimpleKey = 1000;

/// What YAML 1.1 or 1.2 resolves to a null, a boolean, a number, a time or a merge key.
bool ResolvesToOther(const std::string& text) {
  static const RE2 kOther(
      "(?i)~|null|true|false|yes|no|on|off|y|n|=|<<"
      "|[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-f_]+)"
      "|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])*(\\.[0-9_]*)?(e[-+]?[0-9]+)?"
      "|[-+]?\\.[0-9][0-9_]*(e[-+]?[0-9]+)?"
      "|[-+]?\\.(inf|nan)"
      "|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
      "((t|[ \\t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(\\.[0-9]*)?"
      "([ \\t]*(z|[-+][0-9]{1,2}(:?[0-9]{2})?))?)?");
  return RE2::FullMatch(text, kOther);
}

/// Whether the character may stand in a document as itself. Narrower than YAML asks for: what looks
/// like nothing, or turns the line's direction, is better shown as what it is.
bool IsPrintable(char32_t rune) {
  if (rune < 0x20 || (rune >= 0x7f && rune < 0xa0)) return false;
  return rune != 0x2028 && rune != 0x2029 && rune != 0xfeff && rune != 0xfffe && rune != 0xffff;
}

bool IsStrayByte(const Rune& rune) {
  return rune.value == kInvalidRune.value && rune.width == kInvalidRune.width;
}

bool IsAllPrintable(std::string_view text) {
  while (!text.empty()) {
    const Rune rune = DecodeRune(text);
    if (IsStrayByte(rune) || !IsPrintable(rune.value)) return false;
    text.remove_prefix(rune.width);
  }
  return true;
}

bool MayBePlain(const std::string& text) {
  static constexpr std::string_view kIndicators = "-?:,[]{}#&*!|>'\"%@`";
  if (text.empty() || text.front() == ' ' || text.back() == ' ' || text.back() == ':') return false;
  if (text.find(": ") != std::string::npos || text.find(" #") != std::string::npos) return false;
  if (kIndicators.find(text.front()) == std::string_view::npos) return true;
  // These three begin a value only where something other than a space follows.
  return (text.front() == '-' || text.front() == '?' || text.front() == ':') && text.size() > 1 &&
         text[1] != ' ' && !text.starts_with("---");
}

/// Whether a literal block says exactly this text: lines that end in one newline, without an
/// indentation of their own at the start.
bool FitsLiteralBlock(const std::string& text) {
  const size_t last = text.find_last_not_of('\n');
  if (last == std::string::npos || text.size() - last != 2) return false;
  if (text.front() == ' ' || text.front() == '\n') return false;
  std::string without_newlines = text;
  std::erase(without_newlines, '\n');
  return IsAllPrintable(without_newlines);
}

std::string DoubleQuoted(std::string_view text) {
  std::string quoted = "\"";
  while (!text.empty()) {
    const Rune rune = DecodeRune(text);
    const std::string_view bytes = text.substr(0, rune.width);
    text.remove_prefix(rune.width);
    if (IsStrayByte(rune)) {
      quoted += fmt::format("\\x{:02x}", static_cast<unsigned char>(bytes[0]));
    } else if (rune.value == '"' || rune.value == '\\') {
      quoted.append("\\").append(bytes);
    } else if (rune.value == '\n') {
      quoted += "\\n";
    } else if (rune.value == '\t') {
      quoted += "\\t";
    } else if (IsPrintable(rune.value)) {
      quoted += bytes;
    } else if (rune.value <= 0xff) {
      quoted += fmt::format("\\x{:02x}", static_cast<uint32_t>(rune.value));
    } else {
      quoted += fmt::format("\\u{:04x}", static_cast<uint32_t>(rune.value));
    }
  }
  return quoted + "\"";
}

std::string SingleQuoted(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'') quoted += c;
    quoted += c;
  }
  return quoted + "'";
}

std::string OneLine(const std::string& text) {
  if (!IsAllPrintable(text) || ResolvesToOther(text)) return DoubleQuoted(text);
  if (MayBePlain(text)) return text;
  return text.empty() ? "\"\"" : SingleQuoted(text);
}

void Write(const ordered_json& value, size_t indent, std::string* out);

void WriteString(const std::string& text, size_t indent, std::string* out) {
  if (!FitsLiteralBlock(text)) {
    *out += " " + OneLine(text) + "\n";
    return;
  }
  *out += " |\n";
  for (size_t start = 0; start < text.size();) {
    const size_t end = text.find('\n', start);
    if (end > start) *out += std::string(indent, ' ') + text.substr(start, end - start);
    *out += '\n';
    start = end + 1;
  }
}

void WriteKey(const std::string& key, size_t indent, std::string* out) {
  const std::string text = OneLine(key);
  if (text.size() <= kLongestSimpleKey) {
    *out += text + ":";
  } else {
    *out += "? " + text + "\n" + std::string(indent, ' ') + ":";
  }
}

/// What follows "key:" or "-", up to the end of its last line. `indent` is where the entries of a
/// map start that is the value; a list's items start at `list_indent`.
void WriteValue(const ordered_json& value, size_t indent, size_t list_indent, std::string* out) {
  if (value.is_string()) {
    WriteString(value.get_ref<const std::string&>(), indent, out);
  } else if (!value.is_structured()) {
    *out += " " + value.dump() + "\n";
  } else if (value.empty()) {
    *out += value.is_object() ? " {}\n" : " []\n";
  } else {
    *out += "\n";
    Write(value, value.is_object() ? indent : list_indent, out);
  }
}

/// REQUIRES: a map or a list that is not empty
void Write(const ordered_json& value, size_t indent, std::string* out) {
  for (const auto& [key, item] : value.items()) {
    *out += std::string(indent, ' ');
    if (value.is_object()) {
      WriteKey(key, indent, out);
      WriteValue(item, indent + 2, indent, out);
    } else if (item.is_object() && !item.empty()) {
      // The first entry of a map stands on the line of its item.
      const size_t start = out->size();
      Write(item, indent + 2, out);
      out->replace(start, indent + 2, "- ");
    } else {
      *out += "-";
      WriteValue(item, indent + 2, indent + 2, out);
    }
  }
}

}  // namespace

std::string WriteYaml(const ordered_json& value) {
  std::string out;
  Write(value, 0, &out);
  return out;
}

}  // namespace ocirepofs
