#include "cache/index.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "cache/names.h"
#include "cache/stored_gzip.h"
#include "tests/support/cache_fixture.h"

namespace ocirepofs {
namespace {

constexpr uint64_t kTarSize = 40'000;  // two blocks
constexpr const char* kOutside = "kCorrupt: index i.idx: a record points outside";

/// root { a (directory) { f (file) }, s (symbolic link to "a/f") }
struct SmallTree {
  IndexFacts facts{.tar_size = kTarSize, .image_digest = Digest::Of("x"), .modification_time = 7};
  std::string strings = "asfa/f";
  std::vector<IndexRecord> records = {{.name_offset = 0,
                                       .name_size = 0,
                                       .type = NodeType::kDirectory,
                                       .executable = 0,
                                       .parent = 0,
                                       .first_child = 1,
                                       .child_count = 2,
                                       .subdirectory_count = 1,
                                       .offset = 0,
                                       .size = 0},
                                      {.name_offset = 0,
                                       .name_size = 1,
                                       .type = NodeType::kDirectory,
                                       .executable = 0,
                                       .parent = 0,
                                       .first_child = 3,
                                       .child_count = 1,
                                       .subdirectory_count = 0,
                                       .offset = 0,
                                       .size = 0},
                                      {.name_offset = 1,
                                       .name_size = 1,
                                       .type = NodeType::kSymlink,
                                       .executable = 0,
                                       .parent = 0,
                                       .first_child = 0,
                                       .child_count = 0,
                                       .subdirectory_count = 0,
                                       .offset = 3,
                                       .size = 3},
                                      {.name_offset = 2,
                                       .name_size = 1,
                                       .type = NodeType::kFile,
                                       .executable = 1,
                                       .parent = 1,
                                       .first_child = 0,
                                       .child_count = 0,
                                       .subdirectory_count = 0,
                                       .offset = 1536,
                                       .size = 30'000}};
  std::vector<uint32_t> checksums = {0x11111111, 0x22222222};

  std::string Encode() const { return Index::Encode(facts, records, strings, checksums); }
};

class IndexTest : public CacheTest {
 protected:
  std::string OutcomeOf(std::string_view bytes) const {
    WriteWholeFile(PathOf("i.idx"), bytes);
    return Outcome(Index::Open(directory_fd(), "i.idx"));
  }
  /// What Open says of a tree whose checksums are right and whose contents are not.
  std::string OutcomeOf(const std::function<void(SmallTree*)>& change) const {
    SmallTree tree;
    change(&tree);
    return OutcomeOf(tree.Encode());
  }
};

TEST_F(IndexTest, SaysWhatWasEncoded) {
  WriteWholeFile(PathOf("i.idx"), SmallTree().Encode());
  auto opened = Index::Open(directory_fd(), "i.idx");
  ASSERT_EQ(Outcome(opened), "success");
  const Index& index = **opened;
  EXPECT_EQ(index.facts().tar_size, kTarSize);
  EXPECT_EQ(index.facts().image_digest, Digest::Of("x"));
  EXPECT_EQ(index.facts().modification_time, 7);
  ASSERT_EQ(index.size(), 4U);
  EXPECT_EQ(index.Name(index.record(0)), "");
  EXPECT_EQ(index.Name(index.record(1)), "a");
  EXPECT_EQ(index.Target(index.record(2)), "a/f");
  EXPECT_EQ(index.record(3).size, 30'000U);
  EXPECT_EQ(index.record(3).executable, 1);
  ASSERT_EQ(index.block_checksums().size(), 2U);
  EXPECT_EQ(index.block_checksums()[1], 0x22222222U);
}

TEST_F(IndexTest, FindsChildrenByName) {
  WriteWholeFile(PathOf("i.idx"), SmallTree().Encode());
  auto opened = Index::Open(directory_fd(), "i.idx");
  ASSERT_EQ(Outcome(opened), "success");
  const Index& index = **opened;
  EXPECT_EQ(index.FindChild(index.record(0), "a"), 1U);
  EXPECT_EQ(index.FindChild(index.record(0), "s"), 2U);
  EXPECT_EQ(index.FindChild(index.record(1), "f"), 3U);
  for (const char* absent : {"", "A", "aa", "b", "f", "t", "."}) {
    EXPECT_EQ(index.FindChild(index.record(0), absent), std::nullopt) << absent;
  }
  index.ReleasePages();
  EXPECT_EQ(index.FindChild(index.record(0), "s"), 2U);
}

TEST_F(IndexTest, StillReadsWhatWasUnlinked) {
  WriteWholeFile(PathOf("i.idx"), SmallTree().Encode());
  auto opened = Index::Open(directory_fd(), "i.idx");
  ASSERT_EQ(Outcome(opened), "success");
  ASSERT_EQ(unlinkat(directory_fd(), "i.idx", 0), 0);
  (*opened)->ReleasePages();
  EXPECT_EQ((*opened)->Name((*opened)->record(3)), "f");
}

TEST_F(IndexTest, OfEmptyTreeIsARootAlone) {
  const auto index = Index::OfEmptyTree(9);
  EXPECT_EQ(index->size(), 1U);
  EXPECT_EQ(index->record(Index::kRoot).type, NodeType::kDirectory);
  EXPECT_EQ(index->record(Index::kRoot).child_count, 0U);
  EXPECT_EQ(index->facts().modification_time, 9);
  EXPECT_EQ(index->FindChild(index->record(Index::kRoot), "a"), std::nullopt);
}

TEST_F(IndexTest, TruncationAtEveryLengthIsCorrupt) {
  const std::string whole = SmallTree().Encode();
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(OutcomeOf(whole.substr(0, size)).substr(0, 9), "kCorrupt:") << size;
  }
  EXPECT_EQ(OutcomeOf(whole + std::string(1, '\0')),
            "kCorrupt: index i.idx: sections do not fit the file");
  EXPECT_EQ(OutcomeOf(std::string()), "kCorrupt: index i.idx: too short");
  EXPECT_EQ(OutcomeOf(std::string_view(whole)), "success");
}

TEST_F(IndexTest, AFlippedBitInAnyByteIsCorrupt) {
  const std::string whole = SmallTree().Encode();
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ (1 << i % 8));
    ASSERT_EQ(OutcomeOf(damaged).substr(0, 9), "kCorrupt:") << "byte " << i;
  }
}

TEST_F(IndexTest, OtherFilesAndVersionsAreCorrupt) {
  EXPECT_EQ(OutcomeOf(std::string(500, 'x')), "kCorrupt: index i.idx: not an index");
  std::string newer = SmallTree().Encode();
  newer[8] = 99;  // the version follows eight bytes of magic
  EXPECT_EQ(OutcomeOf(newer), "kCorrupt: index i.idx: of another version");
  std::string damaged = SmallTree().Encode();
  damaged.back() = 'x';
  EXPECT_EQ(OutcomeOf(damaged), "kCorrupt: index i.idx: damaged contents");
}

TEST_F(IndexTest, AbsenceIsAStorageError) {
  EXPECT_EQ(Outcome(Index::Open(directory_fd(), "no.idx")),
            "kStorage: cannot open no.idx: No such file or directory");
}

TEST_F(IndexTest, ASymlinkIsNotFollowed) {
  WriteWholeFile(PathOf("real"), SmallTree().Encode());
  ASSERT_EQ(symlinkat("real", directory_fd(), "i.idx"), 0);
  EXPECT_EQ(Outcome(Index::Open(directory_fd(), "i.idx")).substr(0, 9), "kStorage:");
}

// An index that was made to deceive: all its checksums are right.

TEST_F(IndexTest, NamesOutsideThePoolAreCorrupt) {
  // The pool is padded to 8 bytes.
  EXPECT_EQ(OutcomeOf([](SmallTree* t) { t->records[3].name_offset = 9; }), kOutside);
  EXPECT_EQ(OutcomeOf([](SmallTree* t) { t->records[3].name_offset = UINT32_MAX; }), kOutside);
  EXPECT_EQ(OutcomeOf([](SmallTree* t) { t->records[3].name_size = 7; }), kOutside);
  EXPECT_EQ(OutcomeOf([](SmallTree* t) { t->records[0].name_size = UINT16_MAX; }), kOutside);
}

TEST_F(IndexTest, TargetsOutsideThePoolAreCorrupt) {
  EXPECT_EQ(OutcomeOf([](SmallTree* t) { t->records[2].offset = 9; }), kOutside);
  EXPECT_EQ(OutcomeOf([](SmallTree* t) { t->records[2].size = 6; }), kOutside);
  EXPECT_EQ(OutcomeOf([](SmallTree* t) { t->records[2].size = UINT64_MAX; }), kOutside);
  EXPECT_EQ(OutcomeOf([](SmallTree* t) { t->records[2].offset = UINT64_MAX; }), kOutside);
}

TEST_F(IndexTest, ContentsOutsideTheTarStreamAreCorrupt) {
  EXPECT_EQ(OutcomeOf([](SmallTree* t) { t->records[3].offset = kTarSize + 1; }), kOutside);
  EXPECT_EQ(OutcomeOf([](SmallTree* t) { t->records[3].size = kTarSize; }), kOutside);
  EXPECT_EQ(OutcomeOf([](SmallTree* t) { t->records[3].size = UINT64_MAX - 1000; }), kOutside);
  EXPECT_EQ(OutcomeOf([](SmallTree* t) { t->records[3].size = kTarSize - 1536; }), "success");
}

TEST_F(IndexTest, ChildrenAndParentsOutsideTheRecordsAreCorrupt) {
  EXPECT_EQ(OutcomeOf([](SmallTree* t) { t->records[1].first_child = 4; }), kOutside);
  EXPECT_EQ(OutcomeOf([](SmallTree* t) { t->records[1].child_count = UINT32_MAX; }), kOutside);
  EXPECT_EQ(OutcomeOf([](SmallTree* t) { t->records[0].first_child = UINT32_MAX; }), kOutside);
  EXPECT_EQ(OutcomeOf([](SmallTree* t) { t->records[2].parent = 4; }), kOutside);
}

TEST_F(IndexTest, UnknownTypesAreCorrupt) {
  for (const int type : {0, 4, 255}) {
    EXPECT_EQ(OutcomeOf([type](SmallTree* t) { t->records[3].type = static_cast<NodeType>(type); }),
              kOutside);
  }
}

TEST_F(IndexTest, ARootMustBeADirectory) {
  EXPECT_EQ(OutcomeOf([](SmallTree* t) { t->records[0] = t->records[3]; }),
            "kCorrupt: index i.idx: no root directory");
  EXPECT_EQ(OutcomeOf([](SmallTree* t) { t->records.clear(); }),
            "kCorrupt: index i.idx: sections do not fit the file");
}

TEST_F(IndexTest, ChecksumsMustBeOnePerBlock) {
  const char* misfit = "kCorrupt: index i.idx: sections do not fit the file";
  EXPECT_EQ(OutcomeOf([](SmallTree* t) { t->checksums.pop_back(); }), misfit);
  EXPECT_EQ(OutcomeOf([](SmallTree* t) { t->checksums.push_back(0); }), misfit);
  EXPECT_EQ(OutcomeOf([](SmallTree* t) { t->facts.tar_size = 70'000; }), misfit);
}

TEST_F(IndexTest, TarStreamOfMoreBlocksThan64BitsCountIsCorrupt) {
  EXPECT_EQ(OutcomeOf([](SmallTree* t) {
              t->facts.tar_size = UINT64_MAX;
              t->checksums.clear();
            }),
            "kCorrupt: index i.idx: sections do not fit the file");
}

}  // namespace
}  // namespace ocirepofs
