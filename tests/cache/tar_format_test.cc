#include "cache/tar_format.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "conf/digest.h"

namespace ocirepofs {
namespace {

struct Member {
  TarEntry entry;
  std::string_view contents = {};
};

/// A whole archive, as "bytes sha256".
std::string Archive(const std::vector<Member>& members) {
  std::string tar;
  for (const auto& [entry, contents] : members) {
    TarEntry sized = entry;
    sized.size = contents.size();
    tar += TarHeader(sized);
    tar += contents;
    tar.append(TarPadding(contents.size()), '\0');
  }
  tar.append(kTarEndSize, '\0');
  return fmt::format("{} {}", tar.size(), Digest::Of(tar).Hex());
}

/// The headers of one entry, likewise.
std::string Header(const TarEntry& entry) {
  const std::string header = TarHeader(entry);
  return fmt::format("{} {}", header.size(), Digest::Of(header).Hex());
}

TarEntry DirectoryEntry(std::string_view name) {
  return {.name = name, .type = TarType::kDirectory};
}

std::string Field(const std::string& header, size_t offset, size_t size) {
  return header.substr(offset, size);
}

const std::string kA99(99, 'a');
const std::string kB120(120, 'b');

// Sizes and digests of what Flux's archiver writes for the same trees.

TEST(GoldenTar, G1RootAlone) {
  EXPECT_EQ(Archive({{DirectoryEntry(".")}}),
            "1536 a6c3074b61cf17b6c20da13944bfac01ed05930dc9cef70890045d62cbfb78d5");
}

TEST(GoldenTar, G2DirectoryAndEmptyFile) {
  EXPECT_EQ(Archive({{DirectoryEntry("testdata/oci/repository")},
                     {{.name = "testdata/oci/repository/foo.txt"}}}),
            "2048 b9e34c92c080298e9144df72209b82d3eb14bafb131faf2fb051e814aeda9d08");
}

TEST(GoldenTar, G3Directory) {
  EXPECT_EQ(Archive({{DirectoryEntry("testdata/oci/repository")}}),
            "1536 87047305c9c4476d353d3012b9b60f3bfaa8ca9b67b4e928581c7fe3eb7559c1");
}

TEST(GoldenTar, G4FilesAndAnExecutable) {
  EXPECT_EQ(Archive({{DirectoryEntry(".")},
                     {DirectoryEntry("deploy")},
                     {{.name = "deploy/a.yaml"}, "a: 1\n"},
                     {{.name = "run.sh", .executable = true}, "#!/bin/sh\n"}}),
            "4096 7fc5fbe1c38ce9b82a3750c4a9bbd6b2df6a58254e98f84da2e039c1d6c7d146");
}

TEST(GoldenTar, G5NameThatIsNotAscii) {
  EXPECT_EQ(Archive({{DirectoryEntry(".")}, {{.name = "é.txt"}, "x"}}),
            "3584 501fd4ed27e9b9fe20aae9ddedad73de96083368924a0cbabc5d806bfa196ed1");
}

TEST(GoldenTar, G6NameThatSplitsAtASlash) {
  const std::string directory(120, 'a');
  const std::string file = directory + "/" + std::string(90, 'b');
  EXPECT_EQ(Archive({{DirectoryEntry(".")}, {DirectoryEntry(directory)}, {{.name = file}}}),
            "3584 3d16f347034d587e6d8255da8abad7a6e321a82b46c3b4edff79921572088aa1");
}

TEST(GoldenTar, G7NameThatDoesNotSplit) {
  EXPECT_EQ(Archive({{DirectoryEntry(".")}, {{.name = std::string(101, 'n')}}}),
            "3072 1bd3f3fe0037f2edfc1017d5f9836626cda66657444bff8cebc1c0c549c1cf87");
}

// Digests of what Go's archive/tar writes for the same headers.

TEST(TarHeader, SizeOf8GiBNeedsAPaxRecord) {
  EXPECT_EQ(Header({.name = "big", .size = (uint64_t{1} << 33)}),
            "1536 0e2513b185ddc4225c74a8e9063fdbea77b79e2f2e449358b784cbee5043013f");
  EXPECT_EQ(TarHeader({.name = "big", .size = (uint64_t{1} << 33) - 1}).size(), kTarBlock);
}

TEST(TarHeader, LinkTargetThatIsNotAsciiNeedsAPaxRecord) {
  EXPECT_EQ(Header({.name = "s", .type = TarType::kSymlink, .link_name = "é/x"}),
            "1536 98a8bc0a1a92e9885f911d369e00e21c18e974fb13c648f23065f6cb50590ee1");
}

TEST(TarHeader, CutNameDoesNotEndInASlash) {
  const std::string name = kA99 + "/" + kB120;
  const std::string header = TarHeader({.name = name});
  EXPECT_EQ(Field(header, 1024, 100), kA99 + std::string(1, '\0'));
  EXPECT_EQ(Header({.name = name}),
            "1536 ae3ed4a9dbb94a0f929d11963dc69ff1d108cb19b3fbd22348346baccc21194f");
}

TEST(TarHeader, CutLinkTargetDoesNotEndInASlash) {
  const std::string target = kA99 + "/" + std::string(20, 'b');
  EXPECT_EQ(Header({.name = "s", .type = TarType::kSymlink, .link_name = target}),
            "1536 846b351469674c51eef5a6dd724986d546091eaf36e30180b03e58e02b5d82ca");
}

TEST(TarHeader, FieldsOfAFile) {
  const std::string header = TarHeader({.name = "a/b", .executable = true, .size = 10});
  ASSERT_EQ(header.size(), kTarBlock);
  EXPECT_EQ(Field(header, 0, 4), std::string("a/b\0", 4));
  EXPECT_EQ(Field(header, 100, 8), std::string("0000700\0", 8));
  EXPECT_EQ(Field(header, 108, 8), std::string("0000000\0", 8));
  EXPECT_EQ(Field(header, 116, 8), std::string("0000000\0", 8));
  EXPECT_EQ(Field(header, 124, 12), std::string("00000000012\0", 12));
  EXPECT_EQ(Field(header, 136, 12), std::string("00000000000\0", 12));
  EXPECT_EQ(header[156], '0');
  EXPECT_EQ(Field(header, 257, 8), std::string("ustar\00000", 8));
  EXPECT_EQ(Field(header, 265, 64), std::string(64, '\0'));  // no owner names
  EXPECT_EQ(Field(header, 329, 16), std::string("0000000\0000000000\0", 16));
}

TEST(TarHeader, ChecksumIsSixDigitsANulAndASpace) {
  std::string header = TarHeader(DirectoryEntry("d"));
  const std::string checksum = Field(header, 148, 8);
  header.replace(148, 8, 8, ' ');
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  EXPECT_EQ(checksum, fmt::format("{:06o}", sum) + std::string("\0 ", 2));
}

TEST(TarHeader, LinksCarryTheirTargetAndNoSize) {
  const std::string symlink =
      TarHeader({.name = "s", .type = TarType::kSymlink, .link_name = "../t"});
  EXPECT_EQ(symlink[156], '2');
  EXPECT_EQ(Field(symlink, 100, 7), "0000777");
  EXPECT_EQ(Field(symlink, 124, 11), "00000000000");
  EXPECT_EQ(Field(symlink, 157, 5), std::string("../t\0", 5));
  const std::string hard_link =
      TarHeader({.name = "h", .type = TarType::kHardLink, .link_name = "d/t"});
  EXPECT_EQ(hard_link[156], '1');
  EXPECT_EQ(Field(hard_link, 124, 11), "00000000000");
  EXPECT_EQ(Field(hard_link, 157, 4), std::string("d/t\0", 4));
}

TEST(TarHeader, LengthOfAPaxRecordCountsItself) {
  // "NN path=…\n": 87 bytes more make 99 and then, with a digit more in the length, 101.
  for (const size_t size : {101U, 102U, 1000U, 4096U}) {
    const std::string name(size, 'n');
    const std::string header = TarHeader({.name = name});
    const std::string body = header.substr(kTarBlock, header.size() - 2 * kTarBlock);
    const size_t length = std::stoul(body);
    EXPECT_EQ(body.substr(0, length), fmt::format("{} path={}\n", length, name));
    EXPECT_EQ(body.substr(length), std::string(TarPadding(length), '\0'));
  }
}

TEST(TarHeader, NameOf100BytesFitsAndSplitsUpTo255) {
  EXPECT_EQ(TarHeader({.name = std::string(100, 'n')}).size(), kTarBlock);
  const std::string longest = std::string(155, 'p') + "/" + std::string(100, 'n');
  const std::string header = TarHeader({.name = longest});
  ASSERT_EQ(header.size(), kTarBlock);
  EXPECT_EQ(Field(header, 0, 100), std::string(100, 'n'));
  EXPECT_EQ(Field(header, 345, 155), std::string(155, 'p'));
  EXPECT_GT(TarHeader({.name = "p" + longest}).size(), kTarBlock);
}

TEST(TarPadding, FillsTheLastBlock) {
  EXPECT_EQ(TarPadding(0), 0U);
  EXPECT_EQ(TarPadding(1), 511U);
  EXPECT_EQ(TarPadding(511), 1U);
  EXPECT_EQ(TarPadding(512), 0U);
  EXPECT_EQ(TarPadding(513), 511U);
}

}  // namespace
}  // namespace ocirepofs
