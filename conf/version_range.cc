#include <algorithm>
#include <array>

#include "conf/semver.h"

namespace ocirepofs {
namespace {

constexpr std::string_view kSpace = " \t\n\f\r";

bool IsSpace(char c) { return kSpace.find(c) != std::string_view::npos; }

bool IsSegmentCharacter(char c) {
  return (c >= '0' && c <= '9') || c == 'x' || c == 'X' || c == '*' || c == '|';
}

bool IsIdentifierCharacter(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
}

bool IsWildcard(std::string_view segment) {
  return segment == "x" || segment == "X" || segment == "*";
}

template <class Predicate>
std::string_view TakeWhile(std::string_view& text, Predicate predicate) {
  const auto end = std::find_if_not(text.begin(), text.end(), predicate);
  const std::string_view taken = text.substr(0, static_cast<size_t>(end - text.begin()));
  text.remove_prefix(taken.size());
  return taken;
}

/// A version as a range spells it, unread: "v1.x", "1.2.3-rc.1+build".
struct VersionSpelling {
  std::string_view text;
  std::array<std::string_view, 3> segments;  // empty where missing
  std::string_view prerelease;               // with its '-'
};

/// Takes a `mark` with dot-separated identifiers behind it, or nothing.
std::string_view TakeSuffix(std::string_view& text, char mark) {
  if (!text.starts_with(mark)) return {};
  const std::string_view start = text;
  std::string_view rest = text.substr(1);
  if (TakeWhile(rest, IsIdentifierCharacter).empty()) return {};
  text = rest;
  while (rest.starts_with('.')) {
    rest.remove_prefix(1);
    if (TakeWhile(rest, IsIdentifierCharacter).empty()) break;
    text = rest;
  }
  return start.substr(0, start.size() - text.size());
}

/// Takes the longest version spelling at the front of `text`.
std::optional<VersionSpelling> TakeVersion(std::string_view& text) {
  const std::string_view start = text;
  std::string_view rest = text;
  if (rest.starts_with('v')) rest.remove_prefix(1);
  VersionSpelling spelling;
  spelling.segments[0] = TakeWhile(rest, IsSegmentCharacter);
  if (spelling.segments[0].empty()) return std::nullopt;
  for (const size_t i : {size_t{1}, size_t{2}}) {
    if (!rest.starts_with('.')) break;
    std::string_view behind_dot = rest.substr(1);
    spelling.segments[i] = TakeWhile(behind_dot, IsSegmentCharacter);
    if (spelling.segments[i].empty()) break;
    rest = behind_dot;
  }
  spelling.prerelease = TakeSuffix(rest, '-');
  TakeSuffix(rest, '+');
  spelling.text = start.substr(0, start.size() - rest.size());
  text = rest;
  return spelling;
}

/// "1.2 - 2.0" at the front of `text`, taken off with the space around it.
struct HyphenRange {
  std::string_view from;
  std::string_view to;
};

std::optional<HyphenRange> TakeHyphenRange(std::string_view& text) {
  std::string_view rest = text;
  TakeWhile(rest, IsSpace);
  const std::optional<VersionSpelling> from = TakeVersion(rest);
  if (!from || TakeWhile(rest, IsSpace).empty()) return std::nullopt;
  if (!rest.starts_with('-')) return std::nullopt;
  rest.remove_prefix(1);
  if (TakeWhile(rest, IsSpace).empty()) return std::nullopt;
  const std::optional<VersionSpelling> to = TakeVersion(rest);
  if (!to) return std::nullopt;
  TakeWhile(rest, IsSpace);
  text = rest;
  return HyphenRange{from->text, to->text};
}

/// Hyphen ranges are replaced in the text, before anything is understood: that is how the original
/// does it, and what it makes of "1||3 - 4" (">=1 || 3, <=4") can be had in no other way.
std::string RewriteHyphenRanges(std::string_view text) {
  std::string rewritten;
  while (!text.empty()) {
    if (const std::optional<HyphenRange> range = TakeHyphenRange(text)) {
      rewritten += fmt::format(">= {}, <= {} ", range->from, range->to);
    } else {
      rewritten += text.front();
      text.remove_prefix(1);
    }
  }
  return rewritten;
}

}  // namespace

/// Reads the comparators of one alternative.
class VersionRange::Parser {
 public:
  explicit Parser(std::string_view text) : rest_(text) {}

  /// Nothing where the text is not a list of comparators.
  std::optional<std::vector<Comparator>> ParseAll() {
    std::vector<Comparator> comparators;
    TakeWhile(rest_, IsSpace);
    while (true) {
      const std::optional<Comparator> comparator = ParseComparator();
      if (!comparator) return std::nullopt;
      comparators.push_back(*comparator);
      const bool separated = !TakeWhile(rest_, IsSpace).empty();
      if (rest_.empty()) return comparators;
      if (rest_.starts_with(',')) {
        rest_.remove_prefix(1);
        TakeWhile(rest_, IsSpace);
      } else if (!separated) {
        return std::nullopt;
      }
    }
  }

 private:
  Comparator::Op ParseOp() {
    using Op = Comparator::Op;
    struct Spelling {
      std::string_view text;
      Op op;
    };
    // The longer ones first.
    constexpr std::array<Spelling, 11> kSpellings = {{
        {"!=", Op::kNotEqual},
        {">=", Op::kGreaterEqual},
        {"=>", Op::kGreaterEqual},
        {"<=", Op::kLessEqual},
        {"=<", Op::kLessEqual},
        {"~>", Op::kTilde},
        {"=", Op::kEqual},
        {">", Op::kGreater},
        {"<", Op::kLess},
        {"~", Op::kTilde},
        {"^", Op::kCaret},
    }};
    for (const Spelling& spelling : kSpellings) {
      if (!rest_.starts_with(spelling.text)) continue;
      rest_.remove_prefix(spelling.text.size());
      return spelling.op;
    }
    return Op::kEqual;
  }

