#include "conf/ignore/glob.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/tsv.h"

namespace ocirepofs {
namespace {

GlobResult ParseVerdict(const std::string& verdict) {
  if (verdict == "true") return GlobResult::kMatch;
  if (verdict == "false") return GlobResult::kNoMatch;
  if (verdict == "error") return GlobResult::kBadPattern;
  throw std::runtime_error("not a verdict: " + verdict);
}

// The git_wildmatch columns are of git's own matcher, another dialect that nothing here speaks.
// Rows with a slash have no answer for one component.
TEST(Glob, VectorsOfFilepathMatch) {
  const std::vector<test::TsvRow> rows = test::LoadVectors("wildmatch.tsv");
  size_t ran = 0;
  size_t without_answer = 0;
  for (const test::TsvRow& row : rows) {
    SCOPED_TRACE(row.where());
    const std::optional<std::string>& verdict = row.Maybe("go_filepath_match");
    if (!verdict) {
      ++without_answer;
      continue;
    }
    EXPECT_EQ(GlobMatch(row.Text("pattern"), row.Text("text")), ParseVerdict(*verdict));
    ++ran;
  }
  EXPECT_GT(ran, 0U);
  EXPECT_EQ(ran + without_answer, rows.size());
}

TEST(Glob, MatchesTheWholeText) {
  EXPECT_EQ(GlobMatch("b", "abc"), GlobResult::kNoMatch);
  EXPECT_EQ(GlobMatch("", ""), GlobResult::kMatch);
  EXPECT_EQ(GlobMatch("", "a"), GlobResult::kNoMatch);
}

TEST(Glob, StarTakesAnyRun) {
  EXPECT_EQ(GlobMatch("*", ""), GlobResult::kMatch);
  EXPECT_EQ(GlobMatch("a*b*c", "a1b2b3c"), GlobResult::kMatch);
  EXPECT_EQ(GlobMatch("*ab", "aab"), GlobResult::kMatch);
  EXPECT_EQ(GlobMatch("*ab*ab", "abxab"), GlobResult::kMatch);
  EXPECT_EQ(GlobMatch("ab*ab", "ab"), GlobResult::kNoMatch);
}

TEST(Glob, QuestionMarkTakesOneCharacterNotOneByte) {
  EXPECT_EQ(GlobMatch("?", "é"), GlobResult::kMatch);
  EXPECT_EQ(GlobMatch("??", "é"), GlobResult::kNoMatch);
  EXPECT_EQ(GlobMatch("?", "😀"), GlobResult::kMatch);
}

TEST(Glob, BytesThatAreNotUtf8CountOneByOne) {
  EXPECT_EQ(GlobMatch("?", "\xff"), GlobResult::kMatch);
  EXPECT_EQ(GlobMatch("??", "\xe3\x81"), GlobResult::kMatch);            // cut short
  EXPECT_EQ(GlobMatch("??", "\xc0\xaf"), GlobResult::kMatch);            // overlong
  EXPECT_EQ(GlobMatch("???", "\xed\xa0\x80"), GlobResult::kMatch);       // surrogate
  EXPECT_EQ(GlobMatch("????", "\xf4\x90\x80\x80"), GlobResult::kMatch);  // above U+10FFFF
  EXPECT_EQ(GlobMatch("[\xef\xbf\xbd]", "\xff"), GlobResult::kMatch);    // read as U+FFFD
  EXPECT_EQ(GlobMatch("[\xff]", "\xff"), GlobResult::kBadPattern);
}

TEST(Glob, ClassesNegateByCaretOnly) {
  EXPECT_EQ(GlobMatch("[^a-c]", "d"), GlobResult::kMatch);
  EXPECT_EQ(GlobMatch("[^a-c]", "b"), GlobResult::kNoMatch);
  EXPECT_EQ(GlobMatch("[!a]", "b"), GlobResult::kNoMatch);
  EXPECT_EQ(GlobMatch("[!a]", "!"), GlobResult::kMatch);
  EXPECT_EQ(GlobMatch("[c-a]", "b"), GlobResult::kNoMatch);
  EXPECT_EQ(GlobMatch("[\\]*]", "*"), GlobResult::kMatch);
}

TEST(Glob, MalformedWhateverTheText) {
  for (const char* pattern :
       {"[", "[]", "[]a]", "[-a]", "[a-]", "[^]*]", "[a", "a\\", "b*[", "[\\"}) {
    SCOPED_TRACE(pattern);
    EXPECT_EQ(GlobMatch(pattern, ""), GlobResult::kBadPattern);
    EXPECT_EQ(GlobMatch(pattern, "zzz"), GlobResult::kBadPattern);
  }
}

// A matcher that goes back would need longer than the age of the universe.
TEST(Glob, ManyStarsTakeNoTime) {
  std::string pattern;
  for (int i = 0; i < 100; ++i) pattern += "a*";
  EXPECT_EQ(GlobMatch(pattern + "b", std::string(1000, 'a')), GlobResult::kNoMatch);
}

}  // namespace
}  // namespace ocirepofs
