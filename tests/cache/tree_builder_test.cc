#include "cache/tree_builder.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/cache_fixture.h"

namespace ocirepofs {
namespace {

/// Paths in the order of the walk, with a mark that says what each is.
std::vector<std::string> Walked(const TreeBuilder& tree) {
  std::vector<std::string> paths;
  tree.Walk(TreeBuilder::kRoot, [&](uint32_t number) {
    const TreeBuilder::Node& node = tree.node(number);
    switch (node.type) {
      case NodeType::kDirectory:
        paths.push_back(tree.Path(number) + "/");
        break;
      case NodeType::kFile:
        paths.push_back(tree.Path(number) + (node.executable ? "*" : ""));
        break;
      case NodeType::kSymlink:
        paths.push_back(tree.Path(number) + "@" + node.target);
        break;
    }
  });
  return paths;
}

using Paths = std::vector<std::string>;

/// What AddFile says to a path.
std::string FileRefusal(std::string_view path) {
  TreeBuilder tree;
  return Outcome(tree.AddFile(path, false));
}

std::string InvalidName(std::string_view shown) {
  return fmt::format("kMalformed: tar contained invalid name error \"{}\"", shown);
}

/// Adds what must be accepted.
class Tree : public TreeBuilder {
 public:
  Tree& Dir(std::string_view path) { return Took(AddDirectory(path)); }
  Tree& Reg(std::string_view path, bool executable = false) {
    return Took(AddFile(path, executable));
  }
  Tree& Sym(std::string_view path, std::string_view target) {
    return Took(AddSymlink(path, target));
  }
  Tree& Hard(std::string_view path, std::string_view target) {
    return Took(AddHardLink(path, target));
  }

