#pragma once

#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cache/catalog.h"
#include "cache/image.h"
#include "conf/clock.h"
#include "conf/options.h"
#include "fs/status_files.h"

namespace ocirepofs {

/// The mounted tree as node numbers, without FUSE. Any thread.
///
/// A node number is computed, never stored a file: the revision's serial in the upper half, the
/// record of its index in the lower. Everything with such a number is immutable, so the kernel may
/// keep what it was told for ever. The few others are the directories above the repositories, which
/// change when repositories come and go, and `.status`, of which each version is a node of its own.
///
/// Lifetimes: the kernel counts what it was told by Lookup and by directory entries, and gives the
/// counts back by Forget. They are summed a revision; a revision stays here, and with it its open
/// tarball, while it is counted, whether or not it is still current.
///
/// Methods return 0 or an errno value.
class Tree {
 public:
  using Node = uint64_t;
  static constexpr Node kRoot = 1;  // FUSE_ROOT_ID

  struct Options {
    Layout layout = Layout::kFlat;
    uid_t uid = 0;
    gid_t gid = 0;
    mode_t umask = 0;
    std::string cache_url;  // see RenderStatus
  };

  /// How long the kernel may believe an answer.
  enum class Lifetime {
    kNone,     // ask each time
    kBrief,    // a second at most: what a switch replaces
    kForever,  // immutable
  };

  struct Entry {
    Node node = 0;  // 0: listed without being counted; the kernel asks when it wants more
    struct stat attributes {};
    Lifetime lifetime = Lifetime::kNone;  // of the name
    Lifetime attribute_lifetime = Lifetime::kForever;
  };

  /// One step of a listing; false ends it (the reply is full).
  using Lister = std::function<bool(std::string_view name, const Entry& entry, off_t next_cookie)>;

  /// `catalog` and `clock` outlive the tree.
  Tree(const Catalog* catalog, const Clock* clock, Options options);

  /// Keeps the directories above the repositories in step with the catalog. Tells the directory
  /// in which the name appeared or vanished, for the kernel to be told.
  struct NameChange {
    Node parent;
    std::string name;
  };
  std::vector<NameChange> AddRepository(const ObjectKey& key);
  std::vector<NameChange> RemoveRepository(const ObjectKey& key);
  /// The directory and name under which a repository is mounted; nothing when it is not.
  std::optional<NameChange> Locate(const ObjectKey& key) const;

  /// Counts the entry once when it returns 0. With ENOENT, the entry's lifetime says how long the
  /// name may be believed not to be there.
  int Lookup(Node parent, std::string_view name, Entry* entry);
  int GetAttributes(Node node, struct stat* attributes, Lifetime* lifetime);
  int ReadLink(Node node, std::string* target);
  /// Which entries of a listing come with their node, so that the kernel makes inodes of them and
  /// need not look them up; they are counted once each.
  enum class WithNodes { kNone, kDirectories, kAll };

  /// Lists from `cookie` on (0: the start), without `.` and `..`.
  int List(Node directory, off_t cookie, WithNodes with_nodes, const Lister& lister);
  /// The kernel gives `count` counts of the node back. A number it never had is ignored.
  void Forget(Node node, uint64_t count);

  /// Working memory of one reading thread.
  struct ReadBuffer {
    Image::Scratch scratch;
    std::vector<iovec> pieces;          // of the answer, after Read
    std::shared_ptr<const void> holds;  // keeps the pieces alive
  };
  /// Short at the end of the file. A damaged block is EIO, and is reported to OnDamage.
  int Read(Node node, off_t offset, size_t size, ReadBuffer* buffer);

  /// The extended attributes of a repository's directory; none on anything else.
  int GetXattrs(Node node, std::map<std::string, std::string>* attributes);

  /// Where Read reports that what the cache holds of a snapshot is not what was written.
  void SetDamageListener(std::function<void(const ObjectKey& key, uint32_t serial)> listener) {
    on_damage_ = std::move(listener);
  }

  /// Lets go of the pages of the indexes; they come back from the page cache when needed.
  void ReleasePages() const;

 private:
  /// A directory above the repositories. Names keep an ordinal for as long as they live, so that a
  /// listing that is interrupted by a change neither skips nor repeats what stayed.
  struct UpperDirectory {
    struct Child {
      std::string name;
      Node directory = 0;  // of a namespace; 0 for a repository
      ObjectKey repository;
    };
    std::map<uint64_t, Child> children;  // by ordinal
    /// Who wants a name, in order of arrival: the first has it. With one directory for all, the
    /// next may come before the former has gone.
    std::map<std::string, std::vector<ObjectKey>, std::less<>> claims;
    std::map<std::string, uint64_t, std::less<>> ordinals;
    timespec changed{};
  };

  /// A revision the kernel was told of.
  struct Revision {
    explicit Revision(std::shared_ptr<const Snapshot> of) : snapshot(std::move(of)) {}
    std::shared_ptr<const Snapshot> snapshot;
    std::atomic<uint64_t> count = 0;
  };

  void AddName(Node parent, UpperDirectory::Child child, std::vector<NameChange>* changes);
  void RemoveName(Node parent, const std::string& name, std::vector<NameChange>* changes);
  std::optional<Node> ParentOf(const ObjectKey& key) const;
  std::shared_ptr<const Snapshot> FindSnapshot(Node node) const;
  void Count(const std::shared_ptr<const Snapshot>& snapshot, uint64_t count);
  void Describe(const Snapshot& snapshot, uint32_t record, struct stat* attributes) const;
  void DescribeUpper(Node node, const UpperDirectory& directory, struct stat* attributes) const;
  void DescribeStatus(const StatusFiles::File& file, struct stat* attributes) const;
  int LookupUpper(Node parent, std::string_view name, Entry* entry);
  int LookupStatus(const ObjectKey& key, Entry* entry);
  int LookupTable(Entry* entry);
  int AnswerStatus(const StatusFiles::File& file, Entry* entry);
  int ListUpper(Node directory, off_t cookie, const Lister& lister);

  const Catalog* const catalog_;
  const Clock* const clock_;
  const Options options_;
  std::function<void(const ObjectKey&, uint32_t)> on_damage_;

  // Each mutex is a leaf, but that the catalog's own, which is held for a copy only, may be taken
  // under that of status_files_. Nothing is waited for while one is held.
  mutable std::shared_mutex revisions_mutex_;
  std::unordered_map<uint32_t, std::unique_ptr<Revision>> revisions_;  // guarded; by serial

  mutable std::mutex upper_mutex_;
  std::map<Node, UpperDirectory> upper_;             // guarded
  std::map<std::string, Node, std::less<>> spaces_;  // guarded; a namespace keeps its node
  uint64_t next_ordinal_ = 2;  // guarded; 1 is the cookie of the root's `.status`

  StatusFiles status_files_;
};

}  // namespace ocirepofs
