#include "cache/image.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "cache/names.h"
#include "cache/stored_gzip.h"
#include "tests/support/cache_fixture.h"
#include "tests/support/image_contents.h"

namespace ocirepofs {
namespace {

using stored_gzip::kBlockHeaderSize;
using stored_gzip::kBlockPayload;

class ImageTest : public CacheTest {
 protected:
  /// One file of many blocks, and one of few bytes.
  BuiltImage BuildLarge() { return Build({File("large", large_), File("small", "small")}); }

  std::string TarballPath(const BuiltImage& built) const {
    return PathOf(ArtifactName(built.stem));
  }
  void FlipBit(const BuiltImage& built, size_t position, int bit) const {
    std::string damaged = built.tarball;
    damaged[position] = static_cast<char>(damaged[position] ^ (1 << bit));
    WriteWholeFile(TarballPath(built), damaged);
  }
  std::string OpenOutcome(std::string_view stem) const {
    return Outcome(Image::Open(directory_fd(), stem));
  }

  const std::string large_ = NoiseBytes(5 * kBlockPayload, 21);
};

TEST_F(ImageTest, ReadsAtEveryOffset) {
  const BuiltImage built = BuildLarge();
  const IndexRecord& record = RecordOf(*built.image, "large");
  ASSERT_EQ(record.size, large_.size());
  Image::Scratch scratch;
  for (size_t offset = 0; offset < large_.size(); ++offset) {
    const size_t size = std::min<size_t>(offset % 17 + 1, large_.size() - offset);
    const auto read = ReadRange(built.image, record.offset + offset, size, &scratch);
    ASSERT_EQ(Outcome(read), "success");
    ASSERT_EQ(large_.compare(offset, size, *read), 0) << offset;
  }
}

TEST_F(ImageTest, ReadsRangesOfEverySizeInAnyOrder) {
  const BuiltImage built = BuildLarge();
  const IndexRecord& record = RecordOf(*built.image, "large");
  std::mt19937 random(22);
  Image::Scratch scratch;
  for (int i = 0; i < 1000; ++i) {
    const size_t offset = random() % (large_.size() + 1);
    const size_t size = random() % (large_.size() - offset + 1);
    const auto read = ReadRange(built.image, record.offset + offset, size, &scratch);
    ASSERT_EQ(Outcome(read), "success");
    ASSERT_EQ(large_.compare(offset, size, *read), 0) << offset << " " << size;
  }
}

TEST_F(ImageTest, ReadsTheWholeTarStream) {
  const BuiltImage built = BuildLarge();
  Image::Scratch scratch;
  const auto read = ReadRange(built.image, 0, built.image->index().facts().tar_size, &scratch);
  ASSERT_EQ(Outcome(read), "success");
  EXPECT_EQ(Digest::Of(*read), Digest::Of(built.Tar()));
}

TEST_F(ImageTest, ReadingNothingGivesNothing) {
  const BuiltImage built = BuildLarge();
  Image::Scratch scratch;
  EXPECT_EQ(*ReadRange(built.image, 0, 0, &scratch), "");
  EXPECT_EQ(*ReadRange(built.image, built.image->index().facts().tar_size, 0, &scratch), "");
}

TEST_F(ImageTest, OneScratchServesManyImages) {
  const BuiltImage one = Build({File("f", "first")});
  const BuiltImage two = Build({File("f", "other")});
  const uint64_t offset = RecordOf(*one.image, "f").offset;
  ASSERT_EQ(RecordOf(*two.image, "f").offset, offset);
  Image::Scratch scratch;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(*ReadRange(one.image, offset, 5, &scratch), "first");
    EXPECT_EQ(*ReadRange(two.image, offset, 5, &scratch), "other");
  }
}

TEST_F(ImageTest, IsReadToItsEndAfterItsNamesAreGone) {
  const BuiltImage built = BuildLarge();
  ASSERT_EQ(unlinkat(directory_fd(), ArtifactName(built.stem).c_str(), 0), 0);
  ASSERT_EQ(unlinkat(directory_fd(), IndexName(built.stem).c_str(), 0), 0);
  EXPECT_EQ(ContentsOf(built.image).at("large"), "file:" + large_);
}

TEST_F(ImageTest, EmptyIsARootAlone) {
  const auto image = Image::Empty(5);
  EXPECT_EQ(image->stem(), "");
  EXPECT_EQ(image->index().size(), 1U);
  EXPECT_EQ(image->index().facts().modification_time, 5);
}

TEST_F(ImageTest, FlippedBitInAnyBlockIsCorruptAndHarmsNoOtherBlock) {
  const BuiltImage built = BuildLarge();
  const uint64_t tar_size = built.image->index().facts().tar_size;
  const std::string tar = built.Tar();
  const uint64_t blocks = stored_gzip::BlockCount(tar_size);
  ASSERT_EQ(blocks, 6U);
  for (uint64_t damaged = 0; damaged < blocks; ++damaged) {
    FlipBit(built, stored_gzip::BlockOffset(damaged) + kBlockHeaderSize + 100 + damaged, 3);
    Image::Scratch scratch;
    for (uint64_t block = 0; block < blocks; ++block) {
      const uint64_t offset = block * kBlockPayload;
      const size_t size = std::min<uint64_t>(kBlockPayload, tar_size - offset);
      const auto read = ReadRange(built.image, offset, size, &scratch);
      if (block != damaged) {
        ASSERT_EQ(Outcome(read), "success");
        EXPECT_EQ(tar.compare(offset, size, *read), 0);
        continue;
      }
      EXPECT_EQ(Outcome(read),
                fmt::format("kCorrupt: the cached artifact {} is damaged in block {}", built.stem,
                            damaged));
    }
    EXPECT_EQ(ReadRange(built.image, 0, tar_size, &scratch).error().code, ErrorCode::kCorrupt);
  }
}

TEST_F(ImageTest, NoFlippedBitEverGivesWrongBytes) {
  const BuiltImage built = BuildLarge();
  const std::string tar = built.Tar();
  std::mt19937 random(23);
  int refused = 0;
  for (int i = 0; i < 300; ++i) {
    FlipBit(built, random() % built.tarball.size(), static_cast<int>(random() % 8));
    Image::Scratch scratch;
    const auto read = ReadRange(built.image, 0, tar.size(), &scratch);
    if (read) {
      EXPECT_EQ(*read, tar);  // the bit was one of gzip's own
    } else {
      EXPECT_EQ(read.error().code, ErrorCode::kCorrupt);
      ++refused;
    }
  }
  EXPECT_GT(refused, 290);
}

TEST_F(ImageTest, DamageIsNotServedFromAnEarlierRead) {
  const BuiltImage built = BuildLarge();
  const uint64_t offset = RecordOf(*built.image, "large").offset;
  Image::Scratch scratch;
  FlipBit(built, stored_gzip::BlockOffset(1) + kBlockHeaderSize, 0);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(ReadRange(built.image, kBlockPayload, 10, &scratch).error().code,
              ErrorCode::kCorrupt);
  }
  EXPECT_EQ(*ReadRange(built.image, offset, 10, &scratch), large_.substr(0, 10));
  WriteWholeFile(TarballPath(built), built.tarball);
  EXPECT_EQ(*ReadRange(built.image, offset + kBlockPayload, 10, &scratch),
            large_.substr(kBlockPayload, 10));
}

