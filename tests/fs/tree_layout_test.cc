#include <algorithm>
#include <cerrno>
#include <set>

#include "tests/fs/tree_fixture.h"

namespace ocirepofs {
namespace {

using Node = Tree::Node;
using NameList = std::vector<std::string>;

// Listing: cookies, and names that come and go meanwhile.

class Listing : public TreeTest {
 protected:
  /// All names, read `step` at a time, each piece from the cookie of the last.
  NameList InPieces(Node directory, size_t step) {
    NameList names;
    off_t cookie = 0;
    for (;;) {
      const auto piece = ListFrom(&tree_, directory, cookie, step);
      if (piece.empty()) return names;
      for (const Listed& listed : piece) names.push_back(listed.name);
      cookie = piece.back().cookie;
    }
  }

  void AddAll(std::initializer_list<const char*> names) {
    for (const char* name : names) tree_.AddRepository({"default", name});
  }

  Tree tree_{&catalog_, &clock_, {}};
};

TEST_F(Listing, ResumesAtEveryOrdinal) {
  std::vector<Item> items = {{.path = ".a"}, {.path = ".status"}};
  for (int i = 0; i < 40; ++i) items.push_back({.path = fmt::format("f{:02}", i)});
  for (int i = 0; i < 10; ++i) items.push_back({.path = fmt::format("sub/g{}", i)});
  Publish(&tree_, {"default", "site"}, MakeImage(items));
  for (const Node directory : {Walk(&tree_, "site"), Walk(&tree_, "site/sub")}) {
    const auto whole = ListFrom(&tree_, directory, 0, SIZE_MAX);
    NameList names;
    for (const Listed& listed : whole) names.push_back(listed.name);
    EXPECT_EQ(std::set(names.begin(), names.end()).size(), names.size());
    EXPECT_EQ(names.size(), directory == Walk(&tree_, "site") ? 43u : 10u);
    for (size_t step = 1; step <= names.size() + 1; ++step) {
      EXPECT_EQ(InPieces(directory, step), names) << step;
    }
    for (size_t i = 0; i < whole.size(); ++i) {
      const auto rest = ListFrom(&tree_, directory, whole[i].cookie, SIZE_MAX);
      ASSERT_EQ(rest.size(), whole.size() - i - 1);
      if (!rest.empty()) {
        EXPECT_EQ(rest[0].name, names[i + 1]);
      }
    }
  }
}

TEST_F(Listing, CookiesBeyondTheEndListNothing) {
  Publish(&tree_, {"default", "site"}, MakeImage({{.path = "a"}}));
  for (const Node directory : {Tree::kRoot, Walk(&tree_, "site")}) {
    for (const off_t cookie : {off_t{1000}, off_t{1} << 40, INT64_MAX - 1, INT64_MAX}) {
      EXPECT_TRUE(ListFrom(&tree_, directory, cookie, SIZE_MAX).empty()) << cookie;
    }
    const auto lister = [](std::string_view, const Tree::Entry&, off_t) { return true; };
    EXPECT_EQ(tree_.List(directory, -1, Tree::WithNodes::kAll, lister), EINVAL);
    EXPECT_EQ(tree_.List(directory, INT64_MIN, Tree::WithNodes::kAll, lister), EINVAL);
  }
}

TEST_F(Listing, UpperDirectoriesResumeAtEveryName) {
  AddAll({"d", "a", "c", "b"});
  const NameList whole = InPieces(Tree::kRoot, SIZE_MAX);
  EXPECT_EQ(whole, (NameList{".status", "d", "a", "c", "b"}));
  for (size_t step = 1; step <= 6; ++step) EXPECT_EQ(InPieces(Tree::kRoot, step), whole) << step;
}

TEST_F(Listing, NeitherSkipsNorRepeatsWhatStaysWhileNamesComeAndGo) {
  // Between any two pieces one that was listed goes, one that was not goes, and new ones come.
  AddAll({"a", "b", "c", "d", "e", "f", "g", "h"});
  NameList seen;
  off_t cookie = 0;
  int round = 0;
  const NameList going = {"a", "g", "c", "h"};
  for (;;) {
    const auto piece = ListFrom(&tree_, Tree::kRoot, cookie, 2);
    if (piece.empty()) break;
    for (const Listed& listed : piece) seen.push_back(listed.name);
    cookie = piece.back().cookie;
    if (round < 4) {
      tree_.RemoveRepository({"default", going[static_cast<size_t>(round)]});
      tree_.AddRepository({"default", fmt::format("new{}", round)});
    }
    ++round;
  }
  for (const char* stays : {".status", "b", "d", "e", "f"}) {
    EXPECT_EQ(std::count(seen.begin(), seen.end(), stays), 1) << stays;
  }
  EXPECT_EQ(std::set(seen.begin(), seen.end()).size(), seen.size());
}

TEST_F(Listing, ACookieOfANameThatIsGoneStillLeadsOn) {
  AddAll({"a", "b", "c"});
  const auto first = ListFrom(&tree_, Tree::kRoot, 0, 2);
  ASSERT_EQ(first[1].name, "a");
  tree_.RemoveRepository({"default", "a"});
  const auto rest = ListFrom(&tree_, Tree::kRoot, first[1].cookie, SIZE_MAX);
  ASSERT_EQ(rest.size(), 2u);
  EXPECT_EQ(rest[0].name, "b");
}

TEST_F(Listing, EveryEntryHasATypeAndANumberOfItsOwn) {
  Publish(&tree_, {"default", "one"}, MakeImage({{.path = "f"}, {.path = "l", .target = "f"}}));
  Publish(&tree_, {"default", "two"}, Image::Empty(kCreated));
  const auto root = ListFrom(&tree_, Tree::kRoot, 0, SIZE_MAX);
  std::set<ino_t> numbers;
  for (const Listed& listed : root) numbers.insert(listed.entry.attributes.st_ino);
  EXPECT_EQ(numbers.size(), root.size());
  EXPECT_FALSE(numbers.contains(0));
  EXPECT_TRUE(S_ISREG(root[0].entry.attributes.st_mode));
  EXPECT_TRUE(S_ISDIR(root[1].entry.attributes.st_mode));
  const auto one = ListFrom(&tree_, Walk(&tree_, "one"), 0, SIZE_MAX, Tree::WithNodes::kAll);
  ASSERT_EQ(one.size(), 3u);
  EXPECT_EQ(one[0].entry.node, 0u) << "a .status is looked up, not remembered from a listing";
  EXPECT_TRUE(S_ISREG(one[1].entry.attributes.st_mode));
  EXPECT_TRUE(S_ISLNK(one[2].entry.attributes.st_mode));
}

// The other layout.

class Namespaced : public TreeTest {
 protected:
  Tree tree_{
      &catalog_, &clock_, {.layout = Layout::kNamespaced, .uid = 7, .umask = 022, .cache_url = {}}};
  const ObjectKey a_{"apps", "a"};
  const ObjectKey b_{"apps", "b"};
  const ObjectKey other_a_{"infra", "a"};
};

TEST_F(Namespaced, TheSameNameIsMountedInEachNamespace) {
  Publish(&tree_, a_, MakeImage({{.path = "of-apps"}}));
  Publish(&tree_, b_, MakeImage({{.path = "x"}}));
  Publish(&tree_, other_a_, MakeImage({{.path = "of-infra"}}));
  EXPECT_EQ(TreeTest::Names(&tree_, Tree::kRoot), (NameList{".status", "apps", "infra"}));
  EXPECT_EQ(TreeTest::Names(&tree_, Walk(&tree_, "apps")), (NameList{"a", "b"}));
  EXPECT_NE(Walk(&tree_, "apps/a/of-apps"), 0u);
  EXPECT_NE(Walk(&tree_, "infra/a/of-infra"), 0u);
  EXPECT_EQ(Walk(&tree_, "infra/b"), 0u);
  EXPECT_EQ(Walk(&tree_, "a"), 0u);
  EXPECT_EQ(Walk(&tree_, "apps/.status"), 0u);
  EXPECT_NE(Walk(&tree_, "apps/a/.status"), 0u);
  EXPECT_EQ(ReadAll(&tree_, Walk(&tree_, ".status")).substr(0, 9), "NAMESPACE");
}

TEST_F(Namespaced, ANamespacesDirectoryComesAndGoesWithItsRepositories) {
  const auto first = tree_.AddRepository(a_);
  ASSERT_EQ(first.size(), 2u);
  EXPECT_EQ(first[0].parent, Tree::kRoot);
  EXPECT_EQ(first[0].name, "apps");
  EXPECT_EQ(first[1].parent, Walk(&tree_, "apps"));
  EXPECT_EQ(first[1].name, "a");
  EXPECT_EQ(tree_.AddRepository(b_).size(), 1u);
  EXPECT_EQ(tree_.RemoveRepository(a_).size(), 1u);
  EXPECT_EQ(tree_.RemoveRepository(b_).size(), 2u);
  EXPECT_EQ(TreeTest::Names(&tree_, Tree::kRoot), NameList{".status"});
  EXPECT_EQ(Walk(&tree_, "apps"), 0u);
  EXPECT_FALSE(tree_.Locate(a_).has_value());
}

TEST_F(Namespaced, ANamespaceKeepsItsNumber) {
  tree_.AddRepository(a_);
  const Node apps = Walk(&tree_, "apps");
  tree_.RemoveRepository(a_);
  EXPECT_EQ(TreeTest::Names(&tree_, apps), NameList{}) << "who stands in it sees it empty";
  tree_.AddRepository(other_a_);
  tree_.AddRepository(a_);
  EXPECT_EQ(Walk(&tree_, "apps"), apps);
  EXPECT_NE(Walk(&tree_, "infra"), apps);
}

TEST_F(Namespaced, ChangingDirectoriesAreAskedForEachTime) {
  tree_.AddRepository(a_);
  Tree::Entry entry;
  ASSERT_EQ(tree_.Lookup(Tree::kRoot, "apps", &entry), 0);
  EXPECT_EQ(entry.lifetime, Tree::Lifetime::kBrief);
  EXPECT_EQ(entry.attribute_lifetime, Tree::Lifetime::kNone);
  struct stat attributes {};
  Tree::Lifetime lifetime{};
  ASSERT_EQ(tree_.GetAttributes(entry.node, &attributes, &lifetime), 0);
  EXPECT_EQ(lifetime, Tree::Lifetime::kNone);
  EXPECT_EQ(attributes.st_uid, 7u);
}

// A link count of 2 says to those who walk that there are no directories within.
TEST_F(Namespaced, LinkCountsTellTheDirectoriesWithin) {
  tree_.AddRepository(a_);
  tree_.AddRepository(b_);
  tree_.AddRepository(other_a_);
  for (const Node node : {Tree::kRoot, Walk(&tree_, "apps")}) {
    const nlink_t links = Stat(&tree_, node).st_nlink;
    EXPECT_TRUE(links == 1 || links == 4) << links;
  }
}

TEST_F(Namespaced, UmaskTakesPermissionsAwayFromAllButLinks) {
  Tree tree(&catalog_, &clock_, {.uid = 5, .gid = 6, .umask = 0137, .cache_url = {}});
  Publish(&tree, a_,
          MakeImage({{.path = "f"},
                     {.path = "x", .executable = true},
                     {.path = "l", .target = "f"},
                     {.path = "d/"}}));
  const auto mode = [this, &tree](const char* path) {
    return Stat(&tree, Walk(&tree, path)).st_mode & 07777;
  };
  EXPECT_EQ(mode(""), 0440u);
  EXPECT_EQ(mode("a"), 0440u);
  EXPECT_EQ(mode("a/d"), 0440u);
  EXPECT_EQ(mode("a/f"), 0440u);
  EXPECT_EQ(mode("a/x"), 0440u);
  EXPECT_EQ(mode("a/l"), 0777u);
  EXPECT_EQ(mode("a/.status"), 0440u);
  EXPECT_EQ(mode(".status"), 0440u);
  for (const char* path : {"", ".status", "a", "a/.status", "a/f", "a/l"}) {
    const struct stat attributes = Stat(&tree, Walk(&tree, path));
    EXPECT_EQ(attributes.st_uid, 5u) << path;
    EXPECT_EQ(attributes.st_gid, 6u) << path;
  }
}

}  // namespace
}  // namespace ocirepofs
