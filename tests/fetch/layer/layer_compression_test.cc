// A layer's outside: compression, its end, and how much of it there may be.

#include <set>

#include "tests/fetch/layer/layer_fixture.h"

namespace ocirepofs {
namespace {

class LayerCompression : public LayerTest {
 protected:
  static std::string Small() {
    return TarBuilder().File("a", "hello").Directory("d").File("d/b", "x", 0755).Archive();
  }
  const ImageContents small_{{"a", "file:hello"}, {"d", "dir"}, {"d/b", "exec:x"}};
};

TEST_F(LayerCompression, PlainGzipAndZstdAreToldApartByTheirBytes) {
  for (const size_t piece : {size_t{1}, size_t{3}, size_t{65536}}) {
    piece_size_ = piece;
    EXPECT_EQ(Unpack(Small()), small_);
    EXPECT_EQ(Unpack(Gzip(Small())), small_);
    EXPECT_EQ(Unpack(Zstd(Small())), small_);
  }
}

TEST_F(LayerCompression, ASkippableFrameMayPrecedeZstd) {
  const std::string skippable("\x50\x2a\x4d\x18\x03\0\0\0abc", 11);
  EXPECT_EQ(Unpack(skippable + Zstd(Small())), small_);
}

TEST_F(LayerCompression, SeveralZstdFramesAreOneStream) {
  EXPECT_EQ(Unpack(Zstd(Small().substr(0, 700)) + Zstd(Small().substr(700))), small_);
}

TEST_F(LayerCompression, LAY09_AGzipOfNothingIsAnEmptyTree) {
  EXPECT_EQ(Unpack(Gzip("")), ImageContents{});
}

TEST_F(LayerCompression, ALayerOfNoBytesFails) { EXPECT_EQ(Refusal(""), "the layer is empty"); }

TEST_F(LayerCompression, LAY10_WhatIsNoTarFails) {
  EXPECT_EQ(Refusal(Gzip(std::string(2000, 'x'))), "tar error: Unrecognized archive format");
  EXPECT_EQ(Refusal(std::string(2000, 'x')), "tar error: Unrecognized archive format");
  EXPECT_EQ(Refusal("x"), "tar error: Unrecognized archive format");
}

TEST_F(LayerCompression, LAY11_AGzipThatBreaksOffFails) {
  const std::string layer = Gzip(Small());
  const std::string message = Refusal(layer.substr(0, layer.size() / 2));
  EXPECT_TRUE(message.ends_with("unexpected EOF")) << message;
}

TEST_F(LayerCompression, LAY12_T23_AWrongChecksumFails) {
  std::string layer = Gzip(Small());
  layer[layer.size() - 8] = static_cast<char>(layer[layer.size() - 8] ^ 1);
  EXPECT_EQ(Refusal(layer), "gzip: invalid checksum");
}

TEST_F(LayerCompression, T23_AWrongLengthFails) {
  std::string layer = Gzip(Small());
  layer[layer.size() - 4] = static_cast<char>(layer[layer.size() - 4] ^ 1);
  EXPECT_EQ(Refusal(layer), "gzip: invalid checksum");
}

TEST_F(LayerCompression, LAY13_T23_GarbageBehindFailsAndZerosDoNot) {
  EXPECT_EQ(Unpack(Gzip(Small()) + std::string(1000, '\0')), small_);
  const std::string garbage = "gzip: garbage behind the end of the stream";
  EXPECT_EQ(Refusal(Gzip(Small()) + "junk"), garbage);
  EXPECT_EQ(Refusal(Gzip(Small()) + std::string(3, '\0') + "junk"), garbage);
  Refusal(Gzip(Small()) + "\x1f");
  Refusal(Gzip(Small()) + "\x1f\x8c");
}

TEST_F(LayerCompression, T22_LAY14_MembersAreOneStream) {
  const std::string tar = Small();
  for (const size_t piece : {size_t{1}, size_t{7}, size_t{65536}}) {
    piece_size_ = piece;
    for (const size_t cut : {size_t{0}, size_t{1}, size_t{511}, size_t{1024}, tar.size()}) {
      EXPECT_EQ(Unpack(Gzip(tar.substr(0, cut)) + Gzip(tar.substr(cut))), small_) << cut;
    }
  }
}

TEST_F(LayerCompression, T22_AMillionEmptyMembersAreRead) {
  const std::string empty = Gzip("");
  std::string layer;
  for (int i = 0; i < 1'000'000; ++i) layer += empty;
  EXPECT_EQ(Unpack(layer + Gzip(Small())), small_);
}

TEST_F(LayerCompression, T23_AWrongChecksumInALaterMemberFails) {
  std::string second = Gzip(Small().substr(100));
  second[second.size() - 5] = static_cast<char>(second[second.size() - 5] ^ 1);
  EXPECT_EQ(Refusal(Gzip(Small().substr(0, 100)) + second), "gzip: invalid checksum");
}

TEST_F(LayerCompression, T23_AWrongChecksumFailsWhateverFollows) {
  const std::string tar = Small();
  for (const size_t piece : {size_t{1}, size_t{65536}}) {
    piece_size_ = piece;
    for (const size_t cut : {size_t{100}, size_t{512}, size_t{1000}, size_t{1536}}) {
      std::string first = Gzip(tar.substr(0, cut));
      first[first.size() - 5] = static_cast<char>(first[first.size() - 5] ^ 1);
      EXPECT_EQ(Refusal(first + Gzip(tar.substr(cut))), "gzip: invalid checksum") << cut;
    }
  }
}

TEST_F(LayerCompression, T24_AHugeFileNameInTheHeaderCostsNothing) {
  piece_size_ = 4096;
  EXPECT_EQ(Unpack(GzipNamed(Small(), std::string(20 << 20, 'n'))), small_);
}

TEST_F(LayerCompression, T24_AZstdWindowOfTwoGigabytesFails) {
  EXPECT_EQ(Unpack(Zstd(Small(), {.window_exponent = 13})), small_);  // 8 MiB
  Refusal(Zstd(Small(), {.window_exponent = 21}));
}

TEST_F(LayerCompression, T21_AGzipBombIsStoppedAtTheLimit) {
  max_expanded_ = 1 << 20;
  const std::string bomb = Gzip(TarBuilder().File("a", std::string(64 << 20, '\0')).Archive());
  EXPECT_EQ(Refusal(bomb, ErrorCode::kLimitExceeded),
            "the layer expands to more than 1048576 bytes (mount option max_size)");
  EXPECT_LE(written_, 2u << 20);
  options_.max_size = 1 << 20;
  max_expanded_ = UINT64_MAX;
  EXPECT_EQ(Refusal(bomb, ErrorCode::kLimitExceeded),
            "the artifact's contents are larger than 1048576 bytes (mount option max_size)");
  EXPECT_EQ(written_, 0u);
}

TEST_F(LayerCompression, T21_AGzipBombBehindTheEndIsStoppedAtTheLimit) {
  max_expanded_ = 1 << 20;
  EXPECT_EQ(Refusal(Gzip(Small() + std::string(8 << 20, '\0')), ErrorCode::kLimitExceeded),
            "the layer expands to more than 1048576 bytes (mount option max_size)");
}

TEST_F(LayerCompression, T21_AZstdBombIsStoppedAtTheLimit) {
  max_expanded_ = 1 << 20;
  const TarBuilder::Entry file{.name = "a", .size = OctalField(8 << 20, 12)};
  const std::string bomb = ZstdBomb(TarBuilder().Add(file).Unended(), 80);
  EXPECT_EQ(Refusal(bomb, ErrorCode::kLimitExceeded),
            "the layer expands to more than 1048576 bytes (mount option max_size)");
}

TEST_F(LayerCompression, T21_AZstdBombOfHeadersIsStoppedAtTheLimit) {
  max_expanded_ = 1 << 20;
  TarBuilder tar;
  for (int i = 0; i < 10; ++i) {
    tar.Pax(PaxRecord("comment", std::string(900'000, 'x'))).File("a", "1");
  }
  EXPECT_EQ(Refusal(Zstd(tar.Archive()), ErrorCode::kLimitExceeded),
            "the layer expands to more than 1048576 bytes (mount option max_size)");
}

TEST_F(LayerCompression, ZstdBehindTheEndOfTheArchiveIsChecked) {
  const std::string tar = Small() + std::string(1 << 20, '\0');
  EXPECT_EQ(Unpack(Zstd(tar)), small_);
  Refusal(Zstd(tar, {.checksum = "\x01\x02\x03\x04"}));
  const std::string whole = Zstd(tar);
  Refusal(whole.substr(0, whole.size() - 1000));
  Refusal(whole + "junk");
}

TEST_F(LayerCompression, T25_MoreEntriesThanAllowedFail) {
  options_.max_files = 1000;
  TarBuilder tar;
  for (int i = 0; i < 1000; ++i) tar.File(fmt::format("f{}", i), "");
  EXPECT_EQ(Unpack(tar).size(), 1000u);
  tar.File("one-more", "");
  EXPECT_EQ(Refusal(tar, ErrorCode::kLimitExceeded),
            "the artifact holds more than 1000 entries (mount option max_files)");
}

TEST_F(LayerCompression, T25_ImpliedDirectoriesCountAsEntries) {
  options_.max_files = 1000;
  TarBuilder tar;
  for (int i = 0; i < 900; ++i) tar.File(fmt::format("{0}/{0}/{0}/{0}/{0}/f", i), "");
  EXPECT_EQ(Refusal(tar, ErrorCode::kLimitExceeded),
            "the artifact holds more than 1000 entries (mount option max_files)");
}

TEST_F(LayerCompression, T25_DeepNamesFail) {
  std::string deep;
  for (int i = 0; i < 63; ++i) deep += "d/";
  EXPECT_EQ(Unpack(TarBuilder().GnuLong(deep + "f").File("x", "1")).size(), 64u);
  EXPECT_EQ(Refusal(TarBuilder().GnuLong(deep + "d/f").File("x", "1"), ErrorCode::kLimitExceeded),
            "tar entry \"" + deep + "d/f\" lies deeper than 64 directories");
  for (int i = 0; i < 100'000; ++i) deep += "d/";
  Refusal(TarBuilder().GnuLong(deep).File("x", "1"), ErrorCode::kLimitExceeded);
}

TEST_F(LayerCompression, TAR03_ContentsLargerThanAllowedFail) {
  options_.max_size = 255;
  EXPECT_EQ(
      Refusal(TarBuilder().File("big-file", std::string(256, 'x')), ErrorCode::kLimitExceeded),
      "the artifact's contents are larger than 255 bytes (mount option max_size)");
  EXPECT_EQ(Unpack(TarBuilder().File("a", std::string(255, 'x'))).size(), 1u);
}

// ---- The archive's end

TEST_F(LayerCompression, T19_ContentsShorterThanTheyShouldBeFail) {
  Refusal(TarBuilder().Add({.name = "a", .contents = "x", .size = OctalField(5000, 12)}).Archive());
}

TEST_F(LayerCompression, T19_TheTrailerMayBeMissing) {
  const std::string unended = TarBuilder().File("a", "1").Unended();
  EXPECT_EQ(Unpack(unended), (ImageContents{{"a", "file:1"}}));
  EXPECT_EQ(Unpack(unended + std::string(512, '\0')), (ImageContents{{"a", "file:1"}}));
  EXPECT_EQ(Unpack(Gzip(unended)), (ImageContents{{"a", "file:1"}}));
}

TEST_F(LayerCompression, T20_WhatIsBehindTheEndIsReadAndNotServed) {
  const std::string layer = TarBuilder().File("a", "1").Archive() +
                            TarBuilder().File("b", std::string(300'000, 'x')).Archive();
  EXPECT_EQ(Unpack(layer), (ImageContents{{"a", "file:1"}}));
  EXPECT_EQ(consumed_, layer.size());
  EXPECT_EQ(Unpack(Gzip(layer)), (ImageContents{{"a", "file:1"}}));
  EXPECT_EQ(consumed_, Gzip(layer).size());
}

TEST_F(LayerCompression, APlainArchiveThatBreaksOffFailsUnlessBetweenEntries) {
  TarBuilder tar;
  std::set<size_t> boundaries;
  tar.File("a", "hello");
  boundaries.insert(tar.Unended().size());
  tar.Pax(PaxRecord("path", "d\xc3\xa9")).Directory("x");
  boundaries.insert(tar.Unended().size());
  tar.File("x", std::string(100, 'x'));
  const size_t end = tar.Unended().size();
  boundaries.insert(end);
  const std::string archive = tar.Archive();
  for (size_t size = 0; size <= archive.size(); ++size) {
    const bool accepted = !Unpack(archive.substr(0, size)).contains("error");
    const bool clean = boundaries.contains(size) || size >= end + 512;
    ASSERT_EQ(accepted, clean) << "cut to " << size << " of " << archive.size() << " bytes";
  }
}

TEST_F(LayerCompression, ACompressedArchiveThatBreaksOffFails) {
  for (const std::string& whole : {Gzip(Small()), Zstd(Small()), Gzip("") + Gzip(Small())}) {
    ASSERT_EQ(Unpack(whole), small_);
    for (size_t size = 0; size < whole.size(); ++size) {
      // Members and frames end where an archive may: there it is whole, and empty.
      if (size == Gzip("").size() && whole.starts_with(Gzip(""))) continue;
      ASSERT_TRUE(Unpack(whole.substr(0, size)).contains("error"))
          << "cut to " << size << " of " << whole.size() << " bytes";
    }
  }
}

TEST_F(LayerCompression, NoFlippedBitOfAGzipGoesUnnoticedOrCrashes) {
  const std::string whole = Gzip(Small());
  for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    const ImageContents contents = Unpack(flipped);
    // Of the header, time, system and extra flags (bytes 4 to 9) say nothing of the contents.
    ASSERT_TRUE(contents.contains("error") || contents == small_) << "bit " << bit;
  }
}

}  // namespace
}  // namespace ocirepofs
