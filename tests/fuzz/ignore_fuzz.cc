#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "conf/ignore/glob.h"
#include "conf/ignore/ignore.h"
#include "tests/support/tsv.h"

namespace ocirepofs {
namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

/// The input is a path up to the first NUL, then the rules of a file.
void CheckRules(std::string_view input) {
  const size_t end = std::min(input.find('\0'), input.size());
  const std::vector<std::string_view> path = test::SplitPath(input.substr(0, end));
  const std::string rules(input.substr(std::min(end + 1, input.size())));

  const std::vector<IgnorePattern> patterns = ParseIgnoreFile(rules, {});
  for (const bool is_directory : {false, true}) {
    IgnorePattern::Verdict last = IgnorePattern::Verdict::kNoMatch;
    for (const IgnorePattern& pattern : patterns) {
      const IgnorePattern::Verdict verdict = pattern.Match(path, is_directory);
      if (verdict != IgnorePattern::Verdict::kNoMatch) last = verdict;
    }
    const bool matched = last != IgnorePattern::Verdict::kNoMatch;
    const bool excluded = last == IgnorePattern::Verdict::kExclude;

    // The same rules decide alike as a file and as spec.ignore, which also says so.
    const IgnoreRules as_spec({}, rules);
    const IgnoreRules as_file(patterns, std::nullopt);
    Check(as_spec.Excludes(path, is_directory) == as_file.Excludes(path, is_directory));
    if (matched) Check(as_spec.Excludes(path, is_directory) == excluded);
    Check(!as_spec.Excludes({}, is_directory));
  }

  for (const std::string_view component : path) {
    const GlobResult result = GlobMatch(rules, component);
    Check((result == GlobResult::kBadPattern) == (GlobMatch(rules, "") == GlobResult::kBadPattern));
    if (result == GlobResult::kMatch) Check(GlobMatch("*" + rules, component) == result);
  }
}

}  // namespace
}  // namespace ocirepofs

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ocirepofs::CheckRules({reinterpret_cast<const char*>(data), size});
  return 0;
}
