#pragma once

#include <cstddef>
#include <cstdint>
#include <future>
#include <optional>
#include <span>
#include <vector>

#include "conf/digest.h"
#include "conf/error.h"

namespace ocirepofs {

/// A gzip stream (RFC 1952) of stored deflate blocks (RFC 1951, 3.2.4) that all carry kBlockPayload
/// bytes but the last. Any gzip reads it, and an offset in what it expands to is an offset in the
/// file by arithmetic alone.
namespace stored_gzip {

inline constexpr size_t kHeaderSize = 10;
inline constexpr size_t kBlockHeaderSize = 5;
inline constexpr size_t kTrailerSize = 8;
/// Small enough that reading one file does not check much more than that file, large enough that
/// checksums and headers are noise (9 bytes in 32 KiB).
inline constexpr size_t kBlockPayload = 32768;

/// Where block `index` starts in the file, at its header.
constexpr uint64_t BlockOffset(uint64_t index) {
  return kHeaderSize + index * (kBlockHeaderSize + kBlockPayload);
}
constexpr uint64_t BlockCount(uint64_t expanded_size) {
  return (expanded_size + kBlockPayload - 1) / kBlockPayload;
}
/// REQUIRES: expanded_size > 0
constexpr uint64_t FileSize(uint64_t expanded_size) {
  return kHeaderSize + BlockCount(expanded_size) * kBlockHeaderSize + expanded_size + kTrailerSize;
}

/// The checksum that the index keeps of each block's payload: CRC-32C.
uint32_t BlockChecksum(std::span<const std::byte> payload);

}  // namespace stored_gzip

/// Writes such a stream to a file. One thread at a time.
class StoredGzipWriter {
 public:
  /// `fd` stays the caller's, is empty, and outlives the writer.
  explicit StoredGzipWriter(int fd);

  Result<void> Write(std::span<const std::byte> data);
  /// Writes the last block and the trailer, and starts no sync: that is the caller's.
  /// REQUIRES: something was written; called once, last.
  Result<void> Finish();

  uint64_t expanded_size() const { return expanded_size_; }
  /// Valid after Finish.
  uint64_t file_size() const { return file_size_; }
  uint32_t expanded_checksum() const { return crc_; }  // CRC-32
  const Digest& file_digest() const { return *file_digest_; }
  const std::vector<uint32_t>& block_checksums() const { return block_checksums_; }

  /// Reads back a range of what was written so far, whether or not it has reached the file.
  /// REQUIRES: offset + data.size() <= expanded_size()
  Result<void> ReadBack(uint64_t offset, std::span<std::byte> data) const;

 private:
  void CloseBlock(bool last);
  Result<void> Flush();

  const int fd_;
  Sha256 hash_;  // used by hashing_ while that is under way
  uint32_t crc_ = 0;
  uint64_t expanded_size_ = 0;
  uint64_t file_size_ = 0;  // bytes handed to the file
  uint64_t unsynced_ = 0;
  std::vector<std::byte> buffer_;   // whole blocks, then the block being filled at block_start_
  std::vector<std::byte> flushed_;  // what was flushed last, being hashed
  std::future<void> hashing_;
  size_t block_start_ = 0;
  std::vector<uint32_t> block_checksums_;
  std::optional<Digest> file_digest_;
};

}  // namespace ocirepofs
