#include "cache/catalog.h"

namespace ocirepofs {

std::shared_ptr<const Publication> Catalog::Find(const ObjectKey& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = publications_.find(key);
  return found == publications_.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<const Publication>> Catalog::All() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<const Publication>> all;
  all.reserve(publications_.size());
  for (const auto& [key, publication] : publications_) all.push_back(publication);
  return all;
}

void Catalog::Publish(std::shared_ptr<const Publication> publication) {
  const ObjectKey key = publication->repository->key;
  Change change = Change::kAdded;
  std::shared_ptr<const Publication> replaced;  // let go of outside the lock
  {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<const Publication>& current = publications_[key];
    if (current != nullptr) {
      change = current->snapshot == publication->snapshot ? Change::kStatus : Change::kSnapshot;
    }
    replaced = std::exchange(current, std::move(publication));
  }
  if (listener_) listener_(key, change);
}

void Catalog::Remove(const ObjectKey& key) {
  std::shared_ptr<const Publication> removed;
  {
    const std::lock_guard lock(mutex_);
    const auto found = publications_.find(key);
    if (found == publications_.end()) return;
    removed = std::move(found->second);
    publications_.erase(found);
  }
  if (listener_) listener_(key, Change::kRemoved);
}

std::shared_ptr<const Snapshot> Catalog::NewSnapshot(const ObjectKey& key,
                                                     std::shared_ptr<const Image> image,
                                                     std::optional<Artifact> artifact) {
  return std::make_shared<const Snapshot>(Snapshot{.serial = next_serial_++,
                                                   .key = key,
                                                   .image = std::move(image),
                                                   .artifact = std::move(artifact)});
}

}  // namespace ocirepofs
