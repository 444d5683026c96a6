#include "conf/semver.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/support/tsv.h"

namespace ocirepofs {
namespace {

std::vector<std::string> SplitTags(std::string_view text) {
  std::vector<std::string> tags;
  while (true) {
    const size_t end = text.find(',');
    tags.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return tags;
    text.remove_prefix(end + 1);
  }
}

Version V(std::string_view text) {
  const std::optional<Version> version = Version::Parse(text);
  if (!version) throw std::runtime_error("not a version: " + std::string(text));
  return *version;
}

// The columns strict_valid and …_seed_era are of parsers that Flux no longer uses; the same goes
// for the older library's columns in the other files.
TEST(Version, Vectors) {
  const std::vector<test::TsvRow> rows = test::LoadVectors("semver_versions.tsv");
  size_t ran = 0;
  for (const test::TsvRow& row : rows) {
    const std::string& text = row.Text("string");
    SCOPED_TRACE(row.where() + " " + text);
    const std::optional<Version> version = Version::Parse(text);
    EXPECT_EQ(version.has_value(), row.Bool("valid"));
    EXPECT_EQ(version ? std::optional(version->ToString()) : std::nullopt, row.Maybe("canonical"));
    EXPECT_EQ(Version::ParseTag(text).has_value(), row.Bool("flux_tag_candidate"));
    ++ran;
  }
  EXPECT_GT(ran, 0U);
  EXPECT_EQ(ran, rows.size());
}

TEST(Version, VectorsOfOrder) {
  const std::vector<test::TsvRow> rows = test::LoadVectors("semver_order.tsv");
  size_t ran = 0;
  for (const test::TsvRow& row : rows) {
    SCOPED_TRACE(row.where());
    const Version a = V(row.Text("a"));
    const Version b = V(row.Text("b"));
    const int expected = std::stoi(row.Text("cmp"));
    EXPECT_EQ(a.Compare(b), expected);
    EXPECT_EQ(b.Compare(a), -expected);
    ++ran;
  }
  EXPECT_GT(ran, 0U);
  EXPECT_EQ(ran, rows.size());
}

TEST(VersionRange, Vectors) {
  const std::vector<test::TsvRow> rows = test::LoadVectors("semver_constraints.tsv");
  size_t ran = 0;
  for (const test::TsvRow& row : rows) {
    SCOPED_TRACE(row.where() + " " + row.Text("constraint"));
    const Result<VersionRange> range = VersionRange::Parse(row.Text("constraint"));
    if (row.Text("expected") == "error") {
      ASSERT_FALSE(range);
      EXPECT_EQ(range.error().code, ErrorCode::kInvalid);
    } else {
      ASSERT_TRUE(range) << range.error().message;
      EXPECT_EQ(range->Contains(V(row.Text("version"))), row.Bool("expected"))
          << row.Text("version");
    }
    ++ran;
  }
  EXPECT_GT(ran, 0U);
  EXPECT_EQ(ran, rows.size());
}

TEST(PickTag, Vectors) {
  const std::vector<test::TsvRow> rows = test::LoadVectors("semver_pick.tsv");
  size_t ran = 0;
  for (const test::TsvRow& row : rows) {
    SCOPED_TRACE(row.where() + " " + row.Text("constraint"));
    const std::string& media = row.Text("media");
    ASSERT_TRUE(media == "plain" || media == "helm") << media;
    const Result<VersionRange> range = VersionRange::Parse(row.Text("constraint"));
    std::string pick = "error";
    if (range) {
      pick = PickTag(*range, SplitTags(row.Text("tags")), media == "helm").value_or("none");
    }
    EXPECT_EQ(pick, row.Text("pick"));
    ++ran;
  }
  EXPECT_GT(ran, 0U);
  EXPECT_EQ(ran, rows.size());
}

struct TagCase {
  const char* id;
  const char* tag;
  bool valid;
};

constexpr TagCase kTagCases[] = {
    {"VER-01", "v1.2.3", true},
    {"VER-01", "v2025.07.03", true},
    {"VER-01", "v1.2.0-x.Y.0+metadata", true},
    {"VER-01", "v1.2.0-x.Y.0+metadata-width-hypen", true},
    {"VER-01", "v1.2.3-rc1-with-hypen", true},
    {"VER-02", "v1.0", false},
    {"VER-02", "v1", false},
    {"VER-02", "v1.2.beta", false},
    {"VER-02", "v1.2-5", false},
    {"VER-02", "v1.2-beta5", false},
    {"VER-02", "\nv1.2", false},
    {"VER-02", "v1.2.3.4", false},
};

TEST(Version, UpstreamTagCases) {
  for (const TagCase& c : kTagCases) {
    SCOPED_TRACE(std::string(c.id) + " " + c.tag);
    EXPECT_EQ(Version::ParseTag(c.tag).has_value(), c.valid);
  }
}

/// The tags that PickTag would take one after the other.
std::vector<std::string> PickAll(std::string_view range_text, std::vector<std::string> tags) {
  const Result<VersionRange> range = VersionRange::Parse(range_text);
  if (!range) return {range.error().message};
  std::vector<std::string> picks;
  while (const std::optional<std::string> pick = PickTag(*range, tags, false)) {
    picks.push_back(*pick);
    tags.erase(std::ranges::find(tags, *pick));
  }
  return picks;
}

// VER-03; equals in the order of the registry.
TEST(PickTag, HighestFirstThenFirstListed) {
  EXPECT_EQ(
      PickAll(">= 1.2.0, < 1.3.0", {"v1.2.0", "v1.2.3", "v1.3.0", "1.2.4", "v1.1.0",
                                    "something-invalid", "v1.2.4", "another-invalid", "1.2.4"}),
      (std::vector<std::string>{"1.2.4", "v1.2.4", "1.2.4", "v1.2.3", "v1.2.0"}));
}

// VER-04
TEST(PickTag, WildcardLeavesPrereleasesOut) {
  EXPECT_EQ(PickAll("6.0.x", {"v0.0.1", "v0.0.2", "v0.0.3", "v6.0.0", "v6.0.1", "v6.0.2",
                              "v6.0.2-rc.1", "v6.0.2-alpha", "staging-6.0.3"}),
            (std::vector<std::string>{"v6.0.2", "v6.0.1", "v6.0.0"}));
}

bool InRange(std::string_view range_text, std::string_view version) {
  const Result<VersionRange> range = VersionRange::Parse(range_text);
  return range && range->Contains(V(version));
}

TEST(VersionRange, PrereleaseAnywhereInTheGroupOpensItForAll) {
  EXPECT_TRUE(InRange(">=1.0.0-0 <2.0.0", "1.5.0-rc.1"));
  EXPECT_TRUE(InRange(">=1.0.0-0 <2.0.0", "2.0.0-alpha"));
  EXPECT_FALSE(InRange(">=1.0.0 <2.0.0", "1.5.0-rc.1"));
  EXPECT_FALSE(InRange(">=1.0.0-0 <2.0.0 || ^3", "3.1.0-rc.1"));
}

TEST(VersionRange, HyphenRangesAreRewrittenAsText) {
  EXPECT_TRUE(InRange("1.2 - 2.3", "2.3.9"));
  EXPECT_TRUE(InRange("1 - 2 <2.5.0", "2.4.0"));
  EXPECT_TRUE(InRange("1||3 - 4", "1.5.0"));
  EXPECT_FALSE(VersionRange::Parse("1 - 2 ||3 - 4"));
  EXPECT_TRUE(VersionRange::Parse("1 - 2 || 3 - 4"));
  EXPECT_FALSE(VersionRange::Parse(">1 - 2"));
}

TEST(VersionRange, MessageShowsTheAlternativeThatFails) {
  const Result<VersionRange> range = VersionRange::Parse(">=1.0.0 || latest");
  ASSERT_FALSE(range);
  EXPECT_EQ(range.error().message,
            "version range '>=1.0.0 || latest': ' latest' is not a list of comparisons such as "
            "'>=1.2.0 <2.0.0', '~1.2' or '1.x'");
}

}  // namespace
}  // namespace ocirepofs
