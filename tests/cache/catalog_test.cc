#include "cache/catalog.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "tests/support/cache_fixture.h"

namespace ocirepofs {
namespace {

using Change = Catalog::Change;
using Strings = std::vector<std::string>;

const ObjectKey kOne{"apps", "one"};
const ObjectKey kTwo{"apps", "two"};

std::string_view NameOf(Change change) {
  switch (change) {
    case Change::kStatus:
      return "status";
    case Change::kSnapshot:
      return "snapshot";
    case Change::kAdded:
      return "added";
    case Change::kRemoved:
      break;
  }
  return "removed";
}

std::shared_ptr<const Publication> PublicationOf(const ObjectKey& key,
                                                 std::shared_ptr<const Snapshot> snapshot,
                                                 int64_t generation = 1) {
  auto repository = std::make_shared<OciRepository>();
  repository->key = key;
  SourceStatus status;
  status.generation = generation;
  return std::make_shared<const Publication>(Publication{
      .repository = std::move(repository), .status = status, .snapshot = std::move(snapshot)});
}

class CatalogTest : public testing::Test {
 protected:
  void SetUp() override {
    catalog_.SetListener([this](const ObjectKey& key, Change change) {
      // What changed is there already, and no lock is held.
      const bool found = catalog_.Find(key) != nullptr;
      heard_.push_back(
          fmt::format("{} {}{}", key.ToString(), NameOf(change), found ? "" : ", not there"));
    });
  }
  std::shared_ptr<const Snapshot> NewSnapshot(const ObjectKey& key) {
    return catalog_.NewSnapshot(key, Image::Empty(0), std::nullopt);
  }

  Catalog catalog_;
  Strings heard_;
};

TEST_F(CatalogTest, FindsWhatWasPublishedLast) {
  EXPECT_EQ(catalog_.Find(kOne), nullptr);
  catalog_.Publish(PublicationOf(kOne, NewSnapshot(kOne), 1));
  const auto second = PublicationOf(kOne, NewSnapshot(kOne), 2);
  catalog_.Publish(second);
  EXPECT_EQ(catalog_.Find(kOne), second);
  EXPECT_EQ(catalog_.Find(kTwo), nullptr);
}

TEST_F(CatalogTest, ListensToWhatChanged) {
  const auto first = NewSnapshot(kOne);
  catalog_.Publish(PublicationOf(kOne, first));
  catalog_.Publish(PublicationOf(kOne, first, 2));
  catalog_.Publish(PublicationOf(kOne, NewSnapshot(kOne)));
  catalog_.Publish(PublicationOf(kTwo, NewSnapshot(kTwo)));
  catalog_.Remove(kOne);
  catalog_.Remove(kOne);
  catalog_.Publish(PublicationOf(kOne, first));
  EXPECT_EQ(heard_, (Strings{"apps/one added", "apps/one status", "apps/one snapshot",
                             "apps/two added", "apps/one removed, not there", "apps/one added"}));
}

TEST_F(CatalogTest, ListsInOrderOfKeys) {
  for (const ObjectKey& key : {kTwo, ObjectKey{"b", "a"}, kOne, ObjectKey{"a", "z"}}) {
    catalog_.Publish(PublicationOf(key, NewSnapshot(key)));
  }
  Strings keys;
  for (const auto& publication : catalog_.All()) {
    keys.push_back(publication->repository->key.ToString());
  }
  EXPECT_EQ(keys, (Strings{"a/z", "apps/one", "apps/two", "b/a"}));
}

TEST_F(CatalogTest, PublicationOutlivesItsRemoval) {
  catalog_.Publish(PublicationOf(kOne, NewSnapshot(kOne)));
  const auto held = catalog_.Find(kOne);
  catalog_.Remove(kOne);
  EXPECT_EQ(held->repository->key, kOne);
  EXPECT_EQ(held->snapshot->image->index().size(), 1U);
}

TEST_F(CatalogTest, SnapshotSaysWhatItIsOf) {
  const Artifact artifact{.tag = "v1",
                          .source_digest = Digest::Of("s"),
                          .checksum = Digest::Of("c"),
                          .path = "p",
                          .metadata = {}};
  const auto snapshot = catalog_.NewSnapshot(kOne, Image::Empty(3), artifact);
  EXPECT_EQ(snapshot->key, kOne);
  EXPECT_EQ(snapshot->artifact, artifact);
  EXPECT_EQ(snapshot->image->index().facts().modification_time, 3);
}

TEST_F(CatalogTest, SerialsAreNeverUsedTwice) {
  EXPECT_EQ(NewSnapshot(kOne)->serial, 1U);
  EXPECT_EQ(NewSnapshot(kTwo)->serial, 2U);
  EXPECT_EQ(NewSnapshot(kOne)->serial, 3U);
}

TEST(Catalog, ReadersSeeWholePublicationsWhileOthersWrite) {
  Catalog catalog;
  const auto publish = [&](int64_t generation) {
    auto snapshot = catalog.NewSnapshot(kOne, Image::Empty(generation), std::nullopt);
    catalog.Publish(PublicationOf(kOne, std::move(snapshot), generation));
  };
  publish(1);
  std::jthread writer([&] {
    for (int64_t generation = 2; generation <= 2000; ++generation) publish(generation);
  });
  std::vector<std::jthread> readers;
  std::atomic<int> torn = 0;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      int64_t last = 0;
      while (last < 2000) {
        const auto seen = catalog.Find(kOne);
        const int64_t generation = seen->status.generation;
        const int64_t of_image = seen->snapshot->image->index().facts().modification_time;
        if (generation < last || of_image != generation) ++torn;
        last = generation;
      }
    });
  }
  readers.clear();
  EXPECT_EQ(torn, 0);
}

}  // namespace
}  // namespace ocirepofs