 private:
  Tree& Took(const Result<uint32_t>& result) {
    EXPECT_EQ(Outcome(result), "success");
    return *this;
  }
};

TEST(TreePath, MustBeRelative) {
  EXPECT_EQ(FileRefusal("/etc/x"), InvalidName("/etc/x"));
  EXPECT_EQ(FileRefusal("/"), InvalidName("/"));
  EXPECT_EQ(FileRefusal(""), InvalidName(""));
}

TEST(TreePath, MustNotClimb) {
  for (const char* path : {"..", "../abc/file", "a/..", "a/../../b", "./../x", "a/../b"}) {
    EXPECT_EQ(FileRefusal(path), InvalidName(path));
  }
  EXPECT_EQ(FileRefusal("..a/b../...c"), "success");
}

TEST(TreePath, MustNotHoldBackslashOrNul) {
  EXPECT_EQ(FileRefusal("a\\b"), InvalidName("a\\b"));
  EXPECT_EQ(FileRefusal(std::string_view("a\0b", 3)), InvalidName("a\\x00b"));
}

TEST(TreePath, IsEscapedInMessages) {
  EXPECT_EQ(FileRefusal("/\x1b[2J\n\xff"), InvalidName("/\\x1b[2J\\x0a\\xff"));
}

TEST(TreePath, DropsDotsAndDoubledSlashes) {
  Tree tree;
  tree.Reg("./a//b/./c").Reg("a/b/d/").Dir("./").Dir(".").Dir("e//");
  EXPECT_EQ(Walked(tree), (Paths{"./", "a/", "a/b/", "a/b/c", "a/b/d", "e/"}));
}

TEST(TreePath, KeepsBytesThatAreNotText) {
  Tree tree;
  tree.Reg("\xff\x1b\n").Reg("é/ü.txt").Reg("e\xcc\x81/x").Reg("A").Reg("a");
  EXPECT_EQ(Walked(tree),
            (Paths{"./", "A", "a", "e\xcc\x81/", "e\xcc\x81/x", "é/", "é/ü.txt", "\xff\x1b\n"}));
}

TEST(TreePath, HasAtMost4096Bytes) {
  std::string path;
  while (path.size() < 4096) path += std::string(127, 'x') + "/";
  path.back() = 'x';
  EXPECT_EQ(FileRefusal(path), "success");
  const std::string longer = path + "/";
  EXPECT_EQ(FileRefusal(longer).substr(0, 30), "kLimitExceeded: tar entry \"xxx");
  EXPECT_TRUE(FileRefusal(longer).ends_with("…\" has a path of more than 4096 bytes"));
  EXPECT_TRUE(FileRefusal(std::string(65536, 'x')).ends_with("of more than 4096 bytes"));
}

TEST(TreePath, HasNamesOfAtMost255Bytes) {
  EXPECT_EQ(FileRefusal("a/" + std::string(255, 'n') + "/b"), "success");
  const std::string longer(256, 'n');
  const std::string refusal =
      fmt::format("kLimitExceeded: tar entry \"{}\" has a name of more than 255 bytes", longer);
  EXPECT_EQ(FileRefusal("a/" + longer), refusal);
  EXPECT_EQ(FileRefusal(longer + "/a"), refusal);
}

TEST(TreePath, HasAtMost64Components) {
  std::string path = "0";
  for (int i = 1; i < 64; ++i) path += "/d";
  EXPECT_EQ(FileRefusal(path), "success");
  EXPECT_EQ(
      FileRefusal(path + "/e"),
      fmt::format("kLimitExceeded: tar entry \"{}/e\" lies deeper than 64 directories", path));
}

TEST(TreePath, LimitsHoldForEveryKindOfEntry) {
  const std::string name(256, 'n');
  TreeBuilder tree;
  ASSERT_TRUE(tree.AddFile("f", false));
  EXPECT_EQ(tree.AddDirectory(name).error().code, ErrorCode::kLimitExceeded);
  EXPECT_EQ(tree.AddSymlink(name, "f").error().code, ErrorCode::kLimitExceeded);
  EXPECT_EQ(tree.AddHardLink(name, "f").error().code, ErrorCode::kLimitExceeded);
  EXPECT_EQ(tree.AddHardLink("h", name).error().code, ErrorCode::kLimitExceeded);
  EXPECT_EQ(Outcome(tree.AddSymlink("../l", "f")), InvalidName("../l"));
  EXPECT_EQ(Outcome(tree.AddHardLink("h", "../f")), InvalidName("../f"));
  EXPECT_EQ(Outcome(tree.AddSymlink("s", std::string(4096, 't'))), "success");
  EXPECT_EQ(Outcome(tree.AddSymlink("l", std::string(4097, 't'))),
            "kLimitExceeded: symbolic link \"l\" has a target of more than 4096 bytes");
}

TEST(TreeBuilder, MakesParentsThatWereNotNamed) {
  Tree tree;
  tree.Reg("x/y/z");
  EXPECT_EQ(Walked(tree), (Paths{"./", "x/", "x/y/", "x/y/z"}));
  EXPECT_FALSE(tree.replaced_any());
}

TEST(TreeBuilder, WalksEachDirectoryByNameBytes) {
  Tree tree;
  tree.Reg("b").Reg("a/z").Reg("a.txt").Reg("a-b").Reg("a/B").Reg("\xc3\xa9");
  // "a" comes before "a-b", though "a/…" as a string would come after it.
  EXPECT_EQ(Walked(tree), (Paths{"./", "a/", "a/B", "a/z", "a-b", "a.txt", "b", "\xc3\xa9"}));
}

TEST(TreeBuilder, LastFileWinsAndKeepsTheFirstMode) {
  Tree tree;
  tree.Reg("a", false).Reg("a", true).Reg("x", true).Reg("x", false);
  EXPECT_EQ(Walked(tree), (Paths{"./", "a", "x*"}));
  EXPECT_EQ(tree.node(1).content, 1U);
  EXPECT_EQ(tree.node(2).content, 3U);
  EXPECT_TRUE(tree.replaced_any());
}

TEST(TreeBuilder, DirectoryMayBeNamedTwice) {
  Tree tree;
  tree.Dir("d").Reg("d/f").Dir("d").Dir("./d/");
  EXPECT_EQ(Walked(tree), (Paths{"./", "d/", "d/f"}));
  EXPECT_FALSE(tree.replaced_any());
}

TEST(TreeBuilder, FileAndDirectoryOfOneNameFail) {
  const std::string conflict = "kMalformed: tar entry \"a\" is a file and a directory at once";
  const std::string below = "kMalformed: tar entry \"a/b\" is a file and a directory at once";
  Tree file_first;
  file_first.Reg("a");
  EXPECT_EQ(Outcome(file_first.AddDirectory("a")), conflict);
  EXPECT_EQ(Outcome(file_first.AddFile("a/b", false)), below);
  EXPECT_EQ(Outcome(file_first.AddDirectory("a/b")), below);
  EXPECT_EQ(Outcome(file_first.AddSymlink("a/b", "x")), below);
  EXPECT_EQ(Outcome(file_first.AddHardLink("a/b", "a")), below);
  Tree directory_first;
  directory_first.Reg("f").Dir("a");
  EXPECT_EQ(Outcome(directory_first.AddFile("a", false)), conflict);
  EXPECT_EQ(Outcome(directory_first.AddHardLink("a", "f")), conflict);
  Tree implied_first;
  implied_first.Reg("a/b");
  EXPECT_EQ(Outcome(implied_first.AddFile("a", false)), conflict);
}

TEST(TreeBuilder, RootIsNoFile) {
  EXPECT_EQ(FileRefusal("./"), "kMalformed: tar entry \"./\" is a file and a directory at once");
  Tree tree;
  EXPECT_EQ(*tree.AddSymlink(".", "x"), TreeBuilder::kNone);
  EXPECT_EQ(*tree.AddDirectory("."), TreeBuilder::kRoot);
}

TEST(TreeBuilder, SymlinkGivesWayWhicheverComesFirst) {
  Tree link_first;
  link_first.Sym("f", "t").Reg("f", true).Sym("d", "t").Dir("d").Sym("p", "t").Reg("p/q");
  const Paths expected{"./", "d/", "f*", "p/", "p/q"};
  EXPECT_EQ(Walked(link_first), expected);
  EXPECT_TRUE(link_first.replaced_any());

  Tree link_last;
  link_last.Reg("f", true).Dir("d").Reg("p/q");
  for (const char* name : {"f", "d", "p"}) {
    EXPECT_EQ(*link_last.AddSymlink(name, "t"), TreeBuilder::kNone) << name;
  }
  EXPECT_EQ(Walked(link_last), expected);
}

TEST(TreeBuilder, LastTargetOfASymlinkWins) {
  Tree tree;
  tree.Sym("s", "a").Sym("s", "b");
  EXPECT_EQ(Walked(tree), (Paths{"./", "s@b"}));
  EXPECT_TRUE(tree.replaced_any());
}

TEST(TreeBuilder, WritingThroughASymlinkStaysInside) {
  Tree tree;
  tree.Sym("out", "/etc").Reg("out/passwd");
  EXPECT_EQ(Walked(tree), (Paths{"./", "out/", "out/passwd"}));
}

TEST(TreeBuilder, HardLinkSharesTheContentsAndTheModeOfItsFile) {
  Tree tree;
  tree.Reg("a", true).Hard("b", "./a").Hard("d/c", "b");
  EXPECT_EQ(Walked(tree), (Paths{"./", "a*", "b*", "d/", "d/c*"}));
  for (const uint32_t number : {1U, 2U, 4U}) EXPECT_EQ(tree.node(number).content, 0U);
}

TEST(TreeBuilder, HardLinkKeepsTheContentsWhenItsFileIsReplaced) {
  Tree tree;
  tree.Reg("a").Hard("b", "a").Reg("a");
  EXPECT_EQ(tree.node(1).content, 1U);
  EXPECT_EQ(tree.node(2).content, 0U);
}

TEST(TreeBuilder, HardLinkNeedsAnEarlierFile) {
  const auto refusal = [](std::string_view target) {
    return fmt::format(
        "kMalformed: tar entry \"h\" is a hard link to \"{}\", which is no earlier file of the "
        "archive",
        target);
  };
  Tree tree;
  tree.Dir("d").Sym("s", "f").Sym("up", "d");
  for (const char* target : {"f", "d", ".", "s", "h", "up/f", "d/f"}) {
    EXPECT_EQ(Outcome(tree.AddHardLink("h", target)), refusal(target));
  }
  tree.Reg("f").Reg("d/f").Hard("h", "f");
  EXPECT_EQ(tree.AddHardLink("i", "up/f").error().code, ErrorCode::kMalformed);
}

TEST(TreeBuilder, WhiteoutsArePlainFiles) {
  Tree tree;
  tree.Reg("x/foo").Reg("x/.wh.foo").Reg("x/.wh..wh..opq").Reg(".wh...");
  EXPECT_EQ(Walked(tree), (Paths{"./", ".wh...", "x/", "x/.wh..wh..opq", "x/.wh.foo", "x/foo"}));
}

}  // namespace
}  // namespace ocirepofs
