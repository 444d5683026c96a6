#include "conf/duration.h"

#include <array>
#include <cstdint>
#include <optional>

namespace ocirepofs {
namespace {

constexpr uint64_t kMicrosecond = 1000;
constexpr uint64_t kMillisecond = 1000 * kMicrosecond;
constexpr uint64_t kSecond = 1000 * kMillisecond;
constexpr uint64_t kMinute = 60 * kSecond;
constexpr uint64_t kHour = 60 * kMinute;

/// The largest magnitude: only a negative duration can have it.
constexpr uint64_t kLargest = uint64_t{1} << 63;

constexpr char kTooLong[] = "longer than 2562047h47m16s";
constexpr char kNumberExpected[] = "a number with a unit is expected, such as 5m or 1h30m";

struct Unit {
  std::string_view name;
  uint64_t nanoseconds;
};

constexpr std::array<Unit, 8> kUnits = {{
    {"ns", 1},
    {"us", kMicrosecond},
    {"\u00b5s", kMicrosecond},  // micro sign
    {"\u03bcs", kMicrosecond},  // Greek letter mu
    {"ms", kMillisecond},
    {"s", kSecond},
    {"m", kMinute},
    {"h", kHour},
}};

std::optional<uint64_t> FindUnit(std::string_view name) {
  for (const Unit& unit : kUnits) {
    if (unit.name == name) return unit.nanoseconds;
  }
  return std::nullopt;
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

uint64_t DigitValue(char c) { return static_cast<uint64_t>(c - '0'); }

/// Takes the digits at the front of `text`.
std::string_view TakeDigits(std::string_view& text) {
  size_t count = 0;
  while (count < text.size() && IsDigit(text[count])) ++count;
  const std::string_view digits = text.substr(0, count);
  text.remove_prefix(count);
  return digits;
}

/// Nothing above kLargest.
std::optional<uint64_t> ParseWhole(std::string_view digits) {
  uint64_t value = 0;
  for (const char c : digits) {
    if (value > kLargest / 10) return std::nullopt;
    value = value * 10 + DigitValue(c);
    if (value > kLargest) return std::nullopt;
  }
  return value;
}

/// value / scale is the fraction. Digits that don't fit into the value are dropped, as Go does.
struct Fraction {
  uint64_t value = 0;
  double scale = 1;
};

Fraction ParseFraction(std::string_view digits) {
  Fraction fraction;
  for (const char c : digits) {
    if (fraction.value > (kLargest - 1) / 10) break;
    const uint64_t next = fraction.value * 10 + DigitValue(c);
    if (next > kLargest) break;
    fraction.value = next;
    fraction.scale *= 10;
  }
  return fraction;
}

/// Takes one number with its unit off `text`, in nanoseconds; at most kLargest.
Result<uint64_t> TakeTerm(std::string_view& text) {
  const std::string_view whole_digits = TakeDigits(text);
  std::string_view fraction_digits;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    fraction_digits = TakeDigits(text);
  }
  if (whole_digits.empty() && fraction_digits.empty()) {
    return Fail(ErrorCode::kInvalid, kNumberExpected);
  }
  const std::string_view unit_name = text.substr(0, text.find_first_of(".0123456789"));
  text.remove_prefix(unit_name.size());
  if (unit_name.empty()) {
    return Fail(ErrorCode::kInvalid, "a unit is missing; use ns, us, ms, s, m or h");
  }
  const std::optional<uint64_t> unit = FindUnit(unit_name);
  if (!unit) {
    return Fail(ErrorCode::kInvalid, "unknown unit '{}'; use ns, us, ms, s, m or h", unit_name);
  }

  const std::optional<uint64_t> whole = ParseWhole(whole_digits);
  if (!whole || *whole > kLargest / *unit) {
    return Fail(ErrorCode::kInvalid, kTooLong);
  }
  const Fraction fraction = ParseFraction(fraction_digits);
  // The order of the operations in double is Go's: another one rounds otherwise.
  const double nanoseconds =
      static_cast<double>(fraction.value) * (static_cast<double>(*unit) / fraction.scale);
  const uint64_t term = *whole * *unit + static_cast<uint64_t>(nanoseconds);
  if (term > kLargest) return Fail(ErrorCode::kInvalid, kTooLong);
  return term;
}

Result<std::chrono::nanoseconds> Parse(std::string_view text) {
  bool negative = false;
  if (text.starts_with('-') || text.starts_with('+')) {
    negative = text.front() == '-';
    text.remove_prefix(1);
  }
  if (text == "0") return std::chrono::nanoseconds(0);
  if (text.empty()) {
    return Fail(ErrorCode::kInvalid, kNumberExpected);
  }
  uint64_t total = 0;
  while (!text.empty()) {
    const Result<uint64_t> term = TakeTerm(text);
    if (!term) return tl::unexpected(term.error());
    if (*term > kLargest - total) return Fail(ErrorCode::kInvalid, kTooLong);
    total += *term;
  }
  if (negative) return std::chrono::nanoseconds(static_cast<int64_t>(0 - total));
  if (total == kLargest) return Fail(ErrorCode::kInvalid, kTooLong);
  return std::chrono::nanoseconds(static_cast<int64_t>(total));
}

/// `amount / unit` with the fraction that is left, without trailing zeros.
std::string FormatDecimal(uint64_t amount, uint64_t unit) {
  std::string text = fmt::format("{}", amount / unit);
  std::string fraction;
  for (uint64_t rest = amount % unit, digit = unit / 10; rest > 0; digit /= 10) {
    fraction += static_cast<char>('0' + rest / digit);
    rest %= digit;
  }
  if (!fraction.empty()) text += "." + fraction;
  return text;
}

/// `^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`, `h` only where `hours`.
bool MatchesPattern(std::string_view text, bool hours) {
  if (text.empty()) return false;
  while (!text.empty()) {
    if (TakeDigits(text).empty()) return false;
    if (text.starts_with('.')) {
      text.remove_prefix(1);
      if (TakeDigits(text).empty()) return false;
    }
    if (text.starts_with("ms")) {
      text.remove_prefix(2);
    } else if (text.starts_with('s') || text.starts_with('m') || (hours && text.starts_with('h'))) {
      text.remove_prefix(1);
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace

Result<std::chrono::nanoseconds> ParseDuration(std::string_view text) {
  Result<std::chrono::nanoseconds> duration = Parse(text);
  if (!duration) return Wrap(duration.error(), fmt::format("duration '{}'", text));
  return duration;
}

std::string FormatDuration(std::chrono::nanoseconds duration) {
  const int64_t count = duration.count();
  if (count == 0) return "0s";
  // Negated as unsigned, for the smallest value has no positive twin.
  const uint64_t amount =
      count < 0 ? 0 - static_cast<uint64_t>(count) : static_cast<uint64_t>(count);
  const std::string_view sign = count < 0 ? "-" : "";
  if (amount < kMicrosecond) return fmt::format("{}{}ns", sign, amount);
  if (amount < kMillisecond) {
    return fmt::format("{}{}\u00b5s", sign, FormatDecimal(amount, kMicrosecond));
  }
  if (amount < kSecond) return fmt::format("{}{}ms", sign, FormatDecimal(amount, kMillisecond));

  const uint64_t hours = amount / kHour;
  const uint64_t minutes = amount / kMinute % 60;
  const std::string seconds = FormatDecimal(amount % kMinute, kSecond);
  if (hours > 0) return fmt::format("{}{}h{}m{}s", sign, hours, minutes, seconds);
  if (minutes > 0) return fmt::format("{}{}m{}s", sign, minutes, seconds);
  return fmt::format("{}{}s", sign, seconds);
}

bool IsIntervalPattern(std::string_view text) { return MatchesPattern(text, true); }

bool IsTimeoutPattern(std::string_view text) { return MatchesPattern(text, false); }

}  // namespace ocirepofs
