#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cache/file.h"
#include "conf/digest.h"
#include "conf/error.h"

namespace ocirepofs {

enum class NodeType : uint8_t { kDirectory = 1, kFile = 2, kSymlink = 3 };

/// One node of a tree as the index stores it. Host byte order: a cache does not travel.
struct IndexRecord {
  uint32_t name_offset;  // in the string pool; the root has an empty name
  uint16_t name_size;
  NodeType type;
  uint8_t executable;
  uint32_t parent;       // the root is its own
  uint32_t first_child;  // directories: children are contiguous, sorted by name
  uint32_t child_count;
  uint32_t subdirectory_count;
  uint64_t offset;  // files: in the tar stream; symbolic links: of the target in the string pool
  uint64_t size;    // bytes of the contents or of the target
};
static_assert(sizeof(IndexRecord) == 40);

/// What the index says about its image and where it came from.
struct IndexFacts {
  uint64_t tar_size = 0;          // bytes of the tar stream
  Digest image_digest;            // of the image's file
  uint32_t tar_checksum = 0;      // CRC-32 of the tar stream, which ends the image's file
  int64_t modification_time = 0;  // seconds since the epoch, of everything in the tree
};

/// The index of an image: the tree, and a checksum of each block of the tar stream. Mapped, not
/// loaded: it costs the process no memory of its own. Immutable after Open; any thread.
class Index {
 public:
  static constexpr uint32_t kRoot = 0;

  /// The file's bytes for a tree. REQUIRES: records[0] is the root; children of each directory are
  /// contiguous and sorted by name.
  static std::string Encode(const IndexFacts& facts, std::span<const IndexRecord> records,
                            std::string_view strings, std::span<const uint32_t> block_checksums);

  /// Maps and checks the file: magic, version, length, its own checksum and every offset in it.
  /// Errors: kStorage, or kCorrupt when it is not what Encode made.
  static Result<std::unique_ptr<const Index>> Open(int directory_fd, const std::string& name);

  /// An index made in memory, of nothing but a root directory.
  static std::unique_ptr<const Index> OfEmptyTree(int64_t modification_time);

  ~Index();
  Index(const Index&) = delete;
  Index& operator=(const Index&) = delete;

  const IndexFacts& facts() const { return facts_; }
  uint32_t size() const { return static_cast<uint32_t>(records_.size()); }
  /// REQUIRES: number < size()
  const IndexRecord& record(uint32_t number) const { return records_[number]; }
  std::string_view Name(const IndexRecord& record) const;
  /// REQUIRES: a symbolic link
  std::string_view Target(const IndexRecord& record) const;
  std::optional<uint32_t> FindChild(const IndexRecord& directory, std::string_view name) const;
  std::span<const uint32_t> block_checksums() const { return block_checksums_; }

  /// Lets go of the pages that were touched; they come back from the page cache when needed.
  void ReleasePages() const;

 private:
  Index(IndexFacts facts, void* mapping, size_t mapping_size)
      : facts_(facts), mapping_(mapping), mapping_size_(mapping_size) {}
  Result<void> Bind(const std::string& name);

  IndexFacts facts_;
  void* mapping_;  // null: the records are in empty_root_
  size_t mapping_size_;
  std::span<const IndexRecord> records_;
  std::string_view strings_;
  std::span<const uint32_t> block_checksums_;
  IndexRecord empty_root_{};
};

}  // namespace ocirepofs
