#include "fetch/layer/inflate.h"

#include <gtest/gtest.h>
#include <isa-l.h>

#include <random>
#include <string>

#include "fetch/layer/zstd.h"
#include "tests/support/tar_builder.h"

namespace ocirepofs {
namespace {

constexpr uint64_t kNoLimit = UINT64_MAX;

std::span<const std::byte> Bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

/// What the stream expands to, given in pieces of that size; "error: …" where it fails.
std::string Expand(std::string_view stream, uint64_t limit = kNoLimit, size_t piece_size = 65536) {
  GzipSource source(
      [&stream, piece_size]() -> Result<std::span<const std::byte>> {
        const std::string_view piece = stream.substr(0, piece_size);
        stream.remove_prefix(piece.size());
        return Bytes(piece);
      },
      limit);
  std::string expanded;
  for (;;) {
    const auto piece = source.Read();
    if (!piece) return "error: " + piece.error().message;
    if (piece->empty()) return expanded;
    expanded.append(reinterpret_cast<const char*>(piece->data()), piece->size());
  }
}

std::string Noise(size_t size) {
  std::mt19937 random(1);
  std::string noise(size, '\0');
  for (char& c : noise) c = static_cast<char>(random());
  return noise;
}

TEST(Inflate, MagicTellsTheCompression) {
  EXPECT_TRUE(LooksLikeGzip(Bytes(Gzip("x"))));
  EXPECT_TRUE(LooksLikeZstd(Bytes(Zstd("x"))));
  EXPECT_FALSE(LooksLikeGzip(Bytes(Zstd("x"))));
  EXPECT_FALSE(LooksLikeZstd(Bytes(Gzip("x"))));
  EXPECT_FALSE(LooksLikeGzip(Bytes("\x1f")));
  EXPECT_FALSE(LooksLikeGzip({}));
  EXPECT_FALSE(LooksLikeZstd(Bytes("\x28\xb5\x2f")));
}

TEST(Inflate, ExpandsWhateverThePieces) {
  const std::string noise = Noise(700'000);
  std::string text;
  for (int i = 0; text.size() < 900'000; ++i) text += "line " + std::to_string(i % 777) + "\n";
  for (const std::string& data :
       {std::string(), std::string("x"), std::string(1 << 20, '\0'), noise, text, noise + text}) {
    const std::string stream = Gzip(data);
    for (const size_t piece : {size_t{1}, size_t{13}, size_t{4096}, stream.size()}) {
      ASSERT_TRUE(Expand(stream, kNoLimit, piece) == data) << data.size() << " by " << piece;
    }
  }
}

TEST(Inflate, SizesAroundTheOutputBufferAreExact) {
  constexpr size_t kBuffer = 256 << 10;
  // Around it by more than the longest match of deflate.
  for (size_t size = kBuffer - 260; size <= kBuffer + 260; ++size) {
    const std::string data(size, 'x');
    ASSERT_TRUE(Expand(Gzip(data), kNoLimit, size % 7 == 0 ? 1 : 65536) == data) << size;
  }
}

TEST(Inflate, TheLimitIsExact) {
  EXPECT_EQ(Expand(Gzip("12345"), 5), "12345");
  EXPECT_EQ(Expand(Gzip("123456"), 5),
            "error: the layer expands to more than 5 bytes (mount option max_size)");
  EXPECT_EQ(Expand(Gzip("123") + Gzip("456"), 5),
            "error: the layer expands to more than 5 bytes (mount option max_size)");
}

TEST(Inflate, ErrorsOfTheSourceArePassedOn) {
  GzipSource source(
      []() -> Result<std::span<const std::byte>> {
        return Fail(ErrorCode::kUnavailable, "connection reset");
      },
      kNoLimit);
  const auto read = source.Read();
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(read.error().message, "connection reset");
}

TEST(Inflate, EveryTruncationFails) {
  const std::string stream = GzipNamed(Noise(300) + std::string(300, 'x'), "name");
  for (size_t size = 0; size < stream.size(); ++size) {
    ASSERT_EQ(Expand(stream.substr(0, size)), "error: gzip: unexpected EOF") << size;
    ASSERT_EQ(Expand(stream.substr(0, size), kNoLimit, 1), "error: gzip: unexpected EOF") << size;
  }
}

/// A member whose header has every optional field.
std::string WithFullHeader(std::string_view data) {
  std::string header("\x1f\x8b\x08\x1e\0\0\0\0\0\xff\x05\0extra", 17);
  header += std::string("layer.tar\0a comment\0", 20);
  const uint32_t crc =
      crc32_gzip_refl(0, reinterpret_cast<const unsigned char*>(header.data()), header.size());
  header += static_cast<char>(crc & 0xff);
  header += static_cast<char>(crc >> 8 & 0xff);
  return header + Gzip(data).substr(10);
}

TEST(Inflate, AHeaderMayBeFullAndComeInPieces) {
  const std::string data = Noise(1000);
  for (const std::string& stream :
       {GzipNamed(data, "layer.tar"), WithFullHeader(data), Gzip("") + WithFullHeader(data)}) {
    for (size_t piece = 1; piece <= 100; ++piece) {
      ASSERT_EQ(Expand(stream, kNoLimit, piece), data) << "in pieces of " << piece;
    }
  }
}

TEST(Inflate, ABadHeaderFails) {
  std::string method = Gzip("x");
  method[2] = 7;
  EXPECT_EQ(Expand(method), "error: gzip: invalid header");
  std::string second = Gzip("x");
  second[2] = 7;
  EXPECT_EQ(Expand(Gzip("x") + second), "error: gzip: invalid header");
}

TEST(Inflate, ABadBlockFails) {
  std::string reserved("\x1f\x8b\x08\0\0\0\0\0\0\xff\x07", 11);  // block type 3
  EXPECT_EQ(Expand(reserved + std::string(20, '\0')), "error: gzip: invalid data");
  std::string stored("\x1f\x8b\x08\0\0\0\0\0\0\xff\x01\x05\0\0\0hello",
                     20);  // length is not ~length
  EXPECT_EQ(Expand(stored + std::string(8, '\0')), "error: gzip: invalid data");
}

TEST(Inflate, ItStaysAtItsEnd) {
  bool given = false;
  const std::string stream = Gzip("x");
  GzipSource source(
      [&]() -> Result<std::span<const std::byte>> {
        return std::exchange(given, true) ? std::span<const std::byte>() : Bytes(stream);
      },
      kNoLimit);
  ASSERT_EQ(source.Read().value().size(), 1u);
  EXPECT_TRUE(source.Read().value().empty());
  EXPECT_TRUE(source.Read().value().empty());
}

}  // namespace
}  // namespace ocirepofs
