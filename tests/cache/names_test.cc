#include "cache/names.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "tests/support/cache_fixture.h"

namespace ocirepofs {
namespace {

const Digest kDigest = Digest::Of("a");
constexpr std::string_view kHex =
    "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";

ContentConfig Config(std::optional<std::string> ignore,
                     std::optional<LayerSelector> selector = std::nullopt) {
  return {.ignore = std::move(ignore), .layer_selector = std::move(selector)};
}
LayerSelector Selector(std::optional<std::string> media_type,
                       std::optional<std::string> operation) {
  return {.media_type = std::move(media_type), .operation = std::move(operation)};
}

TEST(RevisionStem, IsTheDigestWhereNothingIsConfigured) {
  EXPECT_EQ(RevisionStem(kDigest, {}), kHex);
}

TEST(RevisionStem, HasSixteenMoreDigitsForAConfiguration) {
  const std::string stem = RevisionStem(kDigest, Config("*.md"));
  ASSERT_EQ(stem.size(), 64U + 1 + 16);
  EXPECT_EQ(stem.substr(0, 65), std::string(kHex) + "-");
  EXPECT_EQ(stem.find_first_not_of("0123456789abcdef", 65), std::string::npos);
  EXPECT_EQ(RevisionStem(kDigest, Config("*.md")), stem);
}

TEST(RevisionStem, DiffersForEveryConfiguration) {
  std::set<std::string> stems;
  int configurations = 0;
  const auto add = [&](const ContentConfig& config) {
    stems.insert(RevisionStem(kDigest, config));
    ++configurations;
  };
  add({});
  for (const std::optional<std::string>& ignore :
       {std::optional<std::string>(), std::optional<std::string>(""),
        std::optional<std::string>("a"), std::optional<std::string>("1:a"),
        std::optional<std::string>("a--"), std::optional<std::string>("-")}) {
    if (ignore) add(Config(ignore));
    for (const std::optional<std::string>& one :
         {std::optional<std::string>(), std::optional<std::string>(""),
          std::optional<std::string>("extract"), std::optional<std::string>("a")}) {
      add(Config(ignore, Selector(one, std::nullopt)));
      add(Config(ignore, Selector(one, "")));
      add(Config(ignore, Selector(one, "extract")));
      add(Config(ignore, Selector(one, "copy")));
    }
  }
  EXPECT_EQ(stems.size(), static_cast<size_t>(configurations));
}

TEST(FileNames, ArePureFunctionsOfTheStem) {
  EXPECT_EQ(ArtifactName("s"), "s.tar.gz");
  EXPECT_EQ(ImageName("s"), "s.image.tar.gz");
  EXPECT_EQ(IndexName("s"), "s.idx");
  EXPECT_EQ(PathOf({"apps", "podinfo"}, "s.tar.gz"), "ocirepository/apps/podinfo/s.tar.gz");
}

TEST(StemOf, UndoesTheFileNames) {
  for (const std::string& stem :
       {std::string(kHex), RevisionStem(kDigest, Config("x")), StemNumber(1)}) {
    EXPECT_EQ(StemOf(ArtifactName(stem)), stem);
    EXPECT_EQ(StemOf(ImageName(stem)), stem);
    EXPECT_EQ(StemOf(IndexName(stem)), stem);
  }
}

TEST(StemOf, IsEmptyForAnyOtherName) {
  const std::string hex(kHex);
  for (const std::string& name :
       {std::string(kRecordFile), std::string(kLatestLink), std::string(kLockFile), hex,
        hex + ".tar", hex + "0.tar.gz", hex.substr(1) + ".tar.gz", hex + "-.tar.gz",
        hex + "_0123456789abcdef.idx", hex + "-0123456789abcde.idx", TemporaryName(hex + ".idx"),
        std::string(".tar.gz"), std::string()}) {
    EXPECT_EQ(StemOf(name), "") << name;
  }
}

TEST(TemporaryNames, AreKnownAgain) {
  EXPECT_EQ(TemporaryName("record.json"), "record.json.tmp");
  EXPECT_TRUE(IsTemporaryName(TemporaryName(kLatestLink)));
  EXPECT_FALSE(IsTemporaryName(kRecordFile));
  EXPECT_FALSE(IsTemporaryName(ArtifactName(kHex)));
  EXPECT_FALSE(IsTemporaryName(IndexName(kHex)));
}

}  // namespace
}  // namespace ocirepofs
