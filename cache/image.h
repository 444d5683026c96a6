#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cache/file.h"
#include "cache/index.h"
#include "conf/error.h"

namespace ocirepofs {

/// One revision as it is served: an index and the tarball it describes. Holds both open, so that it
/// can be read to its end after its names are gone from the cache. Immutable; any thread.
class Image {
 public:
  /// Opens `<stem>`'s index and tarball; checks the index, and the tarball's length. The tarball's
  /// bytes are checked as they are read. Errors: kStorage, kCorrupt.
  static Result<std::shared_ptr<const Image>> Open(int directory_fd, std::string_view stem);
  static std::shared_ptr<const Image> Empty(int64_t modification_time);

  const Index& index() const { return *index_; }
  const std::string& stem() const { return stem_; }  // empty for Empty()

  /// A reader's working memory: the blocks it read last, so that files that lie one behind the
  /// other in a block cost one read. One thread each; it may serve many images in turn.
  class Scratch {
   private:
    friend class Image;
    std::weak_ptr<const Image> image_;
    uint64_t first_block_ = 0;
    uint64_t block_count_ = 0;
    std::vector<std::byte> bytes_;  // the blocks as they are in the file, headers included
  };

  /// Reads `size` bytes at `offset` of the tar stream. The pieces of `out` point into `scratch` and
  /// live until its next use. Every byte was checked: kCorrupt when the disk returned something
  /// else than was written, kStorage when it returned nothing.
  /// REQUIRES: offset + size <= index().facts().tar_size
  static Result<void> Read(const std::shared_ptr<const Image>& image, uint64_t offset, size_t size,
                           Scratch* scratch, std::vector<iovec>* out);

 private:
  Image(std::string stem, std::unique_ptr<const Index> index, UniqueFd tarball)
      : stem_(std::move(stem)), index_(std::move(index)), tarball_(std::move(tarball)) {}

  Result<void> Load(uint64_t first_block, uint64_t block_count, Scratch* scratch) const;

  const std::string stem_;
  const std::unique_ptr<const Index> index_;
  const UniqueFd tarball_;
};

}  // namespace ocirepofs
