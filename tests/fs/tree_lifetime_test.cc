#include <atomic>
#include <cerrno>
#include <random>
#include <thread>

#include "tests/fs/tree_fixture.h"

namespace ocirepofs {
namespace {

using Node = Tree::Node;
using WithNodes = Tree::WithNodes;

const ObjectKey kSite{"default", "site"};
constexpr Node kStatusBit = StatusFiles::kBit;
constexpr Node kUpperBit = Node{1} << 62;

class Lifetimes : public TreeTest {
 protected:
  std::weak_ptr<const Snapshot> PublishText(const std::string& text) {
    return Publish(&tree_, kSite,
                   MakeImage({{.path = "d/version", .contents = text}, {.path = "late-" + text}}));
  }

  Tree tree_{&catalog_, &clock_, {}};
};

// Counting.

TEST_F(Lifetimes, ARevisionThatNobodyCountsGoesWithTheSwitch) {
  const auto first = PublishText("1");
  PublishText("2");
  EXPECT_TRUE(first.expired());
}

TEST_F(Lifetimes, ACountedRevisionStaysUntilItsLastCountIsForgotten) {
  const auto first = PublishText("1");
  const Node site = Walk(&tree_, "site");
  const Node directory = Walk(&tree_, "d", site);
  const Node version = Walk(&tree_, "version", directory);
  PublishText("2");
  tree_.Forget(site, 1);
  tree_.Forget(directory, 1);
  EXPECT_FALSE(first.expired());
  EXPECT_EQ(ReadAll(&tree_, version), "1");
  tree_.Forget(version, 1);
  EXPECT_TRUE(first.expired());
  EXPECT_EQ(StatError(&tree_, version), ESTALE);
}

TEST_F(Lifetimes, CountsAreSummedARevisionWhoeverTheyWereFor) {
  const auto first = PublishText("1");
  const Node site = Walk(&tree_, "site");
  for (int i = 0; i < 9; ++i) Walk(&tree_, "d", site);
  PublishText("2");
  tree_.Forget(Walk(&tree_, "d", site), 10);
  EXPECT_FALSE(first.expired());
  tree_.Forget(site, 1);
  EXPECT_TRUE(first.expired());
}

TEST_F(Lifetimes, TheCurrentRevisionIsThereAgainAfterItWasForgotten) {
  PublishText("1");
  const Node version = Walk(&tree_, "site/d/version");
  tree_.Forget(version, 3);
  EXPECT_EQ(StatError(&tree_, version), ESTALE) << "nobody was told of this number any more";
  EXPECT_EQ(Walk(&tree_, "site/d/version"), version);
}

TEST_F(Lifetimes, ListedEntriesAreCountedWhereTheListingSaysSo) {
  const auto first = PublishText("1");
  const Node site = Walk(&tree_, "site");
  EXPECT_EQ(ListFrom(&tree_, site, 0, SIZE_MAX, WithNodes::kNone).size(), 3u);
  EXPECT_EQ(ListFrom(&tree_, site, 0, SIZE_MAX, WithNodes::kAll).size(), 3u);
  PublishText("2");
  tree_.Forget(site, 1);
  EXPECT_FALSE(first.expired());
  tree_.Forget(site, 2);  // `.status` is listed without a count
  EXPECT_TRUE(first.expired());
}

TEST_F(Lifetimes, EntriesAreCountedWhereTheyComeWithTheirNode) {
  const auto first = PublishText("1");
  const Node site = Walk(&tree_, "site");
  const auto bare = ListFrom(&tree_, site, 0, SIZE_MAX, WithNodes::kNone);
  const auto directories = ListFrom(&tree_, site, 0, SIZE_MAX, WithNodes::kDirectories);
  ASSERT_EQ(bare.size(), 3u);  // .status, d, late-1
  ASSERT_EQ(directories.size(), 3u);
  for (const Listed& listed : bare) EXPECT_EQ(listed.entry.node, 0u) << listed.name;
  EXPECT_EQ(directories[0].entry.node, 0u);
  EXPECT_EQ(directories[1].entry.node, Walk(&tree_, "d", site));
  EXPECT_EQ(directories[2].entry.node, 0u);
  for (size_t i = 1; i < bare.size(); ++i) {
    EXPECT_NE(bare[i].entry.attributes.st_ino, 0u);
    EXPECT_EQ(bare[i].entry.attributes.st_ino, directories[i].entry.attributes.st_ino);
  }
  PublishText("2");
  tree_.Forget(site, 2);  // of the two lookups
  EXPECT_FALSE(first.expired());
  tree_.Forget(directories[1].entry.node, 1);
  EXPECT_TRUE(first.expired());
}

TEST_F(Lifetimes, AnEntryThatDidNotFitIsNotCounted) {
  const auto first = PublishText("1");
  const Node site = Walk(&tree_, "site");
  EXPECT_EQ(ListFrom(&tree_, site, 0, 2, WithNodes::kAll).size(), 2u);
  PublishText("2");
  tree_.Forget(site, 2);
  EXPECT_TRUE(first.expired());
}

TEST_F(Lifetimes, FailedLookupsCountNothing) {
  const auto first = PublishText("1");
  const Node site = Walk(&tree_, "site");
  EXPECT_EQ(LookupError(&tree_, site, "nothing"), ENOENT);
  EXPECT_EQ(LookupError(&tree_, Walk(&tree_, "d/version", site), "below-a-file"), ENOTDIR);
  PublishText("2");
  tree_.Forget(site, 3);
  EXPECT_TRUE(first.expired());
}

TEST_F(Lifetimes, ReadingAStatusKeepsNoRevision) {
  const auto first = PublishText("1");
  tree_.Forget(Walk(&tree_, ".status"), 1);
  const Node site = Walk(&tree_, "site");
  tree_.Forget(Walk(&tree_, ".status", site), 1);
  PublishText("2");
  tree_.Forget(site, 1);
  EXPECT_TRUE(first.expired());
}

TEST_F(Lifetimes, AStatusThatIsHeldOpenKeepsNoRevision) {
  const auto first = PublishText("1");
  const Node site = Walk(&tree_, "site");
  const Node status = Walk(&tree_, ".status", site);
  PublishText("2");
  tree_.Forget(site, 1);
  EXPECT_TRUE(first.expired());
  EXPECT_NE(ReadAll(&tree_, status).find("oci://registry.example.com/site"), std::string::npos);
}

TEST_F(Lifetimes, ARemovedRepositoryLetsGoOfItsLastRevision) {
  const auto first = PublishText("1");
  const Node site = Walk(&tree_, "site");
  const Node status = Walk(&tree_, ".status", site);
  Withdraw(&tree_, kSite);
  EXPECT_EQ(StatError(&tree_, site), 0);
  tree_.Forget(site, 1);
  EXPECT_TRUE(first.expired());
  EXPECT_EQ(ReadAll(&tree_, status).substr(0, 11), "apiVersion:");
  tree_.Forget(status, 1);
  EXPECT_EQ(StatError(&tree_, status), ESTALE);
}

// Switching.

TEST_F(Lifetimes, WhatWasOpenBeforeASwitchShowsTheOldRevisionWhole) {
  PublishText("1");
  const Node old_site = Walk(&tree_, "site");
  PublishText("2");
  const Node new_site = Walk(&tree_, "site");
  EXPECT_NE(old_site, new_site);
  EXPECT_EQ(ReadAll(&tree_, Walk(&tree_, "d/version", old_site)), "1");
  EXPECT_EQ(ReadAll(&tree_, Walk(&tree_, "d/version", new_site)), "2");
  EXPECT_EQ(Names(&tree_, old_site), (std::vector<std::string>{".status", "d", "late-1"}));
  EXPECT_EQ(Names(&tree_, new_site), (std::vector<std::string>{".status", "d", "late-2"}));
  EXPECT_EQ(LookupError(&tree_, old_site, "late-2"), ENOENT);
}

TEST_F(Lifetimes, NumbersAreNeverUsedTwice) {
  const auto image = MakeImage({{.path = "a"}});
  std::set<Node> roots;
  for (int i = 0; i < 100; ++i) {
    Publish(&tree_, kSite, image);
    const Node site = Walk(&tree_, "site");
    EXPECT_TRUE(roots.insert(site).second);
    tree_.Forget(site, 1);
  }
}

// The versions of `.status`.

TEST_F(Lifetimes, AStatusIsANodeOfItsOwnForEachText) {
  const auto snapshot = PublishText("1").lock();
  const Node site = Walk(&tree_, "site");
  const Node before = Walk(&tree_, ".status", site);
  EXPECT_EQ(Walk(&tree_, ".status", site), before);
  PublishStatus(kSite, snapshot, "stored artifact");
  EXPECT_EQ(Walk(&tree_, ".status", site), before) << "another publication of the same text";
  PublishStatus(kSite, snapshot, "something else is so now");
  const Node after = Walk(&tree_, ".status", site);
  EXPECT_NE(after, before);
  EXPECT_EQ(Walk(&tree_, ".status", site), after);

  const std::string old_text = ReadAll(&tree_, before);
  const std::string new_text = ReadAll(&tree_, after);
  EXPECT_NE(old_text.find("message: stored artifact\n"), std::string::npos);
  EXPECT_NE(new_text.find("message: something else is so now\n"), std::string::npos);
  EXPECT_EQ(Stat(&tree_, before).st_size, static_cast<off_t>(old_text.size()));
  EXPECT_EQ(Stat(&tree_, after).st_size, static_cast<off_t>(new_text.size()));

  tree_.Forget(before, 3);
  EXPECT_EQ(StatError(&tree_, before), ESTALE);
  tree_.Forget(after, 2);
  EXPECT_EQ(StatError(&tree_, after), 0) << "it is the current one";
}

TEST_F(Lifetimes, TheStatusOfAnOldRevisionIsWhatIsSoNow) {
  PublishText("1");
  const Node old_site = Walk(&tree_, "site");
  PublishStatus(kSite, PublishText("2").lock(), "stored the second");
  EXPECT_NE(ReadAll(&tree_, Walk(&tree_, ".status", old_site)).find("stored the second"),
            std::string::npos);
}

TEST_F(Lifetimes, TheTableIsRenderedAnewAndChangesWithItsText) {
  PublishText("1");
  const Node first = Walk(&tree_, ".status");
  EXPECT_EQ(Walk(&tree_, ".status"), first);
  clock_.now += std::chrono::seconds(7);
  const Node later = Walk(&tree_, ".status");
  EXPECT_NE(later, first);
  EXPECT_NE(ReadAll(&tree_, first).find("   0s    "), std::string::npos);
  EXPECT_NE(ReadAll(&tree_, later).find("   7s    "), std::string::npos);
}

// Numbers that were never given out.

TEST_F(Lifetimes, GarbageNumbersAreRefusedByEveryQuestion) {
  const auto snapshot = PublishText("1").lock();
  const Node site = Walk(&tree_, "site");
  Walk(&tree_, "site/.status");
  const uint32_t size = snapshot->image->index().size();
  std::vector<Node> garbage = {0,
                               2,
                               UINT32_MAX,
                               site + size,
                               site + UINT32_MAX,
                               site + (Node{1} << 32),
                               Node{UINT32_MAX} << 32,
                               UINT64_MAX,
                               kStatusBit,
                               kStatusBit | 99,
                               kStatusBit | site,
                               kUpperBit,
                               kUpperBit | 1,
                               kUpperBit | site,
                               kStatusBit | kUpperBit | 1,
                               kStatusBit | Tree::kRoot << 32};
  std::mt19937_64 random(1);
  while (garbage.size() < 2000) {
    const Node number = random();
    if (number >> 32 != site >> 32) garbage.push_back(number);
    if (const Node beyond = site + size + number % 100'000; beyond >> 32 == site >> 32) {
      garbage.push_back(beyond);
    }
  }
  const auto lister = [](std::string_view, const Tree::Entry&, off_t) { return true; };
  for (const Node node : garbage) {
    std::string target;
    std::map<std::string, std::string> attributes;
    Tree::ReadBuffer buffer;
    EXPECT_EQ(StatError(&tree_, node), ESTALE) << node;
    EXPECT_NE(LookupError(&tree_, node, "d"), 0) << node;
    EXPECT_NE(LookupError(&tree_, node, ".status"), 0) << node;
    EXPECT_NE(tree_.ReadLink(node, &target), 0) << node;
    EXPECT_NE(tree_.GetXattrs(node, &attributes), 0) << node;
    EXPECT_NE(tree_.List(node, 0, WithNodes::kAll, lister), 0) << node;
    EXPECT_NE(tree_.Read(node, 0, 4096, &buffer), 0) << node;
    EXPECT_TRUE(buffer.pieces.empty());
  }
  EXPECT_EQ(Walk(&tree_, "site"), site);
}

TEST_F(Lifetimes, ForgettingWhatWasNeverToldDoesNoHarm) {
  const auto first = PublishText("1");
  const Node site = Walk(&tree_, "site");
  for (const Node node :
       {Node{0}, Tree::kRoot, site + (Node{1} << 32), kStatusBit | 99, kUpperBit | 1, UINT64_MAX}) {
    tree_.Forget(node, 1);
    tree_.Forget(node, UINT64_MAX);
  }
  EXPECT_EQ(StatError(&tree_, site), 0);
  PublishText("2");
  tree_.Forget(site, 1);
  EXPECT_TRUE(first.expired());
}

TEST_F(Lifetimes, ForgettingMoreThanWasToldDoesNoHarm) {
  PublishText("1");
  const Node old_site = Walk(&tree_, "site");
  PublishText("2");
  tree_.Forget(old_site, 5);
  tree_.Forget(Walk(&tree_, "site"), UINT64_MAX);
  EXPECT_EQ(ReadAll(&tree_, Walk(&tree_, "site/d/version")), "2");
}

// Everything at once: for the thread sanitizer, and for counts that don't add up.

TEST_F(Lifetimes, SwitchingUnderReadersTearsNothingAndLeavesNothing) {
  constexpr int kSwitches = 300;
  std::vector<std::shared_ptr<const Image>> images;
  for (int i = 0; i < 4; ++i) {
    const std::string text = std::to_string(i);
    images.push_back(
        MakeImage({{.path = "a", .contents = text}, {.path = "d/b", .contents = text}}));
  }
  std::vector<std::weak_ptr<const Snapshot>> published = {Publish(&tree_, kSite, images[0])};
  std::atomic<bool> stop = false;
  std::atomic<int> walks = 0;
  std::atomic<int> torn = 0;
  const auto reader = [&] {
    while (!stop || walks == 0) {
      Tree::Entry site;
      if (tree_.Lookup(Tree::kRoot, "site", &site) != 0) continue;
      const auto listed = ListFrom(&tree_, site.node, 0, SIZE_MAX, WithNodes::kAll);
      const Node a = Walk(&tree_, "a", site.node);
      Tree::Entry directory;
      tree_.Lookup(site.node, "d", &directory);
      const Node b = Walk(&tree_, "b", directory.node);
      const std::string text = ReadAll(&tree_, a);
      if (text.size() != 1 || text != ReadAll(&tree_, b)) ++torn;
      if (Tree::Entry status; tree_.Lookup(site.node, ".status", &status) == 0) {
        const auto size = static_cast<size_t>(Stat(&tree_, status.node).st_size);
        if (ReadAll(&tree_, status.node).size() != size) ++torn;
        tree_.Forget(status.node, 1);
      }
      if (Tree::Entry table; tree_.Lookup(Tree::kRoot, ".status", &table) == 0) {
        tree_.Forget(table.node, 1);
      }
      Names(&tree_, Tree::kRoot);
      tree_.ReleasePages();
      tree_.Forget(a, 1);
      tree_.Forget(b, 1);
      tree_.Forget(directory.node, 1);
      tree_.Forget(site.node, 1 + listed.size() - 1);  // all but `.status`
      ++walks;
    }
  };
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) readers.emplace_back(reader);
  for (int i = 1; i <= kSwitches; ++i) {
    published.push_back(Publish(&tree_, kSite, images[static_cast<size_t>(i) % images.size()]));
    if (i % 10 == 0) {
      tree_.RemoveRepository(kSite);
      tree_.AddRepository(kSite);
    }
  }
  stop = true;
  for (std::thread& thread : readers) thread.join();
  EXPECT_EQ(torn, 0);
  Withdraw(&tree_, kSite);
  size_t left = 0;
  for (const auto& snapshot : published) left += snapshot.expired() ? 0 : 1;
  EXPECT_EQ(left, 0u);
}

}  // namespace
}  // namespace ocirepofs
