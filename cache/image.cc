#include "cache/image.h"

#include <endian.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "cache/names.h"
#include "cache/stored_gzip.h"

namespace ocirepofs {

using stored_gzip::BlockOffset;
using stored_gzip::kBlockHeaderSize;
using stored_gzip::kBlockPayload;

namespace {

constexpr size_t kReadAheadFrom = 4 * kBlockPayload;
constexpr off_t kReadAheadSize = 4 << 20;

}  // namespace

Result<std::shared_ptr<const Image>> Image::Open(int directory_fd, std::string_view stem) {
  Result<std::unique_ptr<const Index>> index = Index::Open(directory_fd, IndexName(stem));
  if (!index) return tl::unexpected(index.error());

  // Where the artifact itself can't be the image (an unaltered layer), the image stands beside it.
  std::string name = ImageName(stem);
  if (faccessat(directory_fd, name.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) != 0) {
    name = ArtifactName(stem);
  }
  Result<UniqueFd> tarball = OpenAt(directory_fd, name, O_RDONLY);
  if (!tarball) return tl::unexpected(tarball.error());
  struct stat info {};
  if (fstat(tarball->get(), &info) != 0)
    return FailErrno(errno, fmt::format("cannot stat {}", name));
  if (!S_ISREG(info.st_mode) ||
      static_cast<uint64_t>(info.st_size) != stored_gzip::FileSize((*index)->facts().tar_size)) {
    return Fail(ErrorCode::kCorrupt, "{} has not the size that its index says", name);
  }
  // The stream's checksum, at the end of the file, tells whether the two belong together.
  uint32_t checksum = 0;
  if (auto read = ReadExactly(tarball->get(), std::as_writable_bytes(std::span(&checksum, 1)),
                              info.st_size - static_cast<off_t>(stored_gzip::kTrailerSize), name);
      !read) {
    return tl::unexpected(read.error());
  }
  if (le32toh(checksum) != (*index)->facts().tar_checksum) {
    return Fail(ErrorCode::kCorrupt, "{} is not the one that its index describes", name);
  }
  return std::shared_ptr<const Image>(
      new Image(std::string(stem), std::move(*index), std::move(*tarball)));
}

std::shared_ptr<const Image> Image::Empty(int64_t modification_time) {
  return std::shared_ptr<const Image>(
      new Image("", Index::OfEmptyTree(modification_time), UniqueFd()));
}

Result<void> Image::Load(uint64_t first_block, uint64_t block_count, Scratch* scratch) const {
  const uint64_t tar_size = index_->facts().tar_size;
  const uint64_t end = std::min((first_block + block_count) * kBlockPayload, tar_size);
  const size_t payload_size = end - first_block * kBlockPayload;
  scratch->bytes_.resize(block_count * kBlockHeaderSize + payload_size);
  if (auto read = ReadExactly(tarball_.get(), scratch->bytes_,
                              static_cast<off_t>(BlockOffset(first_block)), stem_);
      !read) {
    return read;
  }
  if (payload_size >= kReadAheadFrom) {
    // Who reads this much goes on: let the disk work while this is checked and answered.
    posix_fadvise(tarball_.get(), static_cast<off_t>(BlockOffset(first_block + block_count)),
                  kReadAheadSize, POSIX_FADV_WILLNEED);
  }
  for (uint64_t i = 0; i < block_count; ++i) {
    const size_t position = i * (kBlockHeaderSize + kBlockPayload) + kBlockHeaderSize;
    const auto payload =
        std::span<const std::byte>(scratch->bytes_)
            .subspan(position, std::min(kBlockPayload, scratch->bytes_.size() - position));
    if (stored_gzip::BlockChecksum(payload) != index_->block_checksums()[first_block + i]) {
      return Fail(ErrorCode::kCorrupt, "the cached artifact {} is damaged in block {}", stem_,
                  first_block + i);
    }
  }
  return {};
}

Result<void> Image::Read(const std::shared_ptr<const Image>& image, uint64_t offset, size_t size,
                         Scratch* scratch, std::vector<iovec>* out) {
  out->clear();
  if (size == 0) return {};
  const uint64_t first_block = offset / kBlockPayload;
  const uint64_t end_block = stored_gzip::BlockCount(offset + size);
  const bool held = !scratch->image_.owner_before(image) && !image.owner_before(scratch->image_) &&
                    first_block >= scratch->first_block_ &&
                    end_block <= scratch->first_block_ + scratch->block_count_;
  if (!held) {
    scratch->image_.reset();  // stays so if loading fails half-way
    if (auto loaded = image->Load(first_block, end_block - first_block, scratch); !loaded) {
      return loaded;
    }
    scratch->image_ = image;
    scratch->first_block_ = first_block;
    scratch->block_count_ = end_block - first_block;
  }
  while (size > 0) {
    const uint64_t block = offset / kBlockPayload;
    const size_t within = offset % kBlockPayload;
    const size_t count = std::min(size, kBlockPayload - within);
    const size_t position = (block - scratch->first_block_) * (kBlockHeaderSize + kBlockPayload) +
                            kBlockHeaderSize + within;
    out->push_back({scratch->bytes_.data() + position, count});
    offset += count;
    size -= count;
  }
  return {};
}

}  // namespace ocirepofs
