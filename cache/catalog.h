#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "cache/image.h"
#include "conf/manifest/manifest.h"
#include "conf/status.h"

namespace ocirepofs {

/// One revision as readers see it. Immutable. The serial names it for the life of the process and
/// is never used twice; node IDs are made from it.
struct Snapshot {
  uint32_t serial = 0;
  ObjectKey key;
  std::shared_ptr<const Image> image;
  std::optional<Artifact> artifact;  // nothing while the repository has no contents
};

/// What is current for one repository at one moment. Immutable.
struct Publication {
  std::shared_ptr<const OciRepository> repository;
  SourceStatus status;
  std::shared_ptr<const Snapshot> snapshot;  // never null
};

/// All repositories that are configured, each with what is current. The meeting point of those who
/// fetch and those who show: a reader copies a pointer under a lock that is held for nothing else.
/// Any thread.
class Catalog {
 public:
  enum class Change { kStatus, kSnapshot, kAdded, kRemoved };
  /// Called after each change, on the thread that made it, with no lock held.
  using Listener = std::function<void(const ObjectKey& key, Change change)>;

  /// REQUIRES: called before any other thread uses the catalog.
  void SetListener(Listener listener) { listener_ = std::move(listener); }

  /// Null where no such repository is configured.
  std::shared_ptr<const Publication> Find(const ObjectKey& key) const;
  /// In order of their keys.
  std::vector<std::shared_ptr<const Publication>> All() const;

  void Publish(std::shared_ptr<const Publication> publication);
  void Remove(const ObjectKey& key);

  /// A new revision, not yet visible.
  std::shared_ptr<const Snapshot> NewSnapshot(const ObjectKey& key,
                                              std::shared_ptr<const Image> image,
                                              std::optional<Artifact> artifact);

 private:
  Listener listener_;
  std::atomic<uint32_t> next_serial_ = 1;
  mutable std::mutex mutex_;
  std::map<ObjectKey, std::shared_ptr<const Publication>> publications_;  // guarded by mutex_
};

}  // namespace ocirepofs
