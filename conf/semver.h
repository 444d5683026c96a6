#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "conf/error.h"

namespace ocirepofs {

/// Semantic versions and version ranges as Masterminds/semver v3.4 and later understands them,
/// the library that Flux uses.

/// One version. A value. Ordered by precedence: build metadata does not count.
struct Version {
  uint64_t major = 0;
  uint64_t minor = 0;
  uint64_t patch = 0;
  std::string prerelease;  // without the '-'
  std::string metadata;    // without the '+'

  /// The loose grammar: an optional `v`, one to three numbers, leading zeros accepted.
  static std::optional<Version> Parse(std::string_view text);
  /// Flux's rule for a tag: at least two dots, then the loose grammar.
  static std::optional<Version> ParseTag(std::string_view tag);

  std::string ToString() const;             // canonical, without `v`
  int Compare(const Version& other) const;  // -1, 0, 1
};

/// A range such as ">=1.0.0 <2.0.0 || ~3.1". A value; const members on any thread.
class VersionRange {
 public:
  /// Errors are kInvalid.
  static Result<VersionRange> Parse(std::string_view text);

  bool Contains(const Version& version) const;

 private:
  struct Comparator {
    enum class Op { kEqual, kNotEqual, kGreater, kLess, kGreaterEqual, kLessEqual, kTilde, kCaret };

    bool Accepts(const Version& candidate) const;
    bool AcceptsNotEqual(const Version& candidate) const;
    bool AcceptsGreater(const Version& candidate) const;
    bool AcceptsLessEqual(const Version& candidate) const;
    bool AcceptsTilde(const Version& candidate) const;
    bool AcceptsCaret(const Version& candidate) const;

    Op op = Op::kEqual;
    Version version;  // wildcards and missing numbers are 0 in it
    /// Some number is a wildcard or missing. With neither of the other two set, it is the major
    /// one.
    bool is_partial = false;
    bool any_minor = false;  // the minor number, and so the patch number
    bool any_patch = false;  // the patch number only
  };
  class Parser;

  VersionRange() = default;
  std::vector<std::vector<Comparator>> alternatives_;
};

/// The tag that Flux picks: the highest version in the range, as spelled in the registry; among
/// equals the one that stands first in `tags`. Nothing where no tag matches. With `helm`, `_` in a
/// tag is read as `+` (the chart layer media type).
std::optional<std::string> PickTag(const VersionRange& range, const std::vector<std::string>& tags,
                                   bool helm);

}  // namespace ocirepofs