  std::optional<Comparator> ParseComparator() {
    Comparator comparator;
    comparator.op = ParseOp();
    TakeWhile(rest_, IsSpace);
    const std::optional<VersionSpelling> spelling = TakeVersion(rest_);
    if (!spelling) return std::nullopt;

    const auto is_open = [&](size_t i) {
      return spelling->segments[i].empty() || IsWildcard(spelling->segments[i]);
    };
    std::string text(spelling->text);
    if (is_open(0)) {
      comparator.is_partial = true;
      text = fmt::format("0.0.0{}", spelling->prerelease);
    } else if (is_open(1)) {
      comparator.is_partial = comparator.any_minor = true;
      text = fmt::format("{}.0.0{}", spelling->segments[0], spelling->prerelease);
    } else if (is_open(2)) {
      comparator.is_partial = comparator.any_patch = true;
      text = fmt::format("{}.{}.0{}", spelling->segments[0], spelling->segments[1],
                         spelling->prerelease);
    }
    const std::optional<Version> version = Version::Parse(text);
    if (!version) return std::nullopt;
    comparator.version = *version;
    return comparator;
  }

  std::string_view rest_;
};

bool VersionRange::Comparator::AcceptsNotEqual(const Version& candidate) const {
  if (!any_minor && !any_patch) return candidate.Compare(version) != 0;
  if (candidate.major != version.major) return true;
  if (any_minor) return false;
  if (candidate.minor != version.minor) return true;
  // All patches are refused, but a pre-release stands only for itself.
  Version same_patch = candidate;
  same_patch.patch = version.patch;
  const bool has_prerelease = !candidate.prerelease.empty() || !version.prerelease.empty();
  return has_prerelease && same_patch.Compare(version) != 0;
}

bool VersionRange::Comparator::AcceptsGreater(const Version& candidate) const {
  if (candidate.major != version.major) return candidate.major > version.major;
  if (any_minor) return false;
  if (any_patch) return candidate.minor > version.minor;
  return candidate.Compare(version) > 0;
}

bool VersionRange::Comparator::AcceptsLessEqual(const Version& candidate) const {
  if (!is_partial) return candidate.Compare(version) <= 0;
  if (candidate.major != version.major) return candidate.major < version.major;
  return any_minor || candidate.minor <= version.minor;
}

bool VersionRange::Comparator::AcceptsTilde(const Version& candidate) const {
  if (candidate.Compare(version) < 0) return false;
  const bool is_zero = version.major == 0 && version.minor == 0 && version.patch == 0;
  if (is_zero && !any_minor && !any_patch) return true;
  return candidate.major == version.major && (any_minor || candidate.minor == version.minor);
}

bool VersionRange::Comparator::AcceptsCaret(const Version& candidate) const {
  if (candidate.Compare(version) < 0) return false;
  if (candidate.major != version.major) return false;
  if (version.major > 0 || any_minor) return true;
  if (candidate.minor != version.minor) return false;
  if (version.minor > 0 || any_patch) return true;
  return candidate.patch == version.patch;
}

bool VersionRange::Comparator::Accepts(const Version& candidate) const {
  switch (op) {
    case Op::kEqual:
      return is_partial ? AcceptsTilde(candidate) : candidate.Compare(version) == 0;
    case Op::kNotEqual:
      return AcceptsNotEqual(candidate);
    case Op::kGreater:
      return AcceptsGreater(candidate);
    case Op::kLess:
      return candidate.Compare(version) < 0;
    case Op::kGreaterEqual:
      return candidate.Compare(version) >= 0;
    case Op::kLessEqual:
      return AcceptsLessEqual(candidate);
    case Op::kTilde:
      return AcceptsTilde(candidate);
    case Op::kCaret:
      return AcceptsCaret(candidate);
  }
  return false;
}

Result<VersionRange> VersionRange::Parse(std::string_view text) {
  const std::string rewritten = RewriteHyphenRanges(text);
  std::string_view rest = rewritten;
  VersionRange range;
  while (true) {
    const size_t end = rest.find("||");
    const std::string_view alternative = rest.substr(0, end);
    std::optional<std::vector<Comparator>> comparators = Parser(alternative).ParseAll();
    if (!comparators) {
      return Fail(ErrorCode::kInvalid,
                  "version range '{}': '{}' is not a list of comparisons such as '>=1.2.0 <2.0.0', "
                  "'~1.2' or '1.x'",
                  text, alternative);
    }
    range.alternatives_.push_back(std::move(*comparators));
    if (end == std::string_view::npos) return range;
    rest.remove_prefix(end + 2);
  }
}

bool VersionRange::Contains(const Version& version) const {
  const auto names_prerelease = [](const Comparator& c) { return !c.version.prerelease.empty(); };
  const auto accepts = [&](const Comparator& c) { return c.Accepts(version); };
  const auto contains = [&](const std::vector<Comparator>& all) {
    const bool admitted = version.prerelease.empty() || std::ranges::any_of(all, names_prerelease);
    return admitted && std::ranges::all_of(all, accepts);
  };
  return std::ranges::any_of(alternatives_, contains);
}

}  // namespace ocirepofs
