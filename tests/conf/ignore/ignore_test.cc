#include "conf/ignore/ignore.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/support/tsv.h"

namespace ocirepofs {
namespace {

using Verdict = IgnorePattern::Verdict;
using test::SplitPath;

std::vector<std::string> Domain(std::string_view directory) {
  const std::vector<std::string_view> components = SplitPath(directory);
  return {components.begin(), components.end()};
}

/// What the last of `patterns` that matches says.
Verdict Decide(const std::vector<IgnorePattern>& patterns, std::string_view path, bool is_dir) {
  Verdict decision = Verdict::kNoMatch;
  for (const IgnorePattern& pattern : patterns) {
    const Verdict verdict = pattern.Match(SplitPath(path), is_dir);
    if (verdict != Verdict::kNoMatch) decision = verdict;
  }
  return decision;
}

TEST(IgnoreFile, VectorsOfSingleFiles) {
  const std::vector<test::TsvRow> rows = test::LoadVectors("ignore_cases.tsv");
  size_t ran = 0;
  for (const test::TsvRow& row : rows) {
    SCOPED_TRACE(row.where() + " " + row.Text("case"));
    const std::vector<IgnorePattern> patterns = ParseIgnoreFile(row.Text("rules"), {});
    const Verdict verdict = Decide(patterns, row.Text("path"), row.Bool("is_dir"));
    EXPECT_EQ(verdict == Verdict::kExclude, row.Bool("flux_ignored"));
    ++ran;
  }
  EXPECT_GT(ran, 0U);
  EXPECT_EQ(ran, rows.size());
}

/// A `.sourceignore` file.
struct SourceIgnore {
  std::vector<std::string> directory;
  std::string rules;
};

/// The files' rules in the order of the contract: the root's first, then depth first by name.
/// Nobody looks into `.git` directories.
std::vector<IgnorePattern> Assemble(std::vector<SourceIgnore> files) {
  std::ranges::sort(files, {}, &SourceIgnore::directory);
  std::vector<IgnorePattern> patterns;
  for (const SourceIgnore& file : files) {
    if (std::ranges::find(file.directory, ".git") != file.directory.end()) continue;
    for (IgnorePattern& pattern : ParseIgnoreFile(file.rules, file.directory)) {
      patterns.push_back(std::move(pattern));
    }
  }
  return patterns;
}

TEST(IgnoreRules, VectorsOfWholeTrees) {
  const std::vector<test::TsvRow> rows = test::LoadVectors("ignore_trees.tsv");
  size_t ran = 0;
  for (const test::TsvRow& row : rows) {
    SCOPED_TRACE(row.where() + " " + row.Text("case"));
    std::vector<SourceIgnore> files;
    if (row.Maybe("root_rules")) files.push_back({{}, row.Text("root_rules")});
    for (const std::string nested : {"nested1", "nested2"}) {
      if (!row.Maybe(nested + "_dir")) continue;
      files.push_back({Domain(row.Text(nested + "_dir")), row.Text(nested + "_rules")});
    }
    const IgnoreRules rules(Assemble(files), row.Maybe("spec_ignore"));
    EXPECT_EQ(rules.Excludes(SplitPath(row.Text("path")), row.Bool("is_dir")),
              row.Bool("flux_ignored"));
    ++ran;
  }
  EXPECT_GT(ran, 0U);
  EXPECT_EQ(ran, rows.size());
}

constexpr char kDefaultsAndInclude[] = "*.jpg\n*.jpeg\n*.gif\n*.png\n!*.jpg\n";

struct Case {
  const char* id;
  const char* rules;
  const char* domain;
  const char* path;
  bool is_directory;
  Verdict verdict;
};

constexpr bool kFile = false;
constexpr bool kDir = true;
constexpr Verdict kYes = Verdict::kExclude;
constexpr Verdict kNo = Verdict::kNoMatch;
constexpr Verdict kKept = Verdict::kInclude;

// IGN-08 (which files are read), IGN-44 (spec.ignore) and IGN-47 (copy) are not about one file's
// patterns.
constexpr Case kCases[] = {
    {"IGN-02", "ignore-dir/*\n# !ignore-dir/include\n", "", "ignore-dir/include", kFile, kYes},
    {"IGN-03", "ignore-dir/*", "domain/scoped", "domain/scoped/ignore-dir/file.yaml", kFile, kYes},
    {"IGN-03", "ignore-dir/*", "domain/scoped", "ignore-dir/file.yaml", kFile, kNo},
    {"IGN-06", kDefaultsAndInclude, "", "image.jpg", kFile, kKept},
    {"IGN-07", "*.jpg\n*.png\n", "directory", "directory/image.jpg", kFile, kYes},
    {"IGN-07", "*.jpg\n*.png\n", "directory", "other/image.jpg", kFile, kNo},
    {"IGN-09", "!vul?ano", "", "value/vulkano/tail", kFile, kKept},
    {"IGN-10", "value", "", "value/tail", kFile, kYes},
    {"IGN-10", "value", "", "head/value/tail", kFile, kYes},
    {"IGN-10", "value", "", "head/value", kFile, kYes},
    {"IGN-13", "v[ou]l[kc]ano", "", "value/volcano", kFile, kYes},
    {"IGN-13", "v*o", "", "value/vulkano/tail", kFile, kYes},
    {"IGN-15", "/value/vul?ano", "", "value/vulkano/tail", kFile, kYes},
    {"IGN-15", "value/vul?ano", "", "value/vulkano/tail", kFile, kYes},
    {"IGN-16", "value/vul?ano", "", "value", kFile, kNo},
    {"IGN-16", "value/vul?ano", "", "value/value/volcano", kFile, kNo},
    {"IGN-17", "**/*lue/vol?ano", "", "value/volcano/tail", kFile, kYes},
    {"IGN-17", "**/*lue/vol?ano", "", "head/value/volcano/tail", kFile, kYes},
    {"IGN-17", "**/*lue/vol?ano", "", "head/value/Volcano/tail", kFile, kNo},
    {"IGN-19", "/*lue/vol?ano/**", "", "value/volcano/tail/moretail", kFile, kYes},
    {"IGN-19", "/*lue/vol?ano/**", "", "value/volcano", kFile, kYes},
    {"IGN-21", "/*lue/**foo/vol?ano", "", "value/foo/volcano/tail", kFile, kNo},
    {"IGN-22", "**/android/**/GeneratedPluginRegistrant.java", "",
     "packages/flutter_tools/lib/src/android/gradle.dart", kFile, kNo},
    {"IGN-24", "value", "head/middle/tail", "head/middle", kFile, kNo},
    {"IGN-24", "value", "head/middle/tail", "head/middle/tail", kDir, kNo},
    {"IGN-24", "value", "head/middle/tail", "head/middle/_tail_/value", kFile, kNo},
    {"IGN-26", "dir/\n!dir/keep.txt\n", "", "dir", kDir, kYes},
    {"IGN-26", "dir/\n!dir/keep.txt\n", "", "dir/keep.txt", kFile, kKept},
    {"IGN-28", " a", "", "a", kFile, kNo},
    {"IGN-28", " a", "", " a", kFile, kYes},
    {"IGN-30", "[!a]b", "", "cb", kFile, kNo},
    {"IGN-30", "[^a]b", "", "cb", kFile, kYes},
    {"IGN-31", "foo**bar", "", "fooXbar", kFile, kYes},
    {"IGN-31", "a/**b", "", "a/xb", kFile, kNo},
    {"IGN-32", "**", "", "a/b", kFile, kYes},
    {"IGN-32", "/**", "", "a", kFile, kNo},
    {"IGN-33", "a/**", "", "a", kFile, kYes},
    {"IGN-33", "a/**", "", "a", kDir, kYes},
    {"IGN-33", "a/**", "", "a/b/c", kFile, kYes},
    {"IGN-34", "/", "", "a", kDir, kNo},
    {"IGN-34", "!", "", "a", kFile, kNo},
    {"IGN-35", "//a", "", "a", kFile, kYes},
    {"IGN-35", "a//b", "", "a/b", kFile, kYes},
    {"IGN-36", "*/", "", "a/b", kFile, kYes},
    {"IGN-36", "*/", "", "b", kFile, kNo},
    {"IGN-38", "./a", "", "a", kFile, kNo},
    {"IGN-40", "a/**/b/*.md", "", "a/b/x/b/r.md", kFile, kNo},
};

TEST(IgnorePattern, UpstreamCases) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(std::string(c.id) + " " + c.rules + " on " + c.path);
    EXPECT_EQ(Decide(ParseIgnoreFile(c.rules, Domain(c.domain)), c.path, c.is_directory),
              c.verdict);
  }
}

