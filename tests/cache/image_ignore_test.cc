#include <string>
#include <vector>

#include "cache/image_writer.h"
#include "cache/names.h"
#include "tests/support/cache_fixture.h"
#include "tests/support/image_contents.h"

namespace ocirepofs {
namespace {

/// What ignore rules make of an archive.
class ImageIgnoreTest : public CacheTest {
 protected:
  ImageContents Shown(const std::vector<ArchiveEntry>& entries,
                      const ImageWriter::Options& options = {}) {
    return ContentsOf(Build(entries, options).image);
  }
  /// The names of the tarball's entries, a line each.
  std::string Listed(const std::vector<ArchiveEntry>& entries,
                     const ImageWriter::Options& options = {}) {
    return Shell("tar -tzf " + PathOf(ArtifactName(Build(entries, options).stem)));
  }
};

TEST_F(ImageIgnoreTest, DefaultsApplyWhereNoRuleIsGiven) {
  EXPECT_EQ(Shown({File(".git/config", "x"), File("horse.jpg", "x"), File("a.yaml", "x")}),
            (ImageContents{{"a.yaml", "file:x"}}));
}

TEST_F(ImageIgnoreTest, SpecIgnoreReplacesTheDefaults) {
  EXPECT_EQ(Shown({File(".git/config", "x"), File("custom", "x"), File("horse.jpg", "x")},
                  {.ignore = "custom"}),
            (ImageContents{{"horse.jpg", "file:x"}}));
}

TEST_F(ImageIgnoreTest, WithoutFilterNothingIsLeftOut) {
  const std::vector<ArchiveEntry> entries = {File(".git/config", "x"), File("a.jpg", "x"),
                                             File(".sourceignore", "*"), File("b", "x")};
  EXPECT_EQ(Shown(entries, {.ignore = "b", .filter = false}),
            (ImageContents{{".git", "dir"},
                           {".git/config", "file:x"},
                           {".sourceignore", "file:*"},
                           {"a.jpg", "file:x"},
                           {"b", "file:x"}}));
}

TEST_F(ImageIgnoreTest, DirectoryOfAnExcludedFileStays) {
  EXPECT_EQ(Listed({File("test/.gitkeep", "")}, {.ignore = ".gitkeep"}), ".\ntest\n");
}

TEST_F(ImageIgnoreTest, ExcludedDirectoryIsShownButNotArchivedWhereAChildIsKept) {
  const std::vector<ArchiveEntry> entries = {File("dir/keep.txt", "k"), File("dir/other", "o")};
  const ImageWriter::Options options{.ignore = "dir/\n!dir/keep.txt"};
  EXPECT_EQ(Listed(entries, options), ".\ndir/keep.txt\n");
  EXPECT_EQ(Shown(entries, options), (ImageContents{{"dir", "dir"}, {"dir/keep.txt", "file:k"}}));
}

TEST_F(ImageIgnoreTest, LateSourceIgnoreTakesBackWhatWasWritten) {
  const std::vector<ArchiveEntry> early = {File(".sourceignore", "secret\n"), File("a", "1"),
                                           File("secret", "hidden")};
  const BuiltImage late = Build({early[1], early[2], early[0]});
  EXPECT_EQ(ContentsOf(late.image),
            (ImageContents{{".sourceignore", "file:secret\n"}, {"a", "file:1"}}));
  EXPECT_EQ(late.tarball, Build(early).tarball);
  EXPECT_EQ(late.Tar().find("hidden"), std::string::npos);
}

TEST_F(ImageIgnoreTest, LateSourceIgnoreBringsBackWhatWasLeftOut) {
  const std::string picture = NoiseBytes(100'000, 7);
  const BuiltImage late =
      Build({File("horse.jpg", picture), File("z.zip", "zip"), File(".sourceignore", "nothing\n")});
  EXPECT_EQ(ContentsOf(late.image), (ImageContents{{".sourceignore", "file:nothing\n"},
                                                   {"horse.jpg", "file:" + picture},
                                                   {"z.zip", "file:zip"}}));
}

TEST_F(ImageIgnoreTest, NestedSourceIgnoreIsBoundToItsDirectory) {
  EXPECT_EQ(
      Shown({File("d/x", "1"), File("x", "2"), File("d/e/x", "3"), File("d/.sourceignore", "x\n")}),
      (ImageContents{
          {"d", "dir"}, {"d/.sourceignore", "file:x\n"}, {"d/e", "dir"}, {"x", "file:2"}}));
}

TEST_F(ImageIgnoreTest, DeeperSourceIgnoreComesLaterWhateverArrivesFirst) {
  const ArchiveEntry root = File(".sourceignore", "*.md\n");
  const ArchiveEntry deep = File("d/.sourceignore", "!*.md\n");
  const ArchiveEntry text = File("d/a.md", "x");
  const std::string expected = Build({root, deep, text}).tarball;
  EXPECT_EQ(Build({deep, root, text}).tarball, expected);
  EXPECT_EQ(Build({text, deep, root}).tarball, expected);
  EXPECT_EQ(Shown({text, deep, root}).count("d/a.md"), 1U);
}

TEST_F(ImageIgnoreTest, SpecIgnoreHasTheLastWord) {
  EXPECT_EQ(Shown({File(".sourceignore", "a\n!b\n"), File("a", "1"), File("b", "2")},
                  {.ignore = "b\n!a\n"}),
            (ImageContents{{".sourceignore", "file:a\n!b\n"}, {"a", "file:1"}}));
}

TEST_F(ImageIgnoreTest, SourceIgnoreThatWasReplacedSaysNothing) {
  EXPECT_EQ(Shown({File(".sourceignore", "a\n"), File("a", "1"), File("b", "2"),
                   File(".sourceignore", "b\n")}),
            (ImageContents{{".sourceignore", "file:b\n"}, {"a", "file:1"}}));
}

TEST_F(ImageIgnoreTest, SourceIgnoreInGitDirectorySaysNothing) {
  EXPECT_EQ(Shown({File("d/.git/.sourceignore", "x\n"), File("d/x", "1"), File("a.jpg", "2")},
                  {.ignore = "!d/.git\n"}),
            (ImageContents{{"a.jpg", "file:2"},
                           {"d", "dir"},
                           {"d/.git", "dir"},
                           {"d/.git/.sourceignore", "file:x\n"},
                           {"d/x", "file:1"}}));
}

TEST_F(ImageIgnoreTest, SourceIgnoreThatIsExcludedItselfStillSpeaks) {
  EXPECT_EQ(Shown({File("x", "1"), File("y", "2"), File(".sourceignore", "x\n")},
                  {.ignore = ".sourceignore"}),
            (ImageContents{{"y", "file:2"}}));
}

TEST_F(ImageIgnoreTest, SymlinkCalledSourceIgnoreSaysNothing) {
  EXPECT_EQ(
      Shown({File("rules", "x\n"), File("x", "1"), Symlink(".sourceignore", "rules")}).count("x"),
      1U);
}

TEST_F(ImageIgnoreTest, HardLinkCalledSourceIgnoreSpeaksAsItsContents) {
  EXPECT_EQ(Shown({File("rules", "x\n"), File("x", "1"), HardLink(".sourceignore", "rules")}),
            (ImageContents{{".sourceignore", "file:x\n"}, {"rules", "file:x\n"}}));
}

TEST_F(ImageIgnoreTest, SourceIgnoreReplacedByAHardLinkSaysNothing) {
  EXPECT_EQ(Shown({File("rules", "# none\n"), File("x", "1"), File(".sourceignore", "x\n"),
                   HardLink(".sourceignore", "rules")})
                .count("x"),
            1U);
}

TEST_F(ImageIgnoreTest, SourceIgnoreOfMoreThan4MiBIsRefused) {
  EXPECT_EQ(RefusalOf({File("d/.sourceignore", std::string((4 << 20) + 1, '#'))}),
            "kLimitExceeded: the artifact's .sourceignore files are larger than 4194304 bytes");
}

TEST_F(ImageIgnoreTest, HardLinkToAFileThatTheDefaultsExclude) {
  const std::string picture = NoiseBytes(100'000, 8);
  EXPECT_EQ(Shown({File("horse.jpg", picture), HardLink("kept", "horse.jpg")}),
            (ImageContents{{"kept", "file:" + picture}}));
}

TEST_F(ImageIgnoreTest, HardLinkToAFileThatSpecIgnoreExcludes) {
  const std::string large = NoiseBytes(100'000, 9);
  for (const std::string& contents : {std::string("ten bytes."), large}) {
    const ImageContents shown =
        Shown({File("out", contents), HardLink("kept", "out")}, {.ignore = "out"});
    ASSERT_EQ(shown.size(), 1U);
    EXPECT_TRUE(shown.at("kept") == "file:" + contents) << contents.size();
  }
}

TEST_F(ImageIgnoreTest, HardLinkThatIsExcludedLeavesItsFileAlone) {
  EXPECT_EQ(Shown({File("z", "contents"), HardLink("a.jpg", "z"), HardLink("b", "a.jpg")}),
            (ImageContents{{"b", "file:contents"}, {"z", "file:contents"}}));
}

TEST_F(ImageIgnoreTest, StatusOfTheRootIsReported) {
  EXPECT_TRUE(Build({File(".status", "x")}).summary.hides_status);
  EXPECT_TRUE(Build({Directory(".status")}).summary.hides_status);
  EXPECT_FALSE(Build({File("d/.status", "x")}).summary.hides_status);
  EXPECT_FALSE(Build({File(".status", "x")}, {.ignore = ".status"}).summary.hides_status);
  EXPECT_FALSE(Build({Symlink(".status", "/x")}).summary.hides_status);
}

TEST_F(ImageIgnoreTest, StatusDirectoryThatIsShownForItsChildIsReported) {
  const BuiltImage built =
      Build({File(".status/keep", "x")}, {.ignore = ".status/\n!.status/keep\n"});
  ASSERT_EQ(ContentsOf(built.image).count(".status"), 1U);
  EXPECT_TRUE(built.summary.hides_status);
}

}  // namespace
}  // namespace ocirepofs
