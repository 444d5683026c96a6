#include "fs/status_files.h"

#include <algorithm>

namespace ocirepofs {

StatusFiles::File StatusFiles::Open(const ObjectKey& key, const std::shared_ptr<const void>& source,
                                    const std::function<std::string()>& render) {
  const std::lock_guard lock(mutex_);
  Current& current = current_[key];
  if (current.node == 0 || source == nullptr || current.source.lock() != source) {
    std::string text = render();
    if (current.node == 0 || *versions_.at(current.node).file.text != text) {
      if (current.node != 0) Retire(current.node);
      current.node = kBit | next_++;
      File& file = versions_[current.node].file;
      file.node = current.node;
      file.text = std::make_shared<const std::string>(std::move(text));
      clock_gettime(CLOCK_REALTIME, &file.changed);
    }
    current.source = source;
  }
  Version& version = versions_.at(current.node);
  ++version.count;
  return version.file;
}

std::optional<StatusFiles::File> StatusFiles::Find(Node node) const {
  const std::lock_guard lock(mutex_);
  const auto found = versions_.find(node);
  if (found == versions_.end()) return std::nullopt;
  return found->second.file;
}

void StatusFiles::Forget(Node node, uint64_t count) {
  const std::lock_guard lock(mutex_);
  const auto version = versions_.find(node);
  if (version == versions_.end()) return;
  version->second.count -= std::min(count, version->second.count);
  if (version->second.count == 0 && !version->second.current) versions_.erase(version);
}

void StatusFiles::Drop(const ObjectKey& key) {
  const std::lock_guard lock(mutex_);
  const auto current = current_.find(key);
  if (current == current_.end()) return;
  Retire(current->second.node);
  current_.erase(current);
}

/// REQUIRES: mutex_ is held.
void StatusFiles::Retire(Node node) {
  const auto version = versions_.find(node);
  version->second.current = false;
  if (version->second.count == 0) versions_.erase(version);
}

}  // namespace ocirepofs
