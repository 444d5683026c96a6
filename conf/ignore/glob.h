#pragma once

#include <string_view>

namespace ocirepofs {

enum class GlobResult { kMatch, kNoMatch, kBadPattern };

/// Go's filepath.Match on one path component: `*` is any run, `?` one character, `[a-c]` and
/// `[^a-c]` one of a class, and `\` takes the next character literally, in classes too. There are
/// no POSIX classes and no `[!…]`, and `**` is the same as `*`.
///
/// kBadPattern depends on `pattern` alone (Go may say "no match" instead, when it fails before it
/// gets to the fault): an unclosed class, a trailing `\`, a class that starts with `]`, a `-`
/// without an end. Takes at most pattern × text steps.
///
/// REQUIRES: `text` has no slash.
GlobResult GlobMatch(std::string_view pattern, std::string_view text);

}  // namespace ocirepofs
