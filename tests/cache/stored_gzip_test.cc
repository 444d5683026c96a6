#include "cache/stored_gzip.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "cache/file.h"
#include "tests/support/cache_fixture.h"

namespace ocirepofs {
namespace {

using stored_gzip::kBlockPayload;

std::span<const std::byte> Bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

class StoredGzipTest : public testing::TestWithParam<size_t> {
 protected:
  UniqueFd NewFile() const {
    return UniqueFd(open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  }

  TemporaryDirectory directory_;
  const std::string path_ = directory_.path() + "/stream.gz";
};

/// Sizes around whole blocks, and around what is held back in memory.
INSTANTIATE_TEST_SUITE_P(Sizes, StoredGzipTest,
                         testing::Values(1, 2, 511, kBlockPayload - 1, kBlockPayload,
                                         kBlockPayload + 1, 65535, 2 * kBlockPayload, 65537,
                                         3 * kBlockPayload, 31 * kBlockPayload,
                                         32 * kBlockPayload - 1, 32 * kBlockPayload,
                                         32 * kBlockPayload + 1, 64 * kBlockPayload - 1,
                                         64 * kBlockPayload, 64 * kBlockPayload + 1,
                                         100 * kBlockPayload, 100 * kBlockPayload + 7));

TEST_P(StoredGzipTest, IsAGzipFileWhoseOffsetsAreArithmetic) {
  const std::string data = NoiseBytes(GetParam(), 1);
  const UniqueFd fd = NewFile();
  StoredGzipWriter writer(fd.get());
  std::mt19937 random(2);
  for (size_t done = 0; done < data.size();) {
    const size_t count = std::min<size_t>(1 + random() % 50'000, data.size() - done);
    ASSERT_EQ(Outcome(writer.Write(Bytes(data).subspan(done, count))), "success");
    done += count;
    ASSERT_EQ(writer.expanded_size(), done);
  }
  ASSERT_EQ(Outcome(writer.Finish()), "success");

  const std::string file = ReadWholeFile(path_);
  EXPECT_EQ(file.size(), stored_gzip::FileSize(data.size()));
  EXPECT_EQ(writer.file_size(), file.size());
  EXPECT_EQ(writer.file_digest(), Digest::Of(file));
  EXPECT_EQ(Digest::Of(Gunzip(file)), Digest::Of(data));
  EXPECT_EQ(Shell("gzip -t " + path_), "");

  const uint64_t blocks = stored_gzip::BlockCount(data.size());
  ASSERT_EQ(writer.block_checksums().size(), blocks);
  for (uint64_t block = 0; block < blocks; ++block) {
    const std::string_view payload =
        std::string_view(data).substr(block * kBlockPayload, kBlockPayload);
    const size_t at = stored_gzip::BlockOffset(block);
    const size_t length = static_cast<uint8_t>(file[at + 1]) | static_cast<uint8_t>(file[at + 2])
                                                                   << 8;
    EXPECT_EQ(file[at], block + 1 == blocks ? 1 : 0) << block;  // BFINAL, stored
    EXPECT_EQ(length, payload.size()) << block;
    EXPECT_EQ(file.compare(at + stored_gzip::kBlockHeaderSize, length, payload), 0) << block;
    EXPECT_EQ(writer.block_checksums()[block], stored_gzip::BlockChecksum(Bytes(payload)));
  }
}

TEST_P(StoredGzipTest, BytesDoNotDependOnHowTheyWereHandedOver) {
  const std::string data = NoiseBytes(GetParam(), 3);
  const auto written_by = [&](size_t step) {
    const UniqueFd fd = NewFile();
    StoredGzipWriter writer(fd.get());
    for (size_t done = 0; done < data.size(); done += step) {
      EXPECT_EQ(Outcome(writer.Write(Bytes(std::string_view(data).substr(done, step)))), "success");
    }
    EXPECT_EQ(Outcome(writer.Finish()), "success");
    return Digest::Of(ReadWholeFile(path_)).Hex();
  };
  const std::string whole = written_by(data.size());
  EXPECT_EQ(written_by(kBlockPayload), whole);
  EXPECT_EQ(written_by(512), whole);
  EXPECT_EQ(written_by(4099), whole);
}

TEST(StoredGzip, ReadBackFindsWhatIsInMemoryAndWhatIsInTheFile) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/stream.gz";
  const UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  const std::string data = NoiseBytes(3'500'000, 4);
  StoredGzipWriter writer(fd.get());
  std::mt19937 random(5);
  bool read_before_flush = false;
  bool read_after_flush = false;
  const auto check = [&] {
    const size_t size = writer.expanded_size();
    const size_t offset = random() % size;
    std::string back(std::min<size_t>(random() % 200'000, size - offset), '\0');
    ASSERT_EQ(Outcome(writer.ReadBack(offset, std::as_writable_bytes(std::span(back)))), "success");
    ASSERT_EQ(data.compare(offset, back.size(), back), 0) << offset << " of " << size;
    struct stat info {};
    ASSERT_EQ(fstat(fd.get(), &info), 0);
    (info.st_size == 0 ? read_before_flush : read_after_flush) = true;
  };
  for (size_t done = 0; done < data.size();) {
    const size_t count = std::min<size_t>(1 + random() % 30'000, data.size() - done);
    ASSERT_EQ(Outcome(writer.Write(Bytes(data).subspan(done, count))), "success");
    done += count;
    for (int i = 0; i < 5; ++i) check();
  }
  EXPECT_TRUE(read_before_flush);
  EXPECT_TRUE(read_after_flush);
  ASSERT_EQ(Outcome(writer.Finish()), "success");
  for (int i = 0; i < 50; ++i) check();
  std::string all(data.size(), '\0');
  ASSERT_EQ(Outcome(writer.ReadBack(0, std::as_writable_bytes(std::span(all)))), "success");
  EXPECT_EQ(all, data);
  EXPECT_EQ(Outcome(writer.ReadBack(data.size(), {})), "success");
}

TEST(StoredGzip, ChecksumIsCrc32C) {
  // The check value that the CRC catalogue gives for CRC-32/ISCSI.
  EXPECT_EQ(stored_gzip::BlockChecksum(Bytes("123456789")), 0xe3069283U);
  EXPECT_EQ(stored_gzip::BlockChecksum({}), 0U);
}

TEST(StoredGzip, OffsetsAndSizes) {
  EXPECT_EQ(stored_gzip::BlockOffset(0), 10U);
  EXPECT_EQ(stored_gzip::BlockOffset(2), 10U + 2 * 32773U);
  EXPECT_EQ(stored_gzip::BlockCount(0), 0U);
  EXPECT_EQ(stored_gzip::BlockCount(32768), 1U);
  EXPECT_EQ(stored_gzip::BlockCount(32769), 2U);
  EXPECT_EQ(stored_gzip::FileSize(1), 10U + 5 + 1 + 8);
  EXPECT_EQ(stored_gzip::FileSize(32769), 10U + 2 * 5 + 32769 + 8);
}

TEST(StoredGzip, FullDiskIsAStorageError) {
  const UniqueFd full(open("/dev/full", O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(full.valid());
  StoredGzipWriter writer(full.get());
  ASSERT_EQ(Outcome(writer.Write(Bytes("x"))), "success");
  EXPECT_EQ(Outcome(writer.Finish()),
            "kStorage: cannot write the artifact: No space left on device");
}

}  // namespace
}  // namespace ocirepofs
