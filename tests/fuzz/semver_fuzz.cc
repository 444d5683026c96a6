#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "conf/semver.h"

namespace ocirepofs {
namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

void CheckOrder(const std::vector<Version>& versions) {
  for (const Version& a : versions) {
    const std::optional<Version> again = Version::Parse(a.ToString());
    Check(again && again->Compare(a) == 0 && again->ToString() == a.ToString());
    for (const Version& b : versions) {
      Check(a.Compare(b) == -b.Compare(a));
      for (const Version& c : versions) {
        if (a.Compare(b) <= 0 && b.Compare(c) <= 0) Check(a.Compare(c) <= 0);
      }
    }
  }
}

/// The input is a range on the first line, then one tag a line.
void CheckPick(std::string_view input) {
  constexpr size_t kMaxTags = 8;
  const size_t end = std::min(input.find('\n'), input.size());
  const std::string_view range_text = input.substr(0, end);
  input.remove_prefix(std::min(end + 1, input.size()));
  std::vector<std::string> tags;
  std::vector<Version> versions;
  while (!input.empty() && tags.size() < kMaxTags) {
    const size_t tag_end = std::min(input.find('\n'), input.size());
    tags.emplace_back(input.substr(0, tag_end));
    input.remove_prefix(std::min(tag_end + 1, input.size()));
    if (const auto version = Version::ParseTag(tags.back())) versions.push_back(*version);
  }
  CheckOrder(versions);

  const Result<VersionRange> range = VersionRange::Parse(range_text);
  if (!range) return;
  const std::optional<std::string> pick = PickTag(*range, tags, false);
  for (const Version& version : versions) {
    if (!range->Contains(version)) continue;
    Check(pick.has_value());
    Check(Version::ParseTag(*pick)->Compare(version) >= 0);
  }
  if (pick) Check(range->Contains(*Version::ParseTag(*pick)));
}

}  // namespace
}  // namespace ocirepofs

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ocirepofs::CheckPick({reinterpret_cast<const char*>(data), size});
  return 0;
}
