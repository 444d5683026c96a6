#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ocirepofs {

/// "<length> <key>=<value>\n", where the length counts itself.
std::string PaxRecord(std::string_view key, std::string_view value);

/// Numbers as header fields hold them: octal digits and a NUL, or GNU's base-256.
std::string OctalField(uint64_t value, size_t size);
std::string Base256Field(int64_t value, size_t size);

/// Makes a tar archive, as good or as bad as a test wants it: every field is written as it is
/// given, and nothing is checked.
class TarBuilder {
 public:
  /// Eight bytes of magic and version.
  static constexpr std::string_view kUstar{"ustar\00000", 8};
  static constexpr std::string_view kGnu{"ustar  \0", 8};
  static constexpr std::string_view kV7{"\0\0\0\0\0\0\0\0", 8};

  /// One header, and the contents behind it. What does not fit its field is cut. Fields that are
  /// empty get what is right.
  struct Entry {
    std::string name = {};
    char type = '0';
    std::string contents = {};
    std::string link = {};
    uint32_t mode = 0644;
    std::string_view magic = kUstar;
    std::string size = {};
    std::string time = {};
    std::string prefix = {};
    std::string mode_field = {};
    std::string checksum = {};
    /// Raw bytes of the block, written over all else (but counted in the checksum).
    size_t patch_offset = 0;
    std::string patch = {};
  };

  TarBuilder& Add(const Entry& entry);
  TarBuilder& File(std::string name, std::string contents, uint32_t mode = 0644);
  TarBuilder& Directory(std::string name, uint32_t mode = 0755);
  TarBuilder& Symlink(std::string name, std::string target);
  TarBuilder& HardLink(std::string name, std::string target);
  /// A pax extended header ('x'), or a global one ('g'), whose body is `records`.
  TarBuilder& Pax(std::string records, char type = 'x');
  /// GNU's long name ('L') or long link ('K') for the next entry.
  TarBuilder& GnuLong(std::string text, char type = 'L');
  TarBuilder& Raw(std::string_view bytes);

  /// Without the two zero blocks that end an archive.
  const std::string& Unended() const { return bytes_; }
  std::string Archive() const { return bytes_ + std::string(1024, '\0'); }

 private:
  std::string bytes_;
};

/// A gzip member (RFC 1952), deflated.
std::string Gzip(std::string_view data);
/// The same with a file name in its header.
std::string GzipNamed(std::string_view data, std::string_view name);

/// A zstd frame (RFC 8878) of raw blocks.
struct ZstdFrame {
  /// 2^(10 + exponent) bytes of window are asked for.
  uint8_t window_exponent = 11;
  /// Four bytes that are said to be the contents' checksum.
  std::optional<std::string> checksum = std::nullopt;
};
std::string Zstd(std::string_view data, const ZstdFrame& frame = {});
/// A frame that expands to `count` blocks of 128 KiB zeros, four bytes each, behind `data`.
std::string ZstdBomb(std::string_view data, size_t count);

}  // namespace ocirepofs
