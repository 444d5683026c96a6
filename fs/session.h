#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "conf/error.h"
#include "fs/tree.h"

struct fuse_session;

namespace ocirepofs {

/// Requests of the kernel, counted by kind since the mount.
class RequestCounts {
 public:
  enum Kind {
    kLookup,
    kGetattr,
    kReadlink,
    kReaddir,
    kReaddirplus,
    kRead,
    kGetxattr,
    kOther,
    kKinds
  };

  void Add(Kind kind) { counts_[kind].fetch_add(1, std::memory_order_relaxed); }
  /// "lookup=1 getattr=2 … total=9". FORGET, which asks nothing, is not among them.
  std::string ToString() const;

 private:
  std::array<std::atomic<uint64_t>, kKinds> counts_{};
};

/// The connection to the kernel: translates FUSE requests into calls of a Tree, and nothing more.
/// Create, Serve and Unmount belong to one thread; the notifications are for one notifier thread.
class Session {
 public:
  struct Options {
    bool allow_other = false;
    bool noexec = false;
    unsigned threads = 3;
  };

  /// Mounts at `mountpoint`, an existing directory. `tree` outlives the session.
  static Result<std::unique_ptr<Session>> Mount(Tree* tree, const std::string& mountpoint,
                                                const Options& options);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Starts answering requests, on threads of its own; `on_end` is called once, on one of them,
  /// when the file system was unmounted, from here or from outside.
  void Serve(std::function<void()> on_end);
  /// Whether the kernel has let go of the connection.
  bool Ended() const { return ended_; }
  /// Unmounts, lazily when busy; readers of a busy mount have `patience` to finish before the
  /// connection is cut. False where even that did not end it: only the end of the process will.
  bool Unmount(std::chrono::milliseconds patience);

  /// Makes the kernel ask again for a name it may hold. Must not run on a thread that answers
  /// requests, nor under a lock that such a thread takes: the kernel holds the directory's lock
  /// while a request in it is being answered, and wants that lock here.
  void ExpireEntry(Tree::Node parent, const std::string& name);
  /// Makes the kernel forget the listing and attributes of a directory. As ExpireEntry.
  void InvalidateDirectory(Tree::Node directory);

  const RequestCounts& counts() const { return counts_; }

 private:
  friend struct FuseOperations;
  Session(Tree* tree, std::string mountpoint) : tree_(tree), mountpoint_(std::move(mountpoint)) {}
  void ServeOnThisThread();

  Tree* const tree_;
  const std::string mountpoint_;
  fuse_session* session_ = nullptr;
  unsigned threads_ = 0;
  unsigned device_minor_ = 0;     // names the connection under /sys/fs/fuse
  bool without_open_ = false;     // the kernel can do without OPEN
  bool without_opendir_ = false;  // … and without OPENDIR
  std::function<void()> on_end_;
  std::atomic<bool> ended_ = false;
  RequestCounts counts_;
  std::atomic<int> whole_listings_ = 0;  // see FuseOperations::NoteDemand
  std::vector<std::thread> serving_;
};

}  // namespace ocirepofs
