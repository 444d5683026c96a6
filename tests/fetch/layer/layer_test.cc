// What entries of an archive become, whatever they are called and wherever they point.

#include "fetch/layer/layer.h"

#include <fstream>

#include "tests/fetch/layer/layer_fixture.h"

namespace ocirepofs {
namespace {

class Layer : public LayerTest {};

TEST_F(Layer, FilesAndDirectoriesAreShown) {
  EXPECT_EQ(Unpack(TarBuilder().File("file1", "x").File("abc/fileX", "y").Directory("empty")),
            (ImageContents{
                {"abc", "dir"}, {"abc/fileX", "file:y"}, {"empty", "dir"}, {"file1", "file:x"}}));
}

TEST_F(Layer, TAR21_MissingParentsAreMade) {
  EXPECT_EQ(Unpack(TarBuilder().File("x/y/z", "1")),
            (ImageContents{{"x", "dir"}, {"x/y", "dir"}, {"x/y/z", "file:1"}}));
}

TEST_F(Layer, TAR11_TheRootMayBeNamed) {
  EXPECT_EQ(Unpack(TarBuilder().Directory("./").File("./a", "1")),
            (ImageContents{{"a", "file:1"}}));
}

TEST_F(Layer, T01_AbsoluteNamesFail) {
  EXPECT_EQ(Refusal(TarBuilder().File("/abs", "x")), R"(tar contained invalid name error "/abs")");
  EXPECT_EQ(Refusal(TarBuilder().File("//abs", "x")),
            R"(tar contained invalid name error "//abs")");
  EXPECT_EQ(Refusal(TarBuilder().Directory("/")), R"(tar contained invalid name error "/")");
  EXPECT_EQ(Refusal(TarBuilder().Symlink("/l", "a")), R"(tar contained invalid name error "/l")");
  EXPECT_EQ(Refusal(TarBuilder().File("a", "").HardLink("/b", "a")),
            R"(tar contained invalid name error "/b")");
}

TEST_F(Layer, T02_ParentComponentsFail) {
  for (const std::string name : {"..", "a/..", "a/../../b", "./../x", "../abc/file", "a/../b"}) {
    const std::string message = "tar contained invalid name error \"" + name + "\"";
    EXPECT_EQ(Refusal(TarBuilder().File(name, "x")), message);
    EXPECT_EQ(Refusal(TarBuilder().Directory(name)), message);
    EXPECT_EQ(Refusal(TarBuilder().Symlink(name, "x")), message);
  }
}

TEST_F(Layer, T02_HarmlessDotsAndSlashesAreNormalised) {
  EXPECT_EQ(
      Unpack(TarBuilder().File("./a", "1").File("b//c", "2").File("d/./e", "3")),
      (ImageContents{
          {"a", "file:1"}, {"b", "dir"}, {"b/c", "file:2"}, {"d", "dir"}, {"d/e", "file:3"}}));
}

TEST_F(Layer, T03_ALinkIsNeverWrittenThrough) {
  const TemporaryDirectory outside;
  std::ofstream(outside.path() + "/canary") << "untouched";
  const TarBuilder tar = TarBuilder()
                             .Symlink("l", outside.path())
                             .File("l/canary", "overwritten")
                             .File("l/new", "planted");
  EXPECT_EQ(
      Unpack(tar),
      (ImageContents{{"l", "dir"}, {"l/canary", "file:overwritten"}, {"l/new", "file:planted"}}));
  std::string canary;
  std::ifstream(outside.path() + "/canary") >> canary;
  EXPECT_EQ(canary, "untouched");
  EXPECT_FALSE(std::filesystem::exists(outside.path() + "/new"));
}

TEST_F(Layer, T04_LinksThatStayInsideAreKeptAndOthersAreCounted) {
  const Result<Unpacked> unpacked = UnpackWhole(TarBuilder()
                                                    .File("d/f", "x")
                                                    .Symlink("in", "d/f")
                                                    .Symlink("d/up", "../d/f")
                                                    .Symlink("chain", "in")
                                                    .Symlink("loop1", "loop2")
                                                    .Symlink("loop2", "loop1")
                                                    .Symlink("dangling", "nothing")
                                                    .Symlink("absolute", "/etc/passwd")
                                                    .Symlink("out", "d/../../x")
                                                    .Symlink("by", "out")
                                                    .Archive());
  ASSERT_TRUE(unpacked) << unpacked.error().message;
  EXPECT_EQ(unpacked->contents, (ImageContents{{"chain", "link:in"},
                                               {"d", "dir"},
                                               {"d/f", "file:x"},
                                               {"d/up", "link:../d/f"},
                                               {"dangling", "link:nothing"},
                                               {"in", "link:d/f"},
                                               {"loop1", "link:loop2"},
                                               {"loop2", "link:loop1"}}));
  EXPECT_EQ(unpacked->summary.skipped_links, 3u);
}

TEST_F(Layer, T05_AHardLinkSharesAnEarlierFile) {
  EXPECT_EQ(Unpack(TarBuilder().File("a", "hello", 0755).HardLink("b", "a").HardLink("c", "./b")),
            (ImageContents{{"a", "exec:hello"}, {"b", "exec:hello"}, {"c", "exec:hello"}}));
}

TEST_F(Layer, T05_AHardLinkToAnythingElseFails) {
  const std::string no_file =
      R"(tar entry "b" is a hard link to "{}", which is no earlier file of )"
      "the archive";
  const auto message = [&](std::string_view target) {
    return fmt::format(fmt::runtime(no_file), target);
  };
  EXPECT_EQ(Refusal(TarBuilder().HardLink("b", "/etc/passwd")),
            R"(tar contained invalid name error "/etc/passwd")");
  EXPECT_EQ(Refusal(TarBuilder().HardLink("b", "../a")),
            R"(tar contained invalid name error "../a")");
  EXPECT_EQ(Refusal(TarBuilder().Symlink("l", "a").HardLink("b", "l")), message("l"));
  EXPECT_EQ(Refusal(TarBuilder().HardLink("b", "a").File("a", "x")), message("a"));
  EXPECT_EQ(Refusal(TarBuilder().Directory("d").HardLink("b", "d")), message("d"));
  EXPECT_EQ(Refusal(TarBuilder().HardLink("b", "b")), message("b"));
}

TEST_F(Layer, T05_AHardLinkMayCarryTheContentsAgain) {
  // As `pax` writes them: the extended header makes the size count.
  TarBuilder tar;
  tar.File("a", "hello").Pax(PaxRecord("comment", "x"));
  tar.Add({.name = "b", .type = '1', .contents = "hello", .link = "a"}).File("z", "end");
  EXPECT_EQ(Unpack(tar),
            (ImageContents{{"a", "file:hello"}, {"b", "file:hello"}, {"z", "file:end"}}));
}

TEST_F(Layer, T06_TAR17_DevicesAndFifosFail) {
  const auto refusal = [this](char type) {
    return Refusal(TarBuilder().Add({.name = "p", .type = type}));
  };
  EXPECT_EQ(refusal('6'), "tar file entry p contained unsupported file type prw-r--r--");
  EXPECT_EQ(refusal('3'), "tar file entry p contained unsupported file type Dcrw-r--r--");
  EXPECT_EQ(refusal('4'), "tar file entry p contained unsupported file type Drw-r--r--");
}

TEST_F(Layer, T06_GnuMultivolumeEntriesFail) {
  Refusal(TarBuilder().Add({.name = "m", .type = 'M', .contents = "rest"}));
}
TEST_F(Layer, T07_TAR20_OfTheModeOnlyExecutableCounts) {
  EXPECT_EQ(Unpack(TarBuilder()
                       .File("setuid", "1", 04755)
                       .File("setgid", "2", 02644)
                       .File("none", "3", 0)
                       .File("other", "4", 0001)
                       .Directory("d", 0)
                       .File("d/sticky", "5", 01666)),
            (ImageContents{{"d", "dir"},
                           {"d/sticky", "file:5"},
                           {"none", "file:3"},
                           {"other", "exec:4"},
                           {"setgid", "file:2"},
                           {"setuid", "exec:1"}}));
}

TEST_F(Layer, T08_TAR18_TheLastFileOfANameWinsAndTheFirstModeStays) {
  EXPECT_EQ(Unpack(TarBuilder().File("a", "one").File("a", "twothree", 0755)),
            (ImageContents{{"a", "file:twothree"}}));
}

TEST_F(Layer, T08_AFileAndADirectoryOfOneNameFail) {
  EXPECT_EQ(Refusal(TarBuilder().File("a", "x").Directory("a")),
            R"(tar entry "a" is a file and a directory at once)");
  EXPECT_EQ(Refusal(TarBuilder().Directory("a").File("a", "x")),
            R"(tar entry "a" is a file and a directory at once)");
  EXPECT_EQ(Refusal(TarBuilder().File("a", "x").File("a/b", "y")),
            R"(tar entry "a/b" is a file and a directory at once)");
}

TEST_F(Layer, T09_NamesThatOnlyLookAlikeAreDistinct) {
  const std::string composed = "\xc3\xa9";     // é as one character
  const std::string decomposed = "e\xcc\x81";  // é as two
  const ImageContents all{
      {"A", "file:1"}, {"a", "file:2"}, {composed, "file:3"}, {decomposed, "file:4"}};
  EXPECT_EQ(
      Unpack(TarBuilder().File("A", "1").File("a", "2").File(composed, "3").File(decomposed, "4")),
      all);
  TarBuilder pax;
  pax.File("A", "1").File("a", "2");
  pax.Pax(PaxRecord("path", composed)).File("x", "3");
  pax.Pax(PaxRecord("path", decomposed)).File("x", "4");
  EXPECT_EQ(Unpack(pax), all);
}

TEST_F(Layer, T10_NamesAreBytes) {
  for (const std::string name : {"new\nline", "esc\x1b[31m", "latin\xe9", "\xff\xfe",
                                 "\xed\xa0\x80", "over\xc0\xaflong", "tab\t", "del\x7f"}) {
    const ImageContents wanted{{name, "file:x"}};
    EXPECT_EQ(Unpack(TarBuilder().File(name, "x")), wanted);
    EXPECT_EQ(Unpack(TarBuilder().GnuLong(name).File("y", "x")), wanted);
    EXPECT_EQ(Unpack(TarBuilder().Pax(PaxRecord("path", name)).File("y", "x")), wanted);
  }
}

TEST_F(Layer, T10_LinkTargetsAreBytes) {
  const std::string target = "\xc3\xa9\xff";
  const ImageContents wanted{{"l", "link:" + target}};
  EXPECT_EQ(Unpack(TarBuilder().Symlink("l", target)), wanted);
  EXPECT_EQ(Unpack(TarBuilder().GnuLong(target, 'K').Symlink("l", "y")), wanted);
  EXPECT_EQ(Unpack(TarBuilder().Pax(PaxRecord("linkpath", target)).Symlink("l", "y")), wanted);
}

TEST_F(Layer, T10_TAR15_ABackslashFails) {
  EXPECT_EQ(Refusal(TarBuilder().File("a\\b", "x")), R"(tar contained invalid name error "a\b")");
}

TEST_F(Layer, T10_MessagesEscapeWhatTheArchiveSays) {
  for (const std::string name : {"/\x1b[31mred\n", "/\xff"}) {
    const std::string message = Refusal(TarBuilder().File(name, "x"));
    EXPECT_EQ(message.find_first_of("\x1b\n\xff"), std::string::npos) << message;
    const std::string device = Refusal(TarBuilder().Add({.name = name.substr(1), .type = '6'}));
    EXPECT_EQ(device.find_first_of("\x1b\n\xff"), std::string::npos) << device;
  }
}

TEST_F(Layer, T11_LongNamesFailAndAreNotCut) {
  const auto refusal = [this](const std::string& name) {
    return Refusal(TarBuilder().Pax(PaxRecord("path", name)).File("x", "1"),
                   ErrorCode::kLimitExceeded);
  };
  const std::string longest(255, 'n');
  EXPECT_EQ(Unpack(TarBuilder().GnuLong(longest).File("x", "1")),
            (ImageContents{{longest, "file:1"}}));
  EXPECT_EQ(refusal(longest + "n"),
            "tar entry \"" + longest + "n\" has a name of more than 255 bytes");
  std::string deep;
  while (deep.size() < 65536) deep += longest + "/";
  EXPECT_TRUE(refusal(deep).ends_with("has a path of more than 4096 bytes"));
}

TEST_F(Layer, T26_WhiteoutsArePlainFiles) {
  const TarBuilder tar = TarBuilder()
                             .File("x/foo", "1")
                             .File("x/.wh.foo", "")
                             .File("x/.wh..wh..opq", "")
                             .File(".wh...", "");
  EXPECT_EQ(Unpack(tar), (ImageContents{{".wh...", "file:"},
                                        {"x", "dir"},
                                        {"x/.wh..wh..opq", "file:"},
                                        {"x/.wh.foo", "file:"},
                                        {"x/foo", "file:1"}}));
}

TEST_F(Layer, ResourceForksArePlainFiles) {
  EXPECT_EQ(Unpack(TarBuilder().File("._a", "fork").File("a", "data")),
            (ImageContents{{"._a", "file:fork"}, {"a", "file:data"}}));
}

TEST_F(Layer, T27_AnEmptyArchiveIsAnEmptyTree) {
  EXPECT_EQ(Unpack(TarBuilder()), ImageContents{});
  EXPECT_EQ(Unpack(TarBuilder().Directory("./")), ImageContents{});
  EXPECT_EQ(Unpack(Gzip(TarBuilder().Archive())), ImageContents{});
}

}  // namespace
}  // namespace ocirepofs
