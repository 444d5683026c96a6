#include "fs/tree.h"

#include <cerrno>
#include <climits>
#include <fstream>

#include "tests/fs/tree_fixture.h"

namespace ocirepofs {
namespace {

using Node = Tree::Node;

const ObjectKey kSite{"default", "site"};
const std::vector<std::string> kNoNames = {".status"};

class FlatTree : public TreeTest {
 protected:
  void PublishSite() {
    site_ = Publish(&tree_, kSite,
                    MakeImage({{.path = "bin/run", .contents = "#!/bin/sh\n", .executable = true},
                               {.path = "css/"},
                               {.path = "empty"},
                               {.path = "index.html", .contents = "<html>"},
                               {.path = "link", .target = "index.html"}}));
  }

  Tree tree_{&catalog_, &clock_, {.uid = 12, .gid = 34, .cache_url = {}}};
  std::shared_ptr<const Snapshot> site_;
};

TEST_F(FlatTree, AnEmptyTreeHoldsOnlyItsTable) {
  EXPECT_EQ(Names(&tree_, Tree::kRoot), kNoNames);
  EXPECT_EQ(ReadAll(&tree_, Walk(&tree_, ".status")), "NAME   URL   AGE   READY   STATUS\n");
  EXPECT_EQ(Stat(&tree_, Tree::kRoot).st_mode, mode_t{S_IFDIR | 0555});
  EXPECT_EQ(LookupError(&tree_, Tree::kRoot, "site"), ENOENT);
}

TEST_F(FlatTree, ARepositoryIsADirectoryOfItsContents) {
  PublishSite();
  EXPECT_EQ(Names(&tree_, Tree::kRoot), (std::vector<std::string>{".status", "site"}));
  EXPECT_EQ(Names(&tree_, Walk(&tree_, "site")),
            (std::vector<std::string>{".status", "bin", "css", "empty", "index.html", "link"}));
  EXPECT_EQ(Names(&tree_, Walk(&tree_, "site/bin")), std::vector<std::string>{"run"});
  EXPECT_EQ(Names(&tree_, Walk(&tree_, "site/css")), std::vector<std::string>{});
}

TEST_F(FlatTree, TheRootSaysHowLongItMayBeBelieved) {
  PublishSite();
  Tree::Entry entry;
  ASSERT_EQ(tree_.Lookup(Tree::kRoot, "site", &entry), 0);
  EXPECT_EQ(entry.lifetime, Tree::Lifetime::kBrief);
  EXPECT_EQ(entry.attribute_lifetime, Tree::Lifetime::kForever);
  const Node site = entry.node;
  ASSERT_EQ(tree_.Lookup(site, "index.html", &entry), 0);
  EXPECT_EQ(entry.lifetime, Tree::Lifetime::kForever);
  ASSERT_EQ(tree_.Lookup(site, ".status", &entry), 0);
  EXPECT_EQ(entry.lifetime, Tree::Lifetime::kNone);
}

TEST_F(FlatTree, AnAbsentNameIsAbsentForEverInARevisionAndForNowAboveIt) {
  PublishSite();
  Tree::Entry above;
  EXPECT_EQ(tree_.Lookup(Tree::kRoot, "other", &above), ENOENT);
  EXPECT_EQ(above.lifetime, Tree::Lifetime::kNone);
  Tree::Entry within;
  EXPECT_EQ(tree_.Lookup(Walk(&tree_, "site"), "other", &within), ENOENT);
  EXPECT_EQ(within.lifetime, Tree::Lifetime::kForever);
}

TEST_F(FlatTree, AttributesAreThoseOfAReadOnlyDisk) {
  PublishSite();
  const struct stat directory = Stat(&tree_, Walk(&tree_, "site"));
  EXPECT_EQ(directory.st_mode, mode_t{S_IFDIR | 0555});
  EXPECT_EQ(directory.st_nlink, 4u);  // itself, its name, bin and css
  EXPECT_EQ(directory.st_mtim.tv_sec, kCreated);

  const struct stat run = Stat(&tree_, Walk(&tree_, "site/bin/run"));
  EXPECT_EQ(run.st_mode, mode_t{S_IFREG | 0555});
  EXPECT_EQ(run.st_size, 10);
  EXPECT_EQ(run.st_blocks, 1);
  EXPECT_EQ(run.st_uid, 12u);
  EXPECT_EQ(run.st_gid, 34u);
  EXPECT_EQ(run.st_mtim.tv_sec, kCreated);

  EXPECT_EQ(Stat(&tree_, Walk(&tree_, "site/index.html")).st_mode, mode_t{S_IFREG | 0444});
  EXPECT_EQ(Stat(&tree_, Walk(&tree_, "site/empty")).st_size, 0);
  const struct stat link = Stat(&tree_, Walk(&tree_, "site/link"));
  EXPECT_EQ(link.st_mode, mode_t{S_IFLNK | 0777});
  EXPECT_EQ(link.st_size, 10);
}

TEST_F(FlatTree, LookupListingAndAttributesAgree) {
  PublishSite();
  for (const Node directory : {Walk(&tree_, "site"), Walk(&tree_, "site/bin")}) {
    for (const Listed& listed : ListFrom(&tree_, directory, 0, SIZE_MAX, Tree::WithNodes::kAll)) {
      if (listed.name == ".status") continue;
      Tree::Entry looked_up;
      ASSERT_EQ(tree_.Lookup(directory, listed.name, &looked_up), 0) << listed.name;
      EXPECT_EQ(listed.entry.node, looked_up.node);
      EXPECT_EQ(listed.entry.attributes.st_ino, listed.entry.node);
      const struct stat attributes = Stat(&tree_, looked_up.node);
      EXPECT_EQ(memcmp(&listed.entry.attributes, &attributes, sizeof(attributes)), 0);
      EXPECT_EQ(memcmp(&looked_up.attributes, &attributes, sizeof(attributes)), 0);
    }
  }
}

TEST_F(FlatTree, ReadsWhatIsAskedForAndStopsAtTheEnd) {
  PublishSite();
  const Node index = Walk(&tree_, "site/index.html");
  EXPECT_EQ(ReadAll(&tree_, index), "<html>");
  EXPECT_EQ(ReadAll(&tree_, index, 1, 4), "html");
  EXPECT_EQ(ReadAll(&tree_, index, 5), ">");
  EXPECT_EQ(ReadAll(&tree_, index, 6), "");
  EXPECT_EQ(ReadAll(&tree_, index, 1 << 30), "");
  EXPECT_EQ(ReadAll(&tree_, index, INT64_MAX, SIZE_MAX), "");
  EXPECT_EQ(ReadAll(&tree_, index, 2, SIZE_MAX), "tml>");
  EXPECT_EQ(ReadAll(&tree_, Walk(&tree_, "site/empty")), "");
}

TEST_F(FlatTree, ReadsAcrossBlocksOfTheTarball) {
  std::string big;
  for (int i = 0; big.size() < 300'000; ++i) big += fmt::format("{} ", i);
  Publish(&tree_, kSite, MakeImage({{.path = "big", .contents = big}, {.path = "z"}}));
  const Node node = Walk(&tree_, "site/big");
  EXPECT_TRUE(ReadAll(&tree_, node) == big);
  for (const off_t offset : {65000, 65535, 65536, 131072, 200000}) {
    EXPECT_TRUE(ReadAll(&tree_, node, offset, 70'000) ==
                big.substr(static_cast<size_t>(offset), 70'000))
        << offset;
  }
}

TEST_F(FlatTree, WhatIsNoFileCanNotBeRead) {
  PublishSite();
  EXPECT_EQ(ReadAll(&tree_, Tree::kRoot), fmt::format("errno {}", EISDIR));
  EXPECT_EQ(ReadAll(&tree_, Walk(&tree_, "site")), fmt::format("errno {}", EISDIR));
  EXPECT_EQ(ReadAll(&tree_, Walk(&tree_, "site/empty"), -1), fmt::format("errno {}", EINVAL));
}

TEST_F(FlatTree, ADamagedBlockIsAnErrorAndReported) {
  const auto image = MakeImage({{.path = "a", .contents = "some text"}});
  std::fstream file(FileOf(*image), std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(600);
  file.put('\xff');
  file.close();
  const uint32_t serial = Publish(&tree_, kSite, image)->serial;
  std::vector<std::string> reported;
  tree_.SetDamageListener([&reported](const ObjectKey& key, uint32_t damaged) {
    reported.push_back(fmt::format("{} {}", key.ToString(), damaged));
  });
  EXPECT_EQ(ReadAll(&tree_, Walk(&tree_, "site/a")), fmt::format("errno {}", EIO));
  EXPECT_EQ(reported, std::vector<std::string>{fmt::format("default/site {}", serial)});
}

TEST_F(FlatTree, LinksAreReadAndNothingElseIs) {
  PublishSite();
  std::string target;
  EXPECT_EQ(tree_.ReadLink(Walk(&tree_, "site/link"), &target), 0);
  EXPECT_EQ(target, "index.html");
  for (const char* path : {"", ".status", "site", "site/.status", "site/index.html"}) {
    EXPECT_EQ(tree_.ReadLink(Walk(&tree_, path), &target), EINVAL) << path;
  }
}

TEST_F(FlatTree, OnlyDirectoriesAreWalkedAndListed) {
  PublishSite();
  const auto lister = [](std::string_view, const Tree::Entry&, off_t) { return true; };
  for (const char* path : {".status", "site/.status", "site/index.html", "site/link"}) {
    const Node node = Walk(&tree_, path);
    ASSERT_NE(node, 0u);
    EXPECT_EQ(LookupError(&tree_, node, "a"), ENOTDIR) << path;
    EXPECT_EQ(tree_.List(node, 0, Tree::WithNodes::kNone, lister), ENOTDIR) << path;
  }
}

TEST_F(FlatTree, NamesArePlainBytesOfBoundedLength) {
  PublishSite();
  const Node site = Walk(&tree_, "site");
  EXPECT_EQ(LookupError(&tree_, site, std::string(NAME_MAX, 'a')), ENOENT);
  EXPECT_EQ(LookupError(&tree_, site, std::string(NAME_MAX + 1, 'a')), ENAMETOOLONG);
  EXPECT_EQ(LookupError(&tree_, Tree::kRoot, std::string(NAME_MAX + 1, 'a')), ENAMETOOLONG);
  for (const char* name : {"", ".", "..", "INDEX.HTML", "bin/run", "index.html/"}) {
    EXPECT_EQ(LookupError(&tree_, site, name), ENOENT) << name;
    EXPECT_EQ(LookupError(&tree_, Tree::kRoot, name), ENOENT) << name;
  }
}

TEST_F(FlatTree, AttributesOfTheArtifactAreOnItsRepositorysDirectoryAlone) {
  Artifact artifact{.tag = "latest",
                    .source_digest = Digest::Of("manifest"),
                    .checksum = Digest::Of("tarball"),
                    .path = "a.tar.gz",
                    .metadata = {{"org.example.a", "1"}, {"ocirepofs.revision", "forged"}}};
  Publish(&tree_, kSite, MakeImage({{.path = "d/f"}}), artifact);
  std::map<std::string, std::string> attributes;
  EXPECT_EQ(tree_.GetXattrs(Walk(&tree_, "site"), &attributes), 0);
  EXPECT_EQ(attributes, (std::map<std::string, std::string>{
                            {"user.org.example.a", "1"},
                            {"user.ocirepofs.revision", artifact.Revision(ApiVersion::kV1)},
                            {"user.ocirepofs.digest", Digest::Of("manifest").ToString()}}));
  for (const char* path : {"", ".status", "site/.status", "site/d", "site/d/f"}) {
    std::map<std::string, std::string> none;
    EXPECT_EQ(tree_.GetXattrs(Walk(&tree_, path), &none), EOPNOTSUPP) << path;
    EXPECT_TRUE(none.empty());
  }
}

TEST_F(FlatTree, ARepositoryWithoutContentsHasOnlyItsStatus) {
  Publish(&tree_, kSite, Image::Empty(kCreated));
  const Node site = Walk(&tree_, "site");
  EXPECT_EQ(Names(&tree_, site), kNoNames);
  EXPECT_NE(Walk(&tree_, "site/.status"), 0u);
  std::map<std::string, std::string> attributes;
  EXPECT_EQ(tree_.GetXattrs(site, &attributes), 0);
  EXPECT_TRUE(attributes.empty());
}

TEST_F(FlatTree, AStatusOfTheArtifactsOwnIsHiddenInItsRootOnly) {
  Publish(&tree_, kSite,
          MakeImage({{.path = ".status", .contents = "mine"},
                     {.path = "a"},
                     {.path = "d/.status", .contents = "deeper"}}));
  const Node site = Walk(&tree_, "site");
  EXPECT_EQ(Names(&tree_, site), (std::vector<std::string>{".status", "a", "d"}));
  EXPECT_EQ(ReadAll(&tree_, Walk(&tree_, "site/.status")).substr(0, 11), "apiVersion:");
  EXPECT_EQ(Names(&tree_, Walk(&tree_, "site/d")), kNoNames);
  EXPECT_EQ(ReadAll(&tree_, Walk(&tree_, "site/d/.status")), "deeper");
}

TEST_F(FlatTree, ReleasedPagesComeBack) {
  PublishSite();
  const Node index = Walk(&tree_, "site/index.html");
  tree_.ReleasePages();
  EXPECT_EQ(ReadAll(&tree_, index), "<html>");
}

// Repositories that come and go.

TEST_F(FlatTree, SaysWhichDirectoryGainedOrLostAName) {
  const auto added = tree_.AddRepository(kSite);
  ASSERT_EQ(added.size(), 1u);
  EXPECT_EQ(added[0].parent, Tree::kRoot);
  EXPECT_EQ(added[0].name, "site");
  EXPECT_TRUE(tree_.AddRepository(kSite).empty());
  const auto place = tree_.Locate(kSite);
  ASSERT_TRUE(place.has_value());
  EXPECT_EQ(place->parent, Tree::kRoot);
  EXPECT_EQ(place->name, "site");
  EXPECT_EQ(tree_.RemoveRepository(kSite).size(), 1u);
  EXPECT_TRUE(tree_.RemoveRepository(kSite).empty());
  EXPECT_FALSE(tree_.Locate(kSite).has_value());
}

TEST_F(FlatTree, ARemovedRepositoryIsGoneAndItsOpenFilesAreNot) {
  PublishSite();
  const Node site = Walk(&tree_, "site");
  const Node index = Walk(&tree_, "index.html", site);
  Withdraw(&tree_, kSite);
  EXPECT_EQ(LookupError(&tree_, Tree::kRoot, "site"), ENOENT);
  EXPECT_EQ(Names(&tree_, Tree::kRoot), kNoNames);
  EXPECT_EQ(ReadAll(&tree_, index), "<html>");
  EXPECT_EQ(LookupError(&tree_, site, ".status"), ENOENT);
  EXPECT_EQ(LookupError(&tree_, site, "empty"), 0);
}

TEST_F(FlatTree, AManifestThatMovesToAnotherNamespaceKeepsItsName) {
  // The new one comes before the old one goes: the configuration is applied in this order.
  const ObjectKey moved{"production", "site"};
  PublishSite();
  Publish(&tree_, moved, MakeImage({{.path = "moved"}}));
  EXPECT_FALSE(tree_.Locate(moved).has_value()) << "the name is another's still";
  Withdraw(&tree_, kSite);
  EXPECT_TRUE(tree_.Locate(moved).has_value());
  EXPECT_NE(Walk(&tree_, "site/moved"), 0u);
}

TEST_F(FlatTree, RemovingARepositoryThatWasNotShownHidesNoOther) {
  PublishSite();
  tree_.AddRepository({"production", "site"});
  tree_.RemoveRepository({"production", "site"});
  EXPECT_NE(Walk(&tree_, "site/index.html"), 0u);
}

}  // namespace
}  // namespace ocirepofs