// IGN-08: the later file in the order overrules the earlier one.
TEST(IgnoreRules, FilesInDepthFirstOrder) {
  const std::vector<SourceIgnore> files = {{{"z"}, "!shared.txt\nlast.txt\n"},
                                           {{}, "root.txt\nshared.txt\n"},
                                           {{"a", "b"}, "subdir.txt\n"}};
  const IgnoreRules rules(Assemble(files), std::nullopt);
  EXPECT_TRUE(rules.Excludes({"root.txt"}, false));
  EXPECT_TRUE(rules.Excludes({"a", "b", "subdir.txt"}, false));
  EXPECT_TRUE(rules.Excludes({"z", "last.txt"}, false));
  EXPECT_TRUE(rules.Excludes({"a", "shared.txt"}, false));
  EXPECT_FALSE(rules.Excludes({"z", "shared.txt"}, false));
  EXPECT_FALSE(rules.Excludes({"d", "ignored"}, false));
}

// IGN-44
TEST(IgnoreRules, SpecIgnoreReplacesDefaultsButNotVcs) {
  const IgnoreRules rules({}, "foo.txt");
  EXPECT_TRUE(rules.Excludes({"foo.txt"}, false));
  EXPECT_FALSE(rules.Excludes({"image.jpg"}, false));
  EXPECT_TRUE(rules.Excludes({".git", "config"}, false));
}

