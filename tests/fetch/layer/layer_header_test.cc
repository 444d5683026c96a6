// The dialects of tar headers: what is read of them, and which lies are caught.

#include "tests/fetch/layer/layer_fixture.h"

namespace ocirepofs {
namespace {

using Entry = TarBuilder::Entry;

class LayerHeader : public LayerTest {};

TEST_F(LayerHeader, T12_PaxLengthOverflowFails) {
  for (const std::string records :
       {"99999999999999999999 path=a\n", "18446744073709551616 path=a\n", "100 path=a\n",
        "-5 path=a\n", "0 path=a\n", "3 path=a\n", "path=a\n", "1"}) {
    SCOPED_TRACE(records);
    Refusal(TarBuilder().Pax(records).File("x", "1"));
  }
}

TEST_F(LayerHeader, T12_APaxRecordWithoutNewlineFails) {
  Refusal(TarBuilder().Pax("10 path=aaZ").File("x", "1"));
}

TEST_F(LayerHeader, T12_APaxHeaderOfTwoGigabytesFails) {
  const Entry huge{.name = "p", .type = 'x', .size = OctalField(uint64_t{2} << 30, 12)};
  Refusal(TarBuilder().Add(huge).File("x", "1"));
  const Entry over{.name = "p", .type = 'x', .contents = std::string(1100000, '\n')};
  Refusal(TarBuilder().Add(over).File("x", "1"));
}

TEST_F(LayerHeader, T12_AGnuLongNameOfTwoGigabytesFails) {
  const Entry huge{.name = "p", .type = 'L', .size = OctalField(uint64_t{2} << 30, 12)};
  Refusal(TarBuilder().Add(huge).File("x", "1"));
}

TEST_F(LayerHeader, T12_ManySpecialHeadersInARowDoNotExhaustTheStack) {
  TarBuilder tar;
  for (int i = 0; i < 50'000; ++i) tar.Pax(PaxRecord("comment", "x"), 'g');
  Unpack(tar.File("a", "1"));  // either way; but by the rules
  TarBuilder extended;
  for (int i = 0; i < 50'000; ++i) extended.Pax(PaxRecord("comment", "x"));
  Refusal(extended.File("a", "1"));
}

TEST_F(LayerHeader, T13_ThePaxSizeIsTheSize) {
  // A reader that believes the ustar size of 0 takes the contents for headers, and sees "inner".
  const std::string inner = TarBuilder().File("inner", "smuggled").Unended();
  TarBuilder tar;
  tar.Pax(PaxRecord("size", std::to_string(inner.size())));
  tar.Add({.name = "outer", .contents = inner, .size = OctalField(0, 12)}).File("z", "end");
  EXPECT_EQ(Unpack(tar), (ImageContents{{"outer", "file:" + inner}, {"z", "file:end"}}));
}

TEST_F(LayerHeader, T13_ThePaxSizeIsTheSizeWhereUstarSaysMore) {
  TarBuilder tar;
  tar.Pax(PaxRecord("size", "0"));
  tar.Add({.name = "a", .size = OctalField(512, 12)}).File("z", "end");
  EXPECT_EQ(Unpack(tar), (ImageContents{{"a", "file:"}, {"z", "file:end"}}));
}

TEST_F(LayerHeader, T14_AMalformedExtensionFails) {
  Refusal(TarBuilder().Pax("garbage").File("a", "1"));
  Refusal(TarBuilder().Pax(PaxRecord("path", "b") + "garbage").File("a", "1"));
  Refusal(TarBuilder().Pax(PaxRecord("size", "many")).File("a", "1"));
  Refusal(TarBuilder().Pax(PaxRecord("size", "-1")).File("a", "1"));
}

TEST_F(LayerHeader, T15_TAR10_AGlobalHeaderIsNotServed) {
  TarBuilder tar;
  tar.Add({.name = "pax_global_header", .type = 'g', .contents = PaxRecord("comment", "3b6cdcc")});
  EXPECT_EQ(Unpack(tar.File("a", "1")), (ImageContents{{"a", "file:1"}}));
}

TEST_F(LayerHeader, T15_AGlobalHeaderAtTheEndIsNotServed) {
  EXPECT_EQ(Unpack(TarBuilder().File("a", "1").Pax(PaxRecord("comment", "x"), 'g')),
            (ImageContents{{"a", "file:1"}}));
}

TEST_F(LayerHeader, T16_GnuLongNames) {
  const std::string name = std::string(120, 'd') + "/" + std::string(120, 'f');
  const std::string directory = name.substr(0, 120);
  EXPECT_EQ(Unpack(TarBuilder().GnuLong(name).Add(
                {.name = "cut", .contents = "1", .magic = TarBuilder::kGnu})),
            (ImageContents{{directory, "dir"}, {name, "file:1"}}));
  TarBuilder link;
  link.GnuLong(name, 'K').GnuLong("l").Symlink("x", "cut").GnuLong(name).File("cut", "1");
  EXPECT_EQ(Unpack(link),
            (ImageContents{{directory, "dir"}, {name, "file:1"}, {"l", "link:" + name}}));
}

TEST_F(LayerHeader, T16_Base256Sizes) {
  const Entry good{.name = "a", .contents = "hello", .size = Base256Field(5, 12)};
  EXPECT_EQ(Unpack(TarBuilder().Add(good).File("z", "end")),
            (ImageContents{{"a", "file:hello"}, {"z", "file:end"}}));
  for (const int64_t size : {int64_t{-1}, int64_t{-512}, INT64_MIN, INT64_MAX}) {
    SCOPED_TRACE(size);
    EXPECT_TRUE(
        Unpack(TarBuilder().Add({.name = "a", .size = Base256Field(size, 12)})).contains("error"));
  }
  const Entry beyond{.name = "a", .size = "\x80" + std::string(11, '\x7f')};
  EXPECT_TRUE(Unpack(TarBuilder().Add(beyond)).contains("error"));
}

TEST_F(LayerHeader, T16_V7) {
  TarBuilder tar;
  tar.Add({.name = "d/", .type = '\0', .magic = TarBuilder::kV7});
  tar.Add({.name = "d/a", .type = '\0', .contents = "1", .magic = TarBuilder::kV7});
  EXPECT_EQ(Unpack(tar), (ImageContents{{"d", "dir"}, {"d/a", "file:1"}}));
}

TEST_F(LayerHeader, T16_UstarPrefix) {
  EXPECT_EQ(Unpack(TarBuilder().Add({.name = "b/c", .contents = "1", .prefix = "a"})),
            (ImageContents{{"a", "dir"}, {"a/b", "dir"}, {"a/b/c", "file:1"}}));
}

TEST_F(LayerHeader, T16_APrefixCannotHideAParentComponent) {
  EXPECT_EQ(Refusal(TarBuilder().Add({.name = "b", .prefix = ".."})),
            R"(tar contained invalid name error "../b")");
  EXPECT_EQ(Refusal(TarBuilder().Add({.name = "b", .prefix = "/etc"})),
            R"(tar contained invalid name error "/etc/b")");
}

TEST_F(LayerHeader, T16_NumbersWithSpaces) {
  const Entry entry{
      .name = "a", .contents = "hello", .size = "         5 \0", .mode_field = "   755 "};
  EXPECT_EQ(Unpack(TarBuilder().Add(entry).File("z", "end")),
            (ImageContents{{"a", "exec:hello"}, {"z", "file:end"}}));
}

TEST_F(LayerHeader, T16_SignedChecksumsAreAccepted) {
  // Old tars summed signed bytes: 0xc3 and 0xa9 then count 256 less each.
  const std::string block = TarBuilder().File("\xc3\xa9", "1").Unended();
  const unsigned long sum = std::stoul(block.substr(148, 6), nullptr, 8) - 512;
  const Entry entry{.name = "\xc3\xa9",
                    .contents = "1",
                    .checksum = fmt::format("{:06o}", sum) + std::string("\0 ", 2)};
  EXPECT_EQ(Unpack(TarBuilder().Add(entry)), (ImageContents{{"\xc3\xa9", "file:1"}}));
}

TEST_F(LayerHeader, T16_AWrongChecksumFails) {
  const Entry wrong{.name = "b", .contents = "1", .checksum = std::string("000001\0 ", 8)};
  Refusal(TarBuilder().Add(wrong));
  Refusal(TarBuilder().File("a", "1").Add(wrong));
}

TEST_F(LayerHeader, T17_OddTimesDoNoHarm) {
  for (const std::string time :
       {"-1", "-1.5", "1.999999999", "99999999999999999999", "1e30", "0"}) {
    SCOPED_TRACE(time);
    EXPECT_EQ(Unpack(TarBuilder().Pax(PaxRecord("mtime", time)).File("a", "1")),
              (ImageContents{{"a", "file:1"}}));
  }
  for (const int64_t time : {int64_t{-1}, INT64_MAX, INT64_MIN}) {
    SCOPED_TRACE(time);
    EXPECT_EQ(
        Unpack(TarBuilder().Add({.name = "a", .contents = "1", .time = Base256Field(time, 12)})),
        (ImageContents{{"a", "file:1"}}));
  }
}

// ---- Sparse files

std::string Map10(const std::string& map) {
  std::string padded = map;
  padded.resize((map.size() + 511) / 512 * 512);
  return padded;
}

std::string Sparse10(const std::string& name, uint64_t size) {
  return PaxRecord("GNU.sparse.major", "1") + PaxRecord("GNU.sparse.minor", "0") +
         PaxRecord("GNU.sparse.name", name) +
         PaxRecord("GNU.sparse.realsize", std::to_string(size));
}

const ImageContents kSparse{
    {"s", "file:" + std::string(1000, '\0') + "data" + std::string(2000 - 1004, '\0')},
    {"z", "file:end"}};

TEST_F(LayerHeader, T18_GnuSparse00) {
  TarBuilder tar;
  tar.Pax(PaxRecord("GNU.sparse.size", "2000") + PaxRecord("GNU.sparse.numblocks", "2") +
          PaxRecord("GNU.sparse.offset", "1000") + PaxRecord("GNU.sparse.numbytes", "4") +
          PaxRecord("GNU.sparse.offset", "2000") + PaxRecord("GNU.sparse.numbytes", "0"));
  EXPECT_EQ(Unpack(tar.File("s", "data").File("z", "end")), kSparse);
}

TEST_F(LayerHeader, T18_GnuSparse01) {
  TarBuilder tar;
  tar.Pax(PaxRecord("GNU.sparse.size", "2000") + PaxRecord("GNU.sparse.numblocks", "2") +
          PaxRecord("GNU.sparse.map", "1000,4,2000,0") + PaxRecord("GNU.sparse.name", "s"));
  EXPECT_EQ(Unpack(tar.File("GNUSparseFile.0/s", "data").File("z", "end")), kSparse);
}

TEST_F(LayerHeader, T18_GnuSparse10) {
  TarBuilder tar;
  tar.Pax(Sparse10("s", 2000));
  tar.File("GNUSparseFile.0/s", Map10("2\n1000\n4\n2000\n0\n") + "data").File("z", "end");
  EXPECT_EQ(Unpack(tar), kSparse);
}

TEST_F(LayerHeader, T18_OldGnuSparse) {
  TarBuilder tar;
  tar.Add({.name = "s",
           .type = 'S',
           .contents = "data",
           .magic = TarBuilder::kGnu,
           .patch_offset = 386,
           .patch = OctalField(1000, 12) + OctalField(4, 12) + OctalField(2000, 12) +
                    OctalField(0, 12) + std::string(49, '\0') + OctalField(2000, 12)});
  EXPECT_EQ(Unpack(tar.File("z", "end")), kSparse);
}

TEST_F(LayerHeader, T18_ALogicalSizeBeyondTheLimitIsRefusedBeforeAByteIsWritten) {
  options_.max_size = uint64_t{1} << 30;
  for (const uint64_t size : {(uint64_t{1} << 30) + 1, uint64_t{INT64_MAX}}) {
    TarBuilder tar;
    tar.Pax(Sparse10("s", size)).File("GNUSparseFile.0/s", Map10("1\n0\n4\n") + "data");
    EXPECT_EQ(Refusal(tar, ErrorCode::kLimitExceeded),
              "the artifact's contents are larger than 1073741824 bytes (mount option max_size)");
    EXPECT_EQ(written_, 0u);
  }
}

TEST_F(LayerHeader, T18_SparseMapsThatLieFail) {
  for (const std::string map :
       {"2\n1000\n4\n500\n4\n", "1\n3000\n4\n", "1\n-5\n4\n", "1\n1000\n99999999999999999999\n",
        "999999999999\n0\n1\n", "x\n", "1\n1000\n"}) {
    SCOPED_TRACE(map);
    TarBuilder tar;
    tar.Pax(Sparse10("s", 2000)).File("GNUSparseFile.0/s", Map10(map) + "datadata");
    EXPECT_TRUE(Unpack(tar).contains("error"));
  }
}

TEST_F(LayerHeader, T18_AMapOfAMillionEntriesIsBounded) {
  std::string map = "1000000\n";
  for (int i = 0; i < 1'000'000; ++i) map += fmt::format("{}\n0\n", i);
  TarBuilder tar;
  tar.Pax(Sparse10("s", 1'000'000)).File("GNUSparseFile.0/s", Map10(map));
  const ImageContents contents = Unpack(tar);
  ASSERT_EQ(contents.size(), 1u);
  if (!contents.contains("error")) {
    EXPECT_EQ(contents.at("s").size(), 1'000'005u);
  }
}

}  // namespace
}  // namespace ocirepofs
