#include "conf/ignore/ignore.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "conf/ignore/glob.h"
#include "conf/utf8.h"

namespace ocirepofs {
namespace {

constexpr std::string_view kVcsRules =
    ".git/\n"
    ".gitignore\n"
    ".gitmodules\n"
    ".gitattributes\n";

constexpr std::string_view kDefaultRules =
    "*.jpg\n*.jpeg\n*.gif\n*.png\n*.wmv\n*.flv\n*.tar.gz\n*.zip\n"
    ".github/\n.circleci/\n.travis.yml\n.gitlab-ci.yml\nappveyor.yml\n.drone.yml\n"
    "cloudbuild.yaml\ncodeship-services.yml\ncodeship-steps.yml\n"
    "**/.goreleaser.yml\n**/.sops.yaml\n**/.flux.yaml\n";

constexpr std::string_view kAnyDepth = "**";

/// Where Flux's line reader gives up, counted without the line feed.
constexpr size_t kLineLimit = size_t{64} * 1024;

/// Unicode's White_Space.
bool IsSpace(char32_t c) {
  return (c >= '\t' && c <= '\r') || c == ' ' || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

bool IsBlank(std::string_view line) {
  while (!line.empty()) {
    const Rune rune = DecodeRune(line);
    if (!IsSpace(rune.value)) return false;
    line.remove_prefix(rune.width);
  }
  return true;
}

void Append(std::vector<IgnorePattern> from, std::vector<IgnorePattern>& to) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

}  // namespace

bool IgnorePattern::Segment::Matches(std::string_view component) const {
  switch (kind) {
    case Kind::kEmpty:
    case Kind::kAnyDepth:
      return false;
    case Kind::kLiteral:
      return component == text;
    case Kind::kSuffix:
      return component.ends_with(text);
    case Kind::kGlob:
      return GlobMatch(text, component) == GlobResult::kMatch;
  }
  return false;
}

IgnorePattern::Segment IgnorePattern::ParseSegment(std::string_view text, bool is_path) {
  if (text.empty()) return {Segment::Kind::kEmpty, ""};
  if (is_path && text == kAnyDepth) return {Segment::Kind::kAnyDepth, ""};
  constexpr std::string_view kMeta = "*?[\\";
  if (text.find_first_of(kMeta) == std::string_view::npos) {
    return {Segment::Kind::kLiteral, std::string(text)};
  }
  const std::string_view suffix = text.substr(std::min(text.find_first_not_of('*'), text.size()));
  if (suffix.size() < text.size() && suffix.find_first_of(kMeta) == std::string_view::npos) {
    return {Segment::Kind::kSuffix, std::string(suffix)};
  }
  return {Segment::Kind::kGlob, std::string(text)};
}

IgnorePattern::IgnorePattern(std::string_view line, std::vector<std::string> domain)
    : domain_(std::move(domain)) {
  if (line.starts_with('!')) {
    include_ = true;
    line.remove_prefix(1);
  }
  // Only the last two bytes are looked at, so "foo\  " loses both blanks and ends in a backslash.
  if (!line.ends_with("\\ ")) line = line.substr(0, line.find_last_not_of(' ') + 1);
  if (line.ends_with('/')) {
    directory_only_ = true;
    line.remove_suffix(1);
  }
  is_path_ = line.find('/') != std::string_view::npos;

  for (size_t start = 0; start <= line.size();) {
    const size_t end = std::min(line.find('/', start), line.size());
    const std::string_view text = line.substr(start, end - start);
    // A rule is malformed as a whole: its segments are all needed for a match.
    const bool stray_any_depth =
        is_path_ && text != kAnyDepth && text.find(kAnyDepth) != std::string_view::npos;
    if (stray_any_depth || GlobMatch(text, "") == GlobResult::kBadPattern) malformed_ = true;
    segments_.push_back(ParseSegment(text, is_path_));
    start = end + 1;
  }
}

IgnorePattern::Verdict IgnorePattern::Match(const std::vector<std::string_view>& path,
                                            bool is_directory) const {
  if (malformed_ || path.size() <= domain_.size()) return Verdict::kNoMatch;
  if (!std::equal(domain_.begin(), domain_.end(), path.begin())) return Verdict::kNoMatch;
  const bool matches = is_path_ ? MatchesPath(path, domain_.size(), is_directory)
                                : MatchesName(path, domain_.size(), is_directory);
  if (!matches) return Verdict::kNoMatch;
  return include_ ? Verdict::kInclude : Verdict::kExclude;
}

bool IgnorePattern::MatchesName(const std::vector<std::string_view>& path, size_t first,
                                bool is_directory) const {
  // Every component but the last is a directory by nature.
  const size_t end = directory_only_ && !is_directory ? path.size() - 1 : path.size();
  for (size_t i = first; i < end; ++i) {
    if (segments_.front().Matches(path[i])) return true;
  }
  return false;
}

bool IgnorePattern::MatchesPath(const std::vector<std::string_view>& path, size_t first,
                                bool is_directory) const {
  size_t next = first;
  bool matched = false;
  bool search = false;
  for (const Segment& segment : segments_) {
    if (segment.kind == Segment::Kind::kEmpty) {
      search = false;
      continue;
    }
    if (segment.kind == Segment::Kind::kAnyDepth) {
      search = true;
      continue;
    }
    // The first hit is kept even if the rest then fails: Flux does not go back either.
    while (next < path.size() && !segment.Matches(path[next])) {
      if (!search) return false;
      ++next;
    }
    if (next == path.size()) return false;
    ++next;
    matched = true;
    search = false;
  }
  const bool is_below = next < path.size();
  return matched && (!directory_only_ || is_directory || is_below);
}

std::vector<IgnorePattern> ParseIgnoreFile(std::string_view text,
                                           const std::vector<std::string>& domain) {
  std::vector<IgnorePattern> patterns;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    if (end >= kLineLimit) break;
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.starts_with('#') || IsBlank(line)) continue;
    patterns.emplace_back(line, domain);
  }
  return patterns;
}

