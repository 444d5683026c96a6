#include "fetch/auth/challenge.h"

#include <gtest/gtest.h>

namespace ocirepofs {
namespace {

TEST(Challenge, ReadsABearerChallengeWithCommasInItsScope) {
  const auto challenges = ParseChallenges(
      R"(Bearer realm="https://auth.example/token",service="lab",scope="repository:a/b:pull,push")");
  ASSERT_EQ(challenges.size(), 1u);
  EXPECT_EQ(challenges[0].scheme, "bearer");
  EXPECT_EQ(challenges[0].Parameter("realm"), "https://auth.example/token");
  EXPECT_EQ(challenges[0].Parameter("service"), "lab");
  EXPECT_EQ(challenges[0].Parameter("scope"), "repository:a/b:pull,push");
  EXPECT_EQ(challenges[0].Parameter("error"), "");
}

TEST(Challenge, ReadsSeveralChallengesOfOneHeader) {
  const auto challenges =
      ParseChallenges(R"(Negotiate, Basic realm="x", Bearer realm="y",service="z")");
  ASSERT_EQ(challenges.size(), 3u);
  EXPECT_EQ(challenges[0].scheme, "negotiate");
  EXPECT_EQ(challenges[1].scheme, "basic");
  EXPECT_EQ(challenges[1].Parameter("realm"), "x");
  EXPECT_EQ(challenges[2].scheme, "bearer");
  EXPECT_EQ(challenges[2].Parameter("service"), "z");
}

TEST(Challenge, StepsOverOneWordCredentials) {
  const auto challenges = ParseChallenges(R"(Negotiate YIIBhg/+==, Bearer realm="y")");
  ASSERT_EQ(challenges.size(), 2u);
  EXPECT_TRUE(challenges[0].parameters.empty());
  EXPECT_EQ(challenges[1].Parameter("realm"), "y");
}

TEST(Challenge, IgnoresTheCaseOfSchemeAndNames) {
  const auto challenges = ParseChallenges(R"(BEARER Realm="Y",SERVICE=Lab)");
  ASSERT_EQ(challenges.size(), 1u);
  EXPECT_EQ(challenges[0].scheme, "bearer");
  EXPECT_EQ(challenges[0].Parameter("realm"), "Y");
  EXPECT_EQ(challenges[0].Parameter("service"), "Lab");
}

TEST(Challenge, UnescapesQuotedStringsAndAllowsSpaces) {
  const auto challenges = ParseChallenges(R"(  Bearer   realm = "a\"b\\c" ,, service = "d e" )");
  ASSERT_EQ(challenges.size(), 1u);
  EXPECT_EQ(challenges[0].Parameter("realm"), "a\"b\\c");
  EXPECT_EQ(challenges[0].Parameter("service"), "d e");
}

TEST(Challenge, ReadsAnUnquotedUrl) {
  const auto challenges = ParseChallenges("Bearer realm=https://auth.example/t?a=b, service=s");
  ASSERT_EQ(challenges.size(), 1u);
  EXPECT_EQ(challenges[0].Parameter("realm"), "https://auth.example/t?a=b");
  EXPECT_EQ(challenges[0].Parameter("service"), "s");
}

TEST(Challenge, TheFirstOfTwoParametersOfOneNameCounts) {
  const auto challenges = ParseChallenges(R"(Bearer realm="a",realm="b")");
  ASSERT_EQ(challenges.size(), 1u);
  EXPECT_EQ(challenges[0].Parameter("realm"), "a");
}

TEST(Challenge, KeepsWhatCameBeforeAnUnendedString) {
  const auto challenges = ParseChallenges(R"(Bearer service="s",realm="never ends)");
  ASSERT_EQ(challenges.size(), 1u);
  EXPECT_EQ(challenges[0].Parameter("service"), "s");
  EXPECT_EQ(challenges[0].Parameter("realm"), "");
}

TEST(Challenge, FindsNothingWhereThereIsNothing) {
  EXPECT_TRUE(ParseChallenges("").empty());
  EXPECT_TRUE(ParseChallenges(" , ,").empty());
  EXPECT_TRUE(ParseChallenges("\"quoted\"").empty());
}

}  // namespace
}  // namespace ocirepofs
