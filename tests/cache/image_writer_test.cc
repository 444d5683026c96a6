#include "cache/image_writer.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <string>
#include <vector>

#include "cache/names.h"
#include "tests/support/cache_fixture.h"
#include "tests/support/image_contents.h"

namespace ocirepofs {
namespace {

using Strings = std::vector<std::string>;

class ImageWriterTest : public CacheTest {
 protected:
  /// "bytes sha256" of the tar stream.
  std::string TarOf(const std::vector<ArchiveEntry>& entries) {
    const std::string tar = Build(entries).Tar();
    return fmt::format("{} {}", tar.size(), Digest::Of(tar).Hex());
  }
  std::unique_ptr<ImageWriter> NewWriter(const ImageWriter::Options& options = {}) const {
    auto writer = ImageWriter::Create(directory_fd(), StemNumber(77), options);
    EXPECT_EQ(Outcome(writer), "success");
    return std::move(*writer);
  }
};

std::span<const std::byte> Bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

TEST_F(ImageWriterTest, GoldenTars) {
  const std::string a120(120, 'a');
  EXPECT_EQ(TarOf({}), "1536 a6c3074b61cf17b6c20da13944bfac01ed05930dc9cef70890045d62cbfb78d5");
  EXPECT_EQ(TarOf({Executable("run.sh", "#!/bin/sh\n"), File("deploy/a.yaml", "a: 1\n")}),
            "4096 7fc5fbe1c38ce9b82a3750c4a9bbd6b2df6a58254e98f84da2e039c1d6c7d146");
  EXPECT_EQ(TarOf({File("é.txt", "x")}),
            "3584 501fd4ed27e9b9fe20aae9ddedad73de96083368924a0cbabc5d806bfa196ed1");
  EXPECT_EQ(TarOf({File(a120 + "/" + std::string(90, 'b'), "")}),
            "3584 3d16f347034d587e6d8255da8abad7a6e321a82b46c3b4edff79921572088aa1");
  EXPECT_EQ(TarOf({File(std::string(101, 'n'), "")}),
            "3072 1bd3f3fe0037f2edfc1017d5f9836626cda66657444bff8cebc1c0c549c1cf87");
}

TEST_F(ImageWriterTest, SummaryIsOfTheTarball) {
  const BuiltImage built = Build({File("f", NoiseBytes(100'000, 1))});
  EXPECT_EQ(built.summary.digest, Digest::Of(built.tarball));
  EXPECT_EQ(built.summary.size, built.tarball.size());
  const IndexFacts& facts = built.image->index().facts();
  EXPECT_EQ(facts.image_digest, built.summary.digest);
  EXPECT_EQ(facts.tar_size, built.Tar().size());
  EXPECT_EQ(facts.modification_time, kBuiltAt);
}

TEST_F(ImageWriterTest, GnuTarListsAndExtractsWhatIsServed) {
  const std::string long_name = std::string(120, 'd') + "/" + std::string(120, 'f');
  const BuiltImage built =
      Build({File("z", NoiseBytes(70'000, 1)), Directory("empty"), Executable("bin/run", "#!"),
             HardLink("bin/same", "z"), Symlink("bin/link", "../z"), File("é/ü.txt", "x"),
             File(long_name, "long"), Symlink("to-long", long_name)});
  const std::string tarball = PathOf(ArtifactName(built.stem));
  EXPECT_EQ(Shell("gzip -dc " + tarball + " | tar --quoting-style=literal -tvf - | tr -s ' '"),
            "drwxr-x--- 0/0 0 1970-01-01 00:00 .\n"
            "drwxr-x--- 0/0 0 1970-01-01 00:00 bin\n"
            "lrwxrwxrwx 0/0 0 1970-01-01 00:00 bin/link -> ../z\n"
            "-rwx------ 0/0 2 1970-01-01 00:00 bin/run\n"
            "-rw------- 0/0 70000 1970-01-01 00:00 bin/same\n"
            "drwxr-x--- 0/0 0 1970-01-01 00:00 " +
                long_name.substr(0, 120) +
                "\n"
                "-rw------- 0/0 4 1970-01-01 00:00 " +
                long_name +
                "\n"
                "drwxr-x--- 0/0 0 1970-01-01 00:00 empty\n"
                "lrwxrwxrwx 0/0 0 1970-01-01 00:00 to-long -> " +
                long_name +
                "\n"
                "hrw------- 0/0 0 1970-01-01 00:00 z link to bin/same\n"
                "drwxr-x--- 0/0 0 1970-01-01 00:00 é\n"
                "-rw------- 0/0 1 1970-01-01 00:00 é/ü.txt\n");
  EXPECT_EQ(Shell("mkdir " + PathOf("out") + " && tar -xzf " + tarball + " -C " + PathOf("out")),
            "");
  EXPECT_EQ(ReadWholeFile(PathOf("out/z")), NoiseBytes(70'000, 1));
  EXPECT_EQ(ReadWholeFile(PathOf("out/to-long")), "long");
  EXPECT_EQ(ContentsOf(built.image).at("z"), "file:" + NoiseBytes(70'000, 1));
  EXPECT_EQ(ContentsOf(built.image).at("bin/same"), "file:" + NoiseBytes(70'000, 1));
}

TEST_F(ImageWriterTest, OnePassAndASecondWritingGiveTheSameFiles) {
  const std::vector<ArchiveEntry> sorted = {
      Directory("."),         File("a", NoiseBytes(90'000, 1)),
      Directory("b"),         Executable("b/c", "run"),
      Symlink("b/d", "../a"), HardLink("e", "a"),
      File("f", "")};
  const BuiltImage once = Build(sorted);
  const BuiltImage again = Build({sorted[6], sorted[3], sorted[1], sorted[4], sorted[5]});
  EXPECT_EQ(once.tarball, again.tarball);
  EXPECT_EQ(once.index, again.index);
}

TEST_F(ImageWriterTest, TreeHasCountsAndModes) {
  const BuiltImage built =
      Build({File("d/one/f", "1"), Executable("d/x", "22"), Symlink("d/l", "x"), Directory("e")});
  const IndexRecord& directory = RecordOf(*built.image, "d");
  EXPECT_EQ(directory.child_count, 3U);
  EXPECT_EQ(directory.subdirectory_count, 1U);
  EXPECT_EQ(RecordOf(*built.image, "").subdirectory_count, 2U);
  EXPECT_EQ(RecordOf(*built.image, "d/x").executable, 1);
  EXPECT_EQ(RecordOf(*built.image, "d/one/f").executable, 0);
  EXPECT_EQ(RecordOf(*built.image, "d/l").size, 1U);
  EXPECT_EQ(RecordOf(*built.image, "d/x").parent,
            *built.image->index().FindChild(RecordOf(*built.image, ""), "d"));
}

TEST_F(ImageWriterTest, LastFileOfANameWinsWithTheFirstMode) {
  const BuiltImage built = Build({File("a", "one"), Executable("a", "twothree")});
  EXPECT_EQ(ContentsOf(built.image), (ImageContents{{"a", "file:twothree"}}));
  EXPECT_EQ(built.tarball, Build({File("a", "twothree")}).tarball);
}

TEST_F(ImageWriterTest, FileAndDirectoryOfOneNameFail) {
  const std::string conflict = "kMalformed: tar entry \"a\" is a file and a directory at once";
  EXPECT_EQ(RefusalOf({File("a", ""), Directory("a")}), conflict);
  EXPECT_EQ(RefusalOf({Directory("a"), File("a", "")}), conflict);
  EXPECT_EQ(RefusalOf({File("/abs", "")}), "kMalformed: tar contained invalid name error \"/abs\"");
}

TEST_F(ImageWriterTest, SymlinkGivesWayToADirectory) {
  const std::vector<ArchiveEntry> link_first = {Symlink("d", "/etc"), File("d/f", "x")};
  const std::vector<ArchiveEntry> link_last = {File("d/f", "x"), Symlink("d", "/etc")};
  EXPECT_EQ(ContentsOf(Build(link_first).image), (ImageContents{{"d", "dir"}, {"d/f", "file:x"}}));
  EXPECT_EQ(Build(link_first).tarball, Build(link_last).tarball);
}

TEST_F(ImageWriterTest, SkippedLinksAreCountedInAnyOrder) {
  EXPECT_EQ(Build({File("d/f", "x"), Symlink("d", "t")}).summary.skipped_links, 1U);
  EXPECT_EQ(Build({Symlink("d", "t"), File("d/f", "x")}).summary.skipped_links, 1U);
  EXPECT_EQ(Build({Symlink("d", "t"), File("d", "x")}).summary.skipped_links, 1U);
}

TEST_F(ImageWriterTest, EscapingSymlinksAreLeftOutAndCounted) {
  const BuiltImage built =
      Build({Symlink("deep/x", ".."), Symlink("deep/u", "x/../../y"), Symlink("abs", "/etc"),
             Symlink("loop", "loop"), Symlink("up", "../x"), Symlink("dangling", "none")});
  EXPECT_EQ(ContentsOf(built.image), (ImageContents{{"dangling", "link:none"},
                                                    {"deep", "dir"},
                                                    {"deep/x", "link:.."},
                                                    {"loop", "link:loop"}}));
  EXPECT_EQ(built.summary.skipped_links, 3U);
  EXPECT_EQ(Shell("tar -tzf " + PathOf(ArtifactName(built.stem))),
            ".\ndangling\ndeep\ndeep/x\nloop\n");
}

TEST_F(ImageWriterTest, HardLinkNeedsAnEarlierFile) {
  EXPECT_EQ(RefusalOf({HardLink("b", "a"), File("a", "x")}),
            "kMalformed: tar entry \"b\" is a hard link to \"a\", which is no earlier file of the "
            "archive");
}

TEST_F(ImageWriterTest, HardLinksShareTheirBytes) {
  const BuiltImage built = Build({File("b", NoiseBytes(50'000, 1)), HardLink("a", "b")});
  EXPECT_EQ(RecordOf(*built.image, "a").offset, RecordOf(*built.image, "b").offset);
  EXPECT_LT(built.tarball.size(), 60'000U);
}

TEST_F(ImageWriterTest, HardLinkKeepsTheBytesOfAFileThatIsReplaced) {
  const BuiltImage built = Build({File("a", "old"), HardLink("b", "a"), File("a", "new")});
  EXPECT_EQ(ContentsOf(built.image), (ImageContents{{"a", "file:new"}, {"b", "file:old"}}));
}

TEST_F(ImageWriterTest, ContentsAreBoundedByMaxSize) {
  const ImageWriter::Options options{.ignore = {}, .max_size = 10};
  EXPECT_EQ(RefusalOf({File("a", "12345"), File("b", "67890")}, options), "accepted");
  const std::string refusal =
      "kLimitExceeded: the artifact's contents are larger than 10 bytes (mount option max_size)";
  EXPECT_EQ(RefusalOf({File("a", "12345"), File("b", "678901")}, options), refusal);
  EXPECT_EQ(RefusalOf({File("a", "12345"), File("a", "678901")}, options), refusal);
  EXPECT_EQ(RefusalOf({File("a.jpg", "12345"), File("b.jpg", "678901")}, options), refusal);
  EXPECT_EQ(Outcome(NewWriter(options)->AddFile("huge", false, UINT64_MAX)), refusal);
}

TEST_F(ImageWriterTest, EntriesAreBoundedByMaxFiles) {
  const ImageWriter::Options options{.ignore = {}, .max_files = 3};
  EXPECT_EQ(RefusalOf({File("a", ""), Directory("b"), Symlink("c", "a")}, options), "accepted");
  const std::string refusal =
      "kLimitExceeded: the artifact holds more than 3 entries (mount option max_files)";
  for (const ArchiveEntry& fourth :
       {File("d", ""), Directory("b"), Symlink("d", "a"), HardLink("d", "a")}) {
    EXPECT_EQ(RefusalOf({File("a", ""), Directory("b"), Symlink("c", "a"), fourth}, options),
              refusal);
  }
}

TEST_F(ImageWriterTest, DirectoriesThatAreOnlyImpliedCountTowardsMaxFiles) {
  // One entry may imply 63 directories; each costs memory and is served.
  EXPECT_EQ(RefusalOf({File("a/b/c/d", "")}, {.ignore = {}, .max_files = 3}),
            "kLimitExceeded: the artifact holds more than 3 entries (mount option max_files)");
}

TEST_F(ImageWriterTest, ContentsMustHaveTheSizeThatWasSaid) {
  const auto writer = NewWriter();
  ASSERT_EQ(Outcome(writer->AddFile("f", false, 3)), "success");
  EXPECT_EQ(Outcome(writer->AppendContents(Bytes("four"))),
            "kMalformed: a tar entry holds more bytes than it says");
  EXPECT_EQ(Outcome(writer->AppendContents(Bytes("xy"))), "success");
  EXPECT_EQ(Outcome(writer->Finish(kBuiltAt)),
            "kMalformed: tar error: unexpected EOF in the contents of a file");
}

TEST_F(ImageWriterTest, NothingHasItsFinalNameBeforeCommit) {
  const auto writer = NewWriter();
  ASSERT_EQ(Outcome(AddAll({File("b", "x"), File("a", "y")}, writer.get())), "success");
  EXPECT_EQ(Outcome(writer->Commit()), "kStorage: the image is not complete");
  ASSERT_EQ(Outcome(writer->Finish(kBuiltAt)), "success");
  for (const std::string& name : Names()) EXPECT_TRUE(IsTemporaryName(name)) << name;
  ASSERT_EQ(Outcome(writer->Commit()), "success");
  EXPECT_EQ(Names(), (Strings{StemNumber(77) + ".idx", StemNumber(77) + ".tar.gz"}));
}

TEST_F(ImageWriterTest, NothingIsLeftOfAWriterThatIsDropped) {
  const std::vector<ArchiveEntry> entries = {File("b", "x"), File("a", "y"), File("c.jpg", "z")};
  { const auto writer = NewWriter(); }
  EXPECT_EQ(Names(), Strings{});
  {
    const auto writer = NewWriter();
    ASSERT_EQ(Outcome(AddAll(entries, writer.get())), "success");
  }
  EXPECT_EQ(Names(), Strings{});
  {
    const auto writer = NewWriter();
    ASSERT_EQ(Outcome(AddAll(entries, writer.get())), "success");
    ASSERT_EQ(Outcome(writer->Finish(kBuiltAt)), "success");
  }
  EXPECT_EQ(Names(), Strings{});
}

TEST_F(ImageWriterTest, FullDiskIsAStorageErrorAndLeavesNothing) {
  const std::vector<ArchiveEntry> entries = {File("a", NoiseBytes(5'000'000, 1))};
  {
    const FileSizeLimit limit(1'000'000);
    EXPECT_EQ(RefusalOf(entries), "kStorage: cannot write the artifact: File too large");
  }
  EXPECT_EQ(Names(), Strings{});
  EXPECT_EQ(RefusalOf(entries), "accepted");
}

TEST_F(ImageWriterTest, FilesAreTheOwnersAlone) {
  const mode_t before = umask(0);
  const BuiltImage built = Build({File("b", "x"), File("a", "y")});
  umask(before);
  for (const std::string& name : Names()) {
    struct stat info {};
    ASSERT_EQ(fstatat(directory_fd(), name.c_str(), &info, 0), 0);
    EXPECT_EQ(info.st_mode & 07777, 0600U) << name;
  }
}

TEST_F(ImageWriterTest, CountsEntries) {
  const auto writer = NewWriter();
  ASSERT_EQ(Outcome(AddAll({File("a", "x"), Directory("d"), HardLink("d/b", "a")}, writer.get())),
            "success");
  EXPECT_EQ(writer->entry_count(), 3U);
}

}  // namespace
}  // namespace ocirepofs
