#pragma once

#include <sys/types.h>

#include <cstdint>
#include <ctime>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "conf/manifest/manifest.h"

namespace ocirepofs {

/// The `.status` files. Each version of a text is a node of its own, immutable, so that a reader
/// never sees half of one and half of another, and what stat says is true. A version lives while it
/// is the current one or the kernel counts it. Any thread.
class StatusFiles {
 public:
  using Node = uint64_t;
  /// Node numbers of this class, and no others, have this bit.
  static constexpr Node kBit = Node{1} << 63;

  struct File {
    Node node = 0;
    std::shared_ptr<const std::string> text;
    timespec changed{};  // when this text first was current
  };

  /// The current version for `key`, counted once. `render` is called under this class's lock,
  /// unless the last version was rendered from the same `source` (null: never the same).
  File Open(const ObjectKey& key, const std::shared_ptr<const void>& source,
            const std::function<std::string()>& render);
  std::optional<File> Find(Node node) const;
  void Forget(Node node, uint64_t count);
  /// There is no current version for `key` any more.
  void Drop(const ObjectKey& key);

 private:
  struct Version {
    File file;
    uint64_t count = 0;
    bool current = true;
  };
  struct Current {
    std::weak_ptr<const void> source;  // weak: a status must not keep a revision alive
    Node node = 0;
  };
  void Retire(Node node);

  mutable std::mutex mutex_;
  std::map<Node, Version> versions_;      // guarded by mutex_
  std::map<ObjectKey, Current> current_;  // guarded by mutex_
  uint64_t next_ = 1;                     // guarded by mutex_
};

}  // namespace ocirepofs
