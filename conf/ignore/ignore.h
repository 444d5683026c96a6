#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ocirepofs {

/// Ignore rules as Flux's source-controller applies them: the dialect of go-git v5, which differs
/// from git's own in many details (no parent pruning, prefix matches, greedy `**`).

/// One rule, bound to the directory of the file it came from.
class IgnorePattern {
 public:
  /// `line` is neither blank nor a comment. `domain` holds the components of the directory that the
  /// rule is bound to, empty for the root.
  IgnorePattern(std::string_view line, std::vector<std::string> domain);

  enum class Verdict { kNoMatch, kExclude, kInclude };

  /// `path` holds the components below the root of the artifact.
  Verdict Match(const std::vector<std::string_view>& path, bool is_directory) const;

 private:
  /// One component of the pattern, classed by how it is compared: most are plain text or "*.ext",
  /// and rules are asked for every entry of an artifact.
  struct Segment {
    enum class Kind { kEmpty, kAnyDepth, kLiteral, kSuffix, kGlob };
    Kind kind;
    std::string text;  // of kSuffix without its stars

    bool Matches(std::string_view component) const;
  };

  static Segment ParseSegment(std::string_view text, bool is_path);
  bool MatchesName(const std::vector<std::string_view>& path, size_t first,
                   bool is_directory) const;
  bool MatchesPath(const std::vector<std::string_view>& path, size_t first,
                   bool is_directory) const;

  std::vector<std::string> domain_;
  std::vector<Segment> segments_;
  bool malformed_ = false;  // matches nothing
  bool include_ = false;
  bool directory_only_ = false;
  bool is_path_ = false;  // has an inner or leading slash: anchored at the domain
};

/// The rules of one ignore file or of spec.ignore, in order. CRLF, comments, blank lines, and the
/// line of 64 KiB or more that ends the reading are treated as Flux treats them.
std::vector<IgnorePattern> ParseIgnoreFile(std::string_view text,
                                           const std::vector<std::string>& domain);

/// All rules that apply to one artifact. A value; const members on any thread.
///
/// Assembly: VCS rules first, then the `.sourceignore` files (the root's first, then depth first in
/// name order), then spec.ignore. The default exclusions follow only if the files and spec.ignore
/// together hold no rule at all. The last rule that matches decides.
class IgnoreRules {
 public:
  /// `source_ignore` holds the rules of the `.sourceignore` files in their order. Those in or below
  /// a directory called `.git` don't count; those below an excluded directory do.
  IgnoreRules(std::vector<IgnorePattern> source_ignore,
              const std::optional<std::string>& spec_ignore);

  /// Whether the entry is left out. The root itself (an empty path) never is.
  bool Excludes(const std::vector<std::string_view>& path, bool is_directory) const;

  /// Adds the rules of one more `.sourceignore`, behind those of the former. The default exclusions
  /// go with the first rule that comes.
  void Add(std::vector<IgnorePattern> source_ignore);

 private:
  std::vector<IgnorePattern> patterns_;
  size_t default_count_ = 0;       // of the default exclusions, just before the next
  size_t first_spec_pattern_ = 0;  // all from here on are spec.ignore's
};

inline constexpr std::string_view kSourceIgnoreFile = ".sourceignore";

}  // namespace ocirepofs