TEST_F(ImageTest, TarballThatShrankWhileOpenIsCorrupt) {
  const BuiltImage built = BuildLarge();
  ASSERT_EQ(truncate(TarballPath(built).c_str(), 100'000), 0);
  Image::Scratch scratch;
  const uint64_t tar_size = built.image->index().facts().tar_size;
  EXPECT_EQ(Outcome(ReadRange(built.image, 0, tar_size, &scratch)),
            fmt::format("kCorrupt: {} is shorter than it was written", built.stem));
  EXPECT_EQ(Outcome(ReadRange(built.image, 0, kBlockPayload, &scratch)), "success");
}

TEST_F(ImageTest, TarballOfAnotherLengthIsCorrupt) {
  const BuiltImage built = BuildLarge();
  const std::string corrupt =
      fmt::format("kCorrupt: {} has not the size that its index says", ArtifactName(built.stem));
  for (const size_t size : {size_t{0}, size_t{17}, built.tarball.size() - 1}) {
    ASSERT_EQ(truncate(TarballPath(built).c_str(), static_cast<off_t>(size)), 0);
    EXPECT_EQ(OpenOutcome(built.stem), corrupt) << size;
  }
  WriteWholeFile(TarballPath(built), built.tarball + "x");
  EXPECT_EQ(OpenOutcome(built.stem), corrupt);
  WriteWholeFile(TarballPath(built), built.tarball);
  EXPECT_EQ(OpenOutcome(built.stem), "success");
}

TEST_F(ImageTest, IndexOfAnotherImageIsCorrupt) {
  const BuiltImage one = Build({File("f", NoiseBytes(100'000, 1))});
  const BuiltImage shorter = Build({File("f", NoiseBytes(50'000, 2))});
  const BuiltImage same_size = Build({File("f", NoiseBytes(100'000, 3))});
  WriteWholeFile(PathOf(IndexName(one.stem)), shorter.index);
  EXPECT_EQ(OpenOutcome(one.stem), fmt::format("kCorrupt: {} has not the size that its index says",
                                               ArtifactName(one.stem)));

  WriteWholeFile(PathOf(IndexName(one.stem)), same_size.index);
  const auto swapped = Image::Open(directory_fd(), one.stem);
  if (!swapped) {
    EXPECT_EQ(swapped.error().code, ErrorCode::kCorrupt);
    return;
  }
  Image::Scratch scratch;
  for (uint64_t block = 0; block < 3; ++block) {
    EXPECT_EQ(ReadRange(*swapped, block * kBlockPayload, 10, &scratch).error().code,
              ErrorCode::kCorrupt);
  }
}

TEST_F(ImageTest, TruncatedOrAbsentIndexIsRefused) {
  const BuiltImage built = BuildLarge();
  const std::string index = PathOf(IndexName(built.stem));
  ASSERT_EQ(truncate(index.c_str(), static_cast<off_t>(built.index.size() - 4)), 0);
  EXPECT_EQ(OpenOutcome(built.stem).substr(0, 9), "kCorrupt:");
  ASSERT_EQ(unlink(index.c_str()), 0);
  EXPECT_EQ(OpenOutcome(built.stem).substr(0, 9), "kStorage:");
}

TEST_F(ImageTest, TarballIsNotFollowedAsALink) {
  const BuiltImage built = BuildLarge();
  ASSERT_EQ(rename(TarballPath(built).c_str(), PathOf("elsewhere").c_str()), 0);
  ASSERT_EQ(symlink("elsewhere", TarballPath(built).c_str()), 0);
  EXPECT_EQ(OpenOutcome(built.stem).substr(0, 9), "kStorage:");
}

TEST_F(ImageTest, PrefersTheImageThatStandsBesideTheArtifact) {
  const BuiltImage built = Build({File("f", "shown")}, {.ignore = {}, .beside_artifact = true});
  EXPECT_EQ(Names(), (std::vector<std::string>{IndexName(built.stem), ImageName(built.stem)}));
  WriteWholeFile(PathOf(ArtifactName(built.stem)), "the layer as it came");
  const auto image = Image::Open(directory_fd(), built.stem);
  ASSERT_EQ(Outcome(image), "success");
  EXPECT_EQ(ContentsOf(*image), (ImageContents{{"f", "file:shown"}}));
}

TEST_F(ImageTest, UnalteredArtifactWithoutItsImageIsCorrupt) {
  const BuiltImage built = Build({File("f", "shown")}, {.ignore = {}, .beside_artifact = true});
  ASSERT_EQ(unlink(PathOf(ImageName(built.stem)).c_str()), 0);
  WriteWholeFile(PathOf(ArtifactName(built.stem)), "the layer as it came");
  EXPECT_EQ(
      OpenOutcome(built.stem),
      fmt::format("kCorrupt: {} has not the size that its index says", ArtifactName(built.stem)));
}

}  // namespace
}  // namespace ocirepofs
