#include "conf/manifest/yaml_scalar.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string>

namespace ocirepofs {
namespace {

constexpr std::array<std::string_view, 11> kTrue = {"y",    "Y",    "yes", "Yes", "YES", "true",
                                                    "True", "TRUE", "on",  "On",  "ON"};
constexpr std::array<std::string_view, 11> kFalse = {"n",     "N",     "no",  "No",  "NO", "false",
                                                     "False", "FALSE", "off", "Off", "OFF"};
constexpr std::array<std::string_view, 4> kNull = {"~", "null", "Null", "NULL"};
constexpr std::array<std::string_view, 12> kSpecialFloat = {".inf",  ".Inf",  ".INF",  "+.inf",
                                                            "+.Inf", "+.INF", "-.inf", "-.Inf",
                                                            "-.INF", ".nan",  ".NaN",  ".NAN"};

template <size_t N>
bool Contains(const std::array<std::string_view, N>& list, std::string_view text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

size_t SkipDigits(std::string_view text, size_t at) {
  while (at < text.size() && IsDigit(text[at])) ++at;
  return at;
}

/// `123`, `1.`, `.5`, `6.1e-3`: digits on at least one side of the point.
bool IsDecimal(std::string_view text) {
  size_t at = SkipDigits(text, 0);
  size_t digits = at;
  if (at < text.size() && text[at] == '.') {
    const size_t end = SkipDigits(text, at + 1);
    digits += end - at - 1;
    at = end;
  }
  if (digits == 0) return false;
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    if (at < text.size() && (text[at] == '+' || text[at] == '-')) ++at;
    const size_t end = SkipDigits(text, at);
    if (end == at) return false;
    at = end;
  }
  return at == text.size();
}

bool IsPrefixedInteger(std::string_view text) {
  if (text.size() < 3 || text[0] != '0') return false;
  int base = 0;
  if (text[1] == 'x' || text[1] == 'X') base = 16;
  if (text[1] == 'o' || text[1] == 'O') base = 8;
  if (text[1] == 'b' || text[1] == 'B') base = 2;
  if (base == 0) return false;
  uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [parsed, error] = std::from_chars(text.data() + 2, end, value, base);
  return error == std::errc() && parsed == end;
}

bool IsNumber(std::string_view text) {
  const char first = text.front();
  if (!IsDigit(first) && first != '+' && first != '-' && first != '.') return false;
  if (Contains(kSpecialFloat, text)) return true;
  std::string digits(text);
  std::erase(digits, '_');
  std::string_view rest = digits;
  if (rest.starts_with('+') || rest.starts_with('-')) rest.remove_prefix(1);
  return IsDecimal(rest) || IsPrefixedInteger(rest);
}

}  // namespace

ScalarType ResolvePlainScalar(std::string_view text) {
  if (text.empty() || Contains(kNull, text)) return ScalarType::kNull;
  constexpr size_t kLongestBool = 5;
  if (text.size() <= kLongestBool && (Contains(kTrue, text) || Contains(kFalse, text))) {
    return ScalarType::kBool;
  }
  return IsNumber(text) ? ScalarType::kNumber : ScalarType::kString;
}

bool BoolValue(std::string_view text) { return Contains(kTrue, text); }

}  // namespace ocirepofs
