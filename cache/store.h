#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cache/file.h"
#include "cache/image.h"
#include "cache/image_writer.h"
#include "cache/record.h"
#include "conf/error.h"
#include "conf/manifest/manifest.h"

namespace ocirepofs {

/// The directory of one repository in the cache. One thread at a time; different repositories are
/// independent. Errors are kStorage, or kCorrupt for what was read and can't be trusted.
class RepositoryStore {
 public:
  RepositoryStore(ObjectKey key, UniqueFd directory)
      : key_(std::move(key)), directory_(std::move(directory)) {}

  const ObjectKey& key() const { return key_; }

  /// Nothing where there is no record yet.
  Result<std::optional<Record>> LoadRecord() const;
  Result<void> SaveRecord(const Record& record);

  bool HasImage(std::string_view stem) const;
  Result<std::shared_ptr<const Image>> OpenImage(std::string_view stem) const;
  Result<std::unique_ptr<ImageWriter>> NewImage(std::string stem, ImageWriter::Options options);

  /// For the file of an artifact that is kept unaltered beside its image.
  int directory_fd() const { return directory_.get(); }

  /// Points `latest.tar.gz` at the artifact of that stem.
  Result<void> SetLatest(std::string_view stem);

  /// Removes the files of every revision but these. Who holds one open reads it to its end.
  void CollectExcept(const std::set<std::string>& stems);
  /// Removes the files of one revision, because its bytes are not what they were.
  void Discard(std::string_view stem);

 private:
  ObjectKey key_;
  UniqueFd directory_;
};

/// The cache directory. Held by one process at a time. Any thread.
class Store {
 public:
  /// Opens or makes `path` (0700, owned by this user) and takes its lock. `holder` says in the lock
  /// file who has it ("process 12 serves /mnt/oci"); a second process is told it in its error.
  static Result<std::unique_ptr<Store>> Open(const std::string& path, const std::string& holder);

  const std::string& path() const { return path_; }

  /// Opens or makes the repository's directory, and removes what a crash left half-written there.
  Result<std::unique_ptr<RepositoryStore>> OpenRepository(const ObjectKey& key);

  /// While the artifacts take more than `limit` bytes, removes the oldest of those that are current
  /// for no repository. Those who read one read it to its end.
  void CollectBeyond(uint64_t limit);

  /// Removes repositories that are not in `present` and were not written to for `age`: what was
  /// taken out of CONFIG by mistake is still there when it is put back.
  void CollectAbsent(const std::set<ObjectKey>& present, std::chrono::hours age);

 private:
  Store(std::string path, UniqueFd directory, UniqueFd lock, UniqueFd repositories)
      : path_(std::move(path)),
        directory_(std::move(directory)),
        lock_(std::move(lock)),
        repositories_(std::move(repositories)) {}

  const std::string path_;
  const UniqueFd directory_;
  const UniqueFd lock_;
  const UniqueFd repositories_;
};

}  // namespace ocirepofs
