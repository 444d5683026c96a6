#include "conf/semver.h"

#include <algorithm>
#include <charconv>

namespace ocirepofs {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool IsIdentifierCharacter(char c) {
  return IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
}

bool IsAllDigits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsDigit);
}

/// Nothing where `text` is not digits alone, or more than 64 bits hold.
std::optional<uint64_t> ParseNumber(std::string_view text) {
  if (!IsAllDigits(text)) return std::nullopt;
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  return number;
}

/// Takes the identifier off `text`, and the dot behind it.
std::string_view TakeIdentifier(std::string_view& text) {
  const size_t end = std::min(text.find('.'), text.size());
  const std::string_view identifier = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return identifier;
}

/// Dot-separated identifiers, none of them empty.
bool AreIdentifiers(std::string_view text) {
  if (text.empty() || text.ends_with('.')) return false;
  while (!text.empty()) {
    const std::string_view identifier = TakeIdentifier(text);
    if (identifier.empty()) return false;
    if (!std::all_of(identifier.begin(), identifier.end(), IsIdentifierCharacter)) return false;
  }
  return true;
}

bool HasLeadingZero(std::string_view prerelease) {
  while (!prerelease.empty()) {
    const std::string_view identifier = TakeIdentifier(prerelease);
    if (identifier.size() > 1 && identifier.front() == '0' && IsAllDigits(identifier)) return true;
  }
  return false;
}

int Sign(int comparison) { return (comparison > 0) - (comparison < 0); }

template <class T>
int CompareNumbers(T a, T b) {
  return (a > b) - (a < b);
}

/// An identifier that is a number is lower than one that is text; digits that overflow are text.
int CompareIdentifiers(std::string_view a, std::string_view b) {
  const std::optional<uint64_t> number_a = ParseNumber(a);
  const std::optional<uint64_t> number_b = ParseNumber(b);
  if (number_a && number_b) return CompareNumbers(*number_a, *number_b);
  if (number_a) return -1;
  if (number_b) return 1;
  return Sign(a.compare(b));
}

int ComparePrereleases(std::string_view a, std::string_view b) {
  if (a.empty() || b.empty()) return CompareNumbers(a.empty(), b.empty());
  while (!a.empty() && !b.empty()) {
    const int comparison = CompareIdentifiers(TakeIdentifier(a), TakeIdentifier(b));
    if (comparison != 0) return comparison;
  }
  return CompareNumbers(!a.empty(), !b.empty());
}

}  // namespace

std::optional<Version> Version::Parse(std::string_view text) {
  if (text.starts_with('v')) text.remove_prefix(1);
  Version version;
  const size_t plus = text.find('+');
  if (plus != std::string_view::npos) {
    version.metadata = text.substr(plus + 1);
    if (!AreIdentifiers(version.metadata)) return std::nullopt;
    text = text.substr(0, plus);
  }
  const size_t dash = text.find('-');
  if (dash != std::string_view::npos) {
    version.prerelease = text.substr(dash + 1);
    if (!AreIdentifiers(version.prerelease)) return std::nullopt;
    if (HasLeadingZero(version.prerelease)) return std::nullopt;
    text = text.substr(0, dash);
  }
  if (text.ends_with('.')) return std::nullopt;
  for (uint64_t* number : {&version.major, &version.minor, &version.patch}) {
    if (text.empty() && number != &version.major) break;
    const std::optional<uint64_t> parsed = ParseNumber(TakeIdentifier(text));
    if (!parsed) return std::nullopt;
    *number = *parsed;
  }
  if (!text.empty()) return std::nullopt;
  return version;
}

std::optional<Version> Version::ParseTag(std::string_view tag) {
  if (std::count(tag.begin(), tag.end(), '.') < 2) return std::nullopt;
  return Parse(tag);
}

std::string Version::ToString() const {
  std::string text = fmt::format("{}.{}.{}", major, minor, patch);
  if (!prerelease.empty()) text += "-" + prerelease;
  if (!metadata.empty()) text += "+" + metadata;
  return text;
}

int Version::Compare(const Version& other) const {
  if (const int c = CompareNumbers(major, other.major); c != 0) return c;
  if (const int c = CompareNumbers(minor, other.minor); c != 0) return c;
  if (const int c = CompareNumbers(patch, other.patch); c != 0) return c;
  return ComparePrereleases(prerelease, other.prerelease);
}

std::optional<std::string> PickTag(const VersionRange& range, const std::vector<std::string>& tags,
                                   bool helm) {
  const std::string* best_tag = nullptr;
  Version best;
  for (const std::string& tag : tags) {
    std::string spelling = tag;
    if (helm) std::replace(spelling.begin(), spelling.end(), '_', '+');
    const std::optional<Version> version = Version::ParseTag(spelling);
    if (!version || !range.Contains(*version)) continue;
    if (best_tag != nullptr && version->Compare(best) <= 0) continue;
    best_tag = &tag;
    best = *version;
  }
  if (best_tag == nullptr) return std::nullopt;
  return *best_tag;
}

}  // namespace ocirepofs