TEST(IgnoreRules, DefaultsWithoutAnyRule) {
  for (const std::optional<std::string>& spec :
       {std::optional<std::string>(), std::optional<std::string>(""),
        std::optional<std::string>("# only a comment\n\n")}) {
    const IgnoreRules rules({}, spec);
    EXPECT_TRUE(rules.Excludes({"image.jpg"}, false));
    EXPECT_TRUE(rules.Excludes({"sub", ".sops.yaml"}, false));
    EXPECT_TRUE(rules.Excludes({".github", "workflows"}, true));
    EXPECT_FALSE(rules.Excludes({"image.JPG"}, false));
  }
}

TEST(IgnoreRules, RootIsNeverExcluded) {
  EXPECT_FALSE(IgnoreRules({}, "*\n**\n/\n").Excludes({}, true));
}

TEST(IgnoreRules, RulesThatAreAddedCountLikeThoseFromTheStart) {
  IgnoreRules rules({}, std::nullopt);
  EXPECT_TRUE(rules.Excludes({"a.jpg"}, false));
  rules.Add({});  // a file without rules leaves the defaults in force
  EXPECT_TRUE(rules.Excludes({"a.jpg"}, false));
  rules.Add(ParseIgnoreFile("*.md", {}));
  EXPECT_FALSE(rules.Excludes({"a.jpg"}, false));
  EXPECT_TRUE(rules.Excludes({"a.md"}, false));
  rules.Add(ParseIgnoreFile("!a.md", {}));
  EXPECT_FALSE(rules.Excludes({"a.md"}, false));
  EXPECT_TRUE(rules.Excludes({"b.md"}, false));
  EXPECT_TRUE(rules.Excludes({".gitignore"}, false));
}

TEST(IgnoreRules, RulesThatAreAddedComeBeforeThoseOfTheSpec) {
  IgnoreRules rules({}, "!keep.md\n");
  rules.Add(ParseIgnoreFile("*.md", {}));
  EXPECT_FALSE(rules.Excludes({"keep.md"}, false));
  EXPECT_TRUE(rules.Excludes({"other.md"}, false));
  EXPECT_FALSE(rules.Excludes({"a.jpg"}, false));
}

TEST(IgnoreFile, LineOf64KiBEndsTheReading) {
  const std::string longest(64 * 1024 - 1, 'x');
  EXPECT_EQ(ParseIgnoreFile("a\n" + longest + "\nb\n", {}).size(), 3U);
  EXPECT_EQ(ParseIgnoreFile("a\n" + longest + "x\nb\n", {}).size(), 1U);
  EXPECT_EQ(ParseIgnoreFile("a\n" + longest + "\r\nb\n", {}).size(), 1U);
  EXPECT_EQ(ParseIgnoreFile("a\n" + longest + "x", {}).size(), 1U);
}

TEST(IgnoreFile, UnicodeWhiteSpaceIsBlank) {
  EXPECT_TRUE(ParseIgnoreFile("\t\n\u00a0\u3000\n\u2003\r\n", {}).empty());
  EXPECT_EQ(ParseIgnoreFile("\u200b\n\xa0\n", {}).size(), 2U);  // zero width, and a lone byte
}

TEST(IgnoreFile, LastLineNeedsNoLineFeed) {
  EXPECT_EQ(Decide(ParseIgnoreFile("a\nb\r", {}), "b", false), Verdict::kExclude);
}

}  // namespace
}  // namespace ocirepofs
