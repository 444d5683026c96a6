#include "cache/stored_gzip.h"

#include <fcntl.h>
#include <isa-l.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "cache/file.h"

namespace ocirepofs {
namespace stored_gzip {

uint32_t BlockChecksum(std::span<const std::byte> payload) {
  // ISA-L takes a non-const pointer and an int length, and changes nothing.
  auto* data = reinterpret_cast<unsigned char*>(const_cast<std::byte*>(payload.data()));
  return ~crc32_iscsi(data, static_cast<int>(payload.size()), 0xffffffff);
}

}  // namespace stored_gzip

namespace {

using stored_gzip::kBlockHeaderSize;
using stored_gzip::kBlockPayload;
using stored_gzip::kHeaderSize;

constexpr size_t kFlushSize = size_t{2} << 20;
/// Write-back is started this often, so that the sync at the end has little left to wait for.
constexpr uint64_t kWriteBackSize = uint64_t{16} << 20;

constexpr std::array<uint8_t, kHeaderSize> kHeader = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff};

void PutLittleEndian32(std::byte* out, uint32_t value) {
  for (int i = 0; i < 4; ++i) out[i] = static_cast<std::byte>(value >> (8 * i));
}

}  // namespace

StoredGzipWriter::StoredGzipWriter(int fd) : fd_(fd) {
  const auto header = std::as_bytes(std::span(kHeader));
  buffer_.assign(header.begin(), header.end());
  block_start_ = buffer_.size();
  buffer_.resize(block_start_ + kBlockHeaderSize);
}

void StoredGzipWriter::CloseBlock(bool last) {
  const auto payload = std::span(buffer_).subspan(block_start_ + kBlockHeaderSize);
  std::byte* header = buffer_.data() + block_start_;
  const auto length = static_cast<uint16_t>(payload.size());
  const auto complement = static_cast<uint16_t>(~length);
  header[0] = last ? std::byte{1} : std::byte{0};
  header[1] = static_cast<std::byte>(length & 0xff);
  header[2] = static_cast<std::byte>(length >> 8);
  header[3] = static_cast<std::byte>(complement & 0xff);
  header[4] = static_cast<std::byte>(complement >> 8);
  block_checksums_.push_back(stored_gzip::BlockChecksum(payload));
  crc_ =
      crc32_gzip_refl(crc_, reinterpret_cast<const unsigned char*>(payload.data()), payload.size());
  block_start_ = buffer_.size();
}

/// REQUIRES: the buffer ends with a block, or with the trailer.
Result<void> StoredGzipWriter::Flush() {
  // Hashing costs as much as writing does, and goes on beside it: with both on one thread, a large
  // layer took a quarter longer.
  if (hashing_.valid()) hashing_.get();
  std::swap(buffer_, flushed_);
  buffer_.clear();
  block_start_ = 0;
  hashing_ = std::async(std::launch::async, [this] { hash_.Update(flushed_); });

  if (auto written = WriteAll(fd_, flushed_, "the artifact"); !written) return written;
  file_size_ += flushed_.size();
  unsynced_ += flushed_.size();
  if (unsynced_ >= kWriteBackSize) {
    // A hint: a file system without it syncs all at the end.
    sync_file_range(fd_, static_cast<off_t>(file_size_ - unsynced_), static_cast<off_t>(unsynced_),
                    SYNC_FILE_RANGE_WRITE);
    unsynced_ = 0;
  }
  return {};
}

Result<void> StoredGzipWriter::Write(std::span<const std::byte> data) {
  while (!data.empty()) {
    size_t filled = buffer_.size() - block_start_ - kBlockHeaderSize;
    if (filled == kBlockPayload) {
      CloseBlock(/*last=*/false);
      if (block_start_ >= kFlushSize) {
        if (auto flushed = Flush(); !flushed) return flushed;
      }
      buffer_.resize(buffer_.size() + kBlockHeaderSize);
      filled = 0;
    }
    const size_t count = std::min(data.size(), kBlockPayload - filled);
    buffer_.insert(buffer_.end(), data.begin(), data.begin() + static_cast<ptrdiff_t>(count));
    expanded_size_ += count;
    data = data.subspan(count);
  }
  return {};
}

Result<void> StoredGzipWriter::Finish() {
  CloseBlock(/*last=*/true);
  std::array<std::byte, stored_gzip::kTrailerSize> trailer{};
  PutLittleEndian32(trailer.data(), crc_);
  PutLittleEndian32(trailer.data() + 4, static_cast<uint32_t>(expanded_size_));
  buffer_.insert(buffer_.end(), trailer.begin(), trailer.end());
  block_start_ = buffer_.size();
  if (auto flushed = Flush(); !flushed) return flushed;
  hashing_.get();
  file_digest_ = hash_.Finish();
  return {};
}

Result<void> StoredGzipWriter::ReadBack(uint64_t offset, std::span<std::byte> data) const {
  while (!data.empty()) {
    const uint64_t block = offset / kBlockPayload;
    const size_t within = offset % kBlockPayload;
    const size_t count = std::min(data.size(), kBlockPayload - within);
    const uint64_t position = stored_gzip::BlockOffset(block) + kBlockHeaderSize + within;
    if (position >= file_size_) {
      std::memcpy(data.data(), buffer_.data() + (position - file_size_), count);
    } else if (auto read = ReadExactly(fd_, data.first(count), static_cast<off_t>(position),
                                       "the artifact");
               !read) {
      return read;
    }
    data = data.subspan(count);
    offset += count;
  }
  return {};
}

}  // namespace ocirepofs