IgnoreRules::IgnoreRules(std::vector<IgnorePattern> source_ignore,
                         const std::optional<std::string>& spec_ignore)
    : patterns_(ParseIgnoreFile(kVcsRules, {})) {
  std::vector<IgnorePattern> spec = ParseIgnoreFile(spec_ignore.value_or(""), {});
  if (spec.empty()) {
    std::vector<IgnorePattern> defaults = ParseIgnoreFile(kDefaultRules, {});
    default_count_ = defaults.size();
    Append(std::move(defaults), patterns_);
  }
  first_spec_pattern_ = patterns_.size();
  Append(std::move(spec), patterns_);
  Add(std::move(source_ignore));
}

void IgnoreRules::Add(std::vector<IgnorePattern> source_ignore) {
  if (source_ignore.empty()) return;
  const auto spec = patterns_.begin() + static_cast<ptrdiff_t>(first_spec_pattern_);
  const auto place = patterns_.erase(spec - static_cast<ptrdiff_t>(default_count_), spec);
  first_spec_pattern_ += source_ignore.size() - default_count_;
  default_count_ = 0;
  patterns_.insert(place, std::make_move_iterator(source_ignore.begin()),
                   std::make_move_iterator(source_ignore.end()));
}

bool IgnoreRules::Excludes(const std::vector<std::string_view>& path, bool is_directory) const {
  for (auto pattern = patterns_.rbegin(); pattern != patterns_.rend(); ++pattern) {
    const IgnorePattern::Verdict verdict = pattern->Match(path, is_directory);
    if (verdict != IgnorePattern::Verdict::kNoMatch) {
      return verdict == IgnorePattern::Verdict::kExclude;
    }
  }
  return false;
}

}  // namespace ocirepofs
