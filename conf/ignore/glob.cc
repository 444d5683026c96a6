#include "conf/ignore/glob.h"

#include <optional>

#include "conf/utf8.h"

namespace ocirepofs {
namespace {

/// The next character of a class, which a backslash may precede; taken off `pattern`. Nothing where
/// a class can't go on like this. A class is never the end of its pattern before its `]`.
std::optional<char32_t> TakeClassRune(std::string_view& pattern) {
  if (pattern.empty() || pattern.front() == '-' || pattern.front() == ']') return std::nullopt;
  if (pattern.front() == '\\') {
    pattern.remove_prefix(1);
    if (pattern.empty()) return std::nullopt;
  }
  const Rune rune = DecodeRune(pattern);
  if (rune.value == kInvalidRune.value && rune.width == kInvalidRune.width) return std::nullopt;
  pattern.remove_prefix(rune.width);
  if (pattern.empty()) return std::nullopt;
  return rune.value;
}

/// Takes a class off `pattern`, which starts behind the `[`, and says whether `rune` is in it.
/// Nothing where the class is malformed.
std::optional<bool> TakeClass(std::string_view& pattern, char32_t rune) {
  bool negated = false;
  if (!pattern.empty() && pattern.front() == '^') {
    negated = true;
    pattern.remove_prefix(1);
  }
  bool found = false;
  for (bool first = true; first || pattern.front() != ']'; first = false) {
    const std::optional<char32_t> low = TakeClassRune(pattern);
    if (!low) return std::nullopt;
    std::optional<char32_t> high = low;
    if (pattern.front() == '-') {
      pattern.remove_prefix(1);
      high = TakeClassRune(pattern);
      if (!high) return std::nullopt;
    }
    if (*low <= rune && rune <= *high) found = true;
  }
  pattern.remove_prefix(1);
  return found != negated;
}

bool IsWellFormed(std::string_view pattern) {
  while (!pattern.empty()) {
    const char c = pattern.front();
    pattern.remove_prefix(1);
    if (c == '\\') {
      if (pattern.empty()) return false;
      pattern.remove_prefix(1);
    } else if (c == '[') {
      if (!TakeClass(pattern, 0)) return false;
    }
  }
  return true;
}

/// Takes everything up to the next `*` that is neither escaped nor in a class.
std::string_view TakeChunk(std::string_view& pattern) {
  size_t end = 0;
  bool in_class = false;
  for (; end < pattern.size(); ++end) {
    const char c = pattern[end];
    if (c == '*' && !in_class) break;
    if (c == '\\') {
      ++end;
    } else if (c == '[') {
      in_class = true;
    } else if (c == ']') {
      in_class = false;
    }
  }
  const std::string_view chunk = pattern.substr(0, end);
  pattern.remove_prefix(chunk.size());
  return chunk;
}

/// How many bytes at the start of `text` match `chunk`. REQUIRES: a well-formed chunk.
std::optional<size_t> MatchChunk(std::string_view chunk, std::string_view text) {
  const size_t size = text.size();
  while (!chunk.empty()) {
    if (text.empty()) return std::nullopt;
    const char c = chunk.front();
    chunk.remove_prefix(1);
    if (c == '?') {
      text.remove_prefix(DecodeRune(text).width);
      continue;
    }
    if (c == '[') {
      const Rune rune = DecodeRune(text);
      if (!TakeClass(chunk, rune.value).value_or(false)) return std::nullopt;
      text.remove_prefix(rune.width);
      continue;
    }
    char literal = c;
    if (c == '\\') {
      literal = chunk.front();
      chunk.remove_prefix(1);
    }
    if (text.front() != literal) return std::nullopt;
    text.remove_prefix(1);
  }
  return size - text.size();
}

/// Where `chunk` first matches in `text`: the offset behind it. Only at the very start unless
/// `anywhere`, and only up to the very end if `to_end`.
std::optional<size_t> FindChunk(std::string_view chunk, std::string_view text, bool anywhere,
                                bool to_end) {
  const size_t last_start = anywhere ? text.size() : 0;
  for (size_t start = 0; start <= last_start; ++start) {
    const std::optional<size_t> length = MatchChunk(chunk, text.substr(start));
    if (!length) continue;
    const size_t end = start + *length;
    if (!to_end || end == text.size()) return end;
  }
  return std::nullopt;
}

}  // namespace

GlobResult GlobMatch(std::string_view pattern, std::string_view text) {
  if (!IsWellFormed(pattern)) return GlobResult::kBadPattern;
  // A chunk between two stars may take its first hit: what a later hit would leave over, the next
  // star can skip as well. So nothing is ever tried twice.
  while (!pattern.empty()) {
    const size_t stars = pattern.find_first_not_of('*');
    if (stars == std::string_view::npos) return GlobResult::kMatch;
    pattern.remove_prefix(stars);
    const std::string_view chunk = TakeChunk(pattern);
    const std::optional<size_t> end = FindChunk(chunk, text, stars > 0, pattern.empty());
    if (!end) return GlobResult::kNoMatch;
    text.remove_prefix(*end);
  }
  return text.empty() ? GlobResult::kMatch : GlobResult::kNoMatch;
}

}  // namespace ocirepofs
