#define FUSE_USE_VERSION 312

#include "fs/session.h"

#include <fuse_lowlevel.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>

#include "fs/mount_table.h"

namespace ocirepofs {
namespace {

/// An hour-long timeout is a promise that has to be made again; this one need not be.
constexpr double kForeverSeconds = 1e9;
constexpr double kBriefSeconds = 1;
constexpr unsigned kMaxBackground = 64;
constexpr char kReadAheadKilobytes[] = "1024";
constexpr int kWholeListings = 256;
constexpr unsigned kReleasePagesEvery = 512;
constexpr auto kEndPollInterval = std::chrono::milliseconds(20);

double Seconds(Tree::Lifetime lifetime) {
  switch (lifetime) {
    case Tree::Lifetime::kNone:
      return 0;
    case Tree::Lifetime::kBrief:
      return kBriefSeconds;
    case Tree::Lifetime::kForever:
      return kForeverSeconds;
  }
  return 0;
}

fuse_entry_param ToFuse(const Tree::Entry& entry) {
  fuse_entry_param param{};
  param.ino = entry.node;
  param.attr = entry.attributes;
  param.entry_timeout = Seconds(entry.lifetime);
  param.attr_timeout = Seconds(entry.attribute_lifetime);
  return param;
}

Tree::ReadBuffer& ThreadReadBuffer() {
  thread_local Tree::ReadBuffer buffer;
  return buffer;
}

std::vector<char>& ThreadListBuffer() {
  thread_local std::vector<char> buffer;
  return buffer;
}

/// Sequential reads are cut to the device's read-ahead, 128 KiB by default; the kernel takes more.
/// Best effort: only root may raise it.
void RaiseReadAhead(const std::string& mountpoint) {
  struct stat at {};
  if (lstat(mountpoint.c_str(), &at) != 0) return;
  std::ofstream file(
      fmt::format("/sys/class/bdi/{}:{}/read_ahead_kb", major(at.st_dev), minor(at.st_dev)));
  file << kReadAheadKilobytes;
}

}  // namespace

std::string RequestCounts::ToString() const {
  static constexpr std::array<std::string_view, kKinds> kNames = {
      "lookup", "getattr", "readlink", "readdir", "readdirplus", "read", "getxattr", "other"};
  std::string text;
  uint64_t total = 0;
  for (size_t kind = 0; kind < kKinds; ++kind) {
    const uint64_t count = counts_[kind];
    total += count;
    text += fmt::format("{}={} ", kNames[kind], count);
  }
  return text + fmt::format("total={}", total);
}

/// The callbacks of libfuse. Each replies exactly once, and lets nothing escape: what is thrown
/// (out of memory) becomes EIO. Kinds that are not here at all (flush, access, …) libfuse answers
/// with ENOSYS, and the kernel does not ask again.
struct FuseOperations {
  template <class Body>
  static void Answer(fuse_req_t request, RequestCounts::Kind kind, Body body) noexcept {
    auto* self = static_cast<Session*>(fuse_req_userdata(request));
    self->counts_.Add(kind);
    try {
      const int error = body(self);
      if (error != 0) fuse_reply_err(request, error);
    } catch (...) {
      fuse_reply_err(request, EIO);
    }
  }

  // Making an inode of every name costs the kernel most of a cold walk that reads names only
  // (find), and saves a LOOKUP a name for one that goes on to each file (ls -l, grep, tar). So
  // listings come with nodes for directories alone until a file is asked for, and then whole for a
  // while.
  static void NoteDemand(Session* self) {
    self->whole_listings_.store(kWholeListings, std::memory_order_relaxed);
  }
  static Tree::WithNodes NodesToList(Session* self) {
    const int left = self->whole_listings_.load(std::memory_order_relaxed);
    if (left <= 0) return Tree::WithNodes::kDirectories;
    self->whole_listings_.store(left - 1, std::memory_order_relaxed);
    return Tree::WithNodes::kAll;
  }

  static void Init(void* userdata, fuse_conn_info* connection) noexcept {
    auto* self = static_cast<Session*>(userdata);
    self->without_open_ = (connection->capable & FUSE_CAP_NO_OPEN_SUPPORT) != 0;
    self->without_opendir_ = (connection->capable & FUSE_CAP_NO_OPENDIR_SUPPORT) != 0;
    connection->want |= connection->capable & (FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_EXPIRE_ONLY);
    // Splicing pays for pages that are moved, not for replies that are gathered from memory.
    connection->want &=
        ~static_cast<unsigned>(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
    connection->max_background = kMaxBackground;
  }

  static void Lookup(fuse_req_t request, fuse_ino_t parent, const char* name) noexcept {
    Answer(request, RequestCounts::kLookup, [&](Session* self) {
      Tree::Entry entry;
      const int error = self->tree_->Lookup(parent, name, &entry);
      // A name's absence is kept by the kernel only when it comes as an entry without a node.
      const bool absent_for_ever = error == ENOENT && entry.lifetime == Tree::Lifetime::kForever;
      if (error != 0 && !absent_for_ever) return error;
      if (S_ISREG(entry.attributes.st_mode) && entry.lifetime == Tree::Lifetime::kForever) {
        NoteDemand(self);
      }
      const fuse_entry_param param = ToFuse(entry);
      // A caller that was interrupted meanwhile is not told, and the kernel has counted nothing.
      if (fuse_reply_entry(request, &param) != 0 && entry.node != 0) {
        self->tree_->Forget(entry.node, 1);
      }
      return 0;
    });
  }

  static void Forget(fuse_req_t request, fuse_ino_t node, uint64_t count) noexcept {
    static_cast<Session*>(fuse_req_userdata(request))->tree_->Forget(node, count);
    fuse_reply_none(request);
  }

  static void ForgetMulti(fuse_req_t request, size_t count, fuse_forget_data* forgets) noexcept {
    Tree* tree = static_cast<Session*>(fuse_req_userdata(request))->tree_;
    for (size_t i = 0; i < count; ++i) tree->Forget(forgets[i].ino, forgets[i].nlookup);
    fuse_reply_none(request);
  }

  static void GetAttributes(fuse_req_t request, fuse_ino_t node, fuse_file_info*) noexcept {
    Answer(request, RequestCounts::kGetattr, [&](Session* self) {
      struct stat attributes {};
      Tree::Lifetime lifetime = Tree::Lifetime::kNone;
      const int error = self->tree_->GetAttributes(node, &attributes, &lifetime);
      if (error == 0) fuse_reply_attr(request, &attributes, Seconds(lifetime));
      return error;
    });
  }

  static void ReadLink(fuse_req_t request, fuse_ino_t node) noexcept {
    Answer(request, RequestCounts::kReadlink, [&](Session* self) {
      std::string target;
      const int error = self->tree_->ReadLink(node, &target);
      if (error == 0) fuse_reply_readlink(request, target.c_str());
      return error;
    });
  }

  static void Open(fuse_req_t request, fuse_ino_t, fuse_file_info* info) noexcept {
    Answer(request, RequestCounts::kOther, [&](Session* self) {
      if (self->without_open_) return ENOSYS;  // never asked again; pages are kept
      info->keep_cache = 1;
      fuse_reply_open(request, info);
      return 0;
    });
  }

  static void OpenDirectory(fuse_req_t request, fuse_ino_t, fuse_file_info* info) noexcept {
    Answer(request, RequestCounts::kOther, [&](Session* self) {
      if (self->without_opendir_) return ENOSYS;
      info->keep_cache = 1;
      info->cache_readdir = 1;
      fuse_reply_open(request, info);
      return 0;
    });
  }

  static void Read(fuse_req_t request, fuse_ino_t node, size_t size, off_t offset,
                   fuse_file_info*) noexcept {
    Answer(request, RequestCounts::kRead, [&](Session* self) {
      NoteDemand(self);
      Tree::ReadBuffer& buffer = ThreadReadBuffer();
      const int error = self->tree_->Read(node, offset, size, &buffer);
      if (error == 0) {
        fuse_reply_iov(request, buffer.pieces.data(), static_cast<int>(buffer.pieces.size()));
      }
      buffer.holds.reset();
      return error;
    });
  }

  template <class AddEntry>
  static void List(fuse_req_t request, RequestCounts::Kind kind, fuse_ino_t node, size_t size,
                   off_t cookie, AddEntry add_entry) noexcept {
    Answer(request, kind, [&](Session* self) {
      const Tree::WithNodes with_nodes =
          kind == RequestCounts::kReaddirplus ? NodesToList(self) : Tree::WithNodes::kNone;
      std::vector<char>& buffer = ThreadListBuffer();
      buffer.resize(size);
      size_t used = 0;
      uint64_t counted = 0;
      std::string terminated;
      const int error =
          self->tree_->List(node, cookie, with_nodes,
                            [&](std::string_view name, const Tree::Entry& entry, off_t next) {
                              terminated = name;
                              const size_t needed = add_entry(buffer.data() + used, size - used,
                                                              terminated.c_str(), entry, next);
                              if (needed > size - used) return false;
                              used += needed;
                              if (entry.node != 0) ++counted;
                              return true;
                            });
      if (error != 0) return error;
      if (fuse_reply_buf(request, buffer.data(), used) != 0 && counted > 0) {
        self->tree_->Forget(node, counted);  // all of them are of the directory's revision
      }
      return 0;
    });
  }

  static void ReadDirectory(fuse_req_t request, fuse_ino_t node, size_t size, off_t cookie,
                            fuse_file_info*) noexcept {
    List(request, RequestCounts::kReaddir, node, size, cookie,
         [request](char* out, size_t room, const char* name, const Tree::Entry& entry, off_t next) {
           return fuse_add_direntry(request, out, room, name, &entry.attributes, next);
         });
  }

  static void ReadDirectoryPlus(fuse_req_t request, fuse_ino_t node, size_t size, off_t cookie,
                                fuse_file_info*) noexcept {
    List(request, RequestCounts::kReaddirplus, node, size, cookie,
         [request](char* out, size_t room, const char* name, const Tree::Entry& entry, off_t next) {
           const fuse_entry_param param = ToFuse(entry);
           return fuse_add_direntry_plus(request, out, room, name, &param, next);
         });
  }

  static void ReplySized(fuse_req_t request, const std::string& value, size_t size) {
    if (size == 0) {
      fuse_reply_xattr(request, value.size());
    } else if (value.size() > size) {
      fuse_reply_err(request, ERANGE);
    } else {
      fuse_reply_buf(request, value.data(), value.size());
    }
  }

  static void GetXattr(fuse_req_t request, fuse_ino_t node, const char* name,
                       size_t size) noexcept {
    Answer(request, RequestCounts::kGetxattr, [&](Session* self) {
      // "Not supported" rather than "no such": programs that look for labels or access lists on
      // every file, as ls does, take it as said for the whole file system.
      if (std::string_view(name).substr(0, 5) != "user.") return EOPNOTSUPP;
      std::map<std::string, std::string> attributes;
      const int error = self->tree_->GetXattrs(node, &attributes);
      if (error != 0) return error;
      const auto found = attributes.find(name);
      if (found == attributes.end()) return ENODATA;
      ReplySized(request, found->second, size);
      return 0;
    });
  }

  static void ListXattr(fuse_req_t request, fuse_ino_t node, size_t size) noexcept {
    Answer(request, RequestCounts::kGetxattr, [&](Session* self) {
      std::map<std::string, std::string> attributes;
      const int error = self->tree_->GetXattrs(node, &attributes);
      if (error != 0 && error != EOPNOTSUPP) return error;
      std::string names;
      for (const auto& [name, value] : attributes) names.append(name).push_back('\0');
      ReplySized(request, names, size);
      return 0;
    });
  }

  static fuse_lowlevel_ops Table() {
    fuse_lowlevel_ops table{};
    table.init = Init;
    table.lookup = Lookup;
    table.forget = Forget;
    table.forget_multi = ForgetMulti;
    table.getattr = GetAttributes;
    table.readlink = ReadLink;
    table.open = Open;
    table.opendir = OpenDirectory;
    table.read = Read;
    table.readdir = ReadDirectory;
    table.readdirplus = ReadDirectoryPlus;
    table.getxattr = GetXattr;
    table.listxattr = ListXattr;
    return table;
  }
};

Result<std::unique_ptr<Session>> Session::Mount(Tree* tree, const std::string& mountpoint,
                                                const Options& options) {
  if (auto cleared = ClearStaleMount(mountpoint); !cleared) {
    return tl::unexpected(cleared.error());
  }
  struct stat at {};
  if (stat(mountpoint.c_str(), &at) != 0) {
    return FailErrno(errno, fmt::format("mountpoint {}", mountpoint));
  }
  if (!S_ISDIR(at.st_mode)) {
    return FailErrno(ENOTDIR, fmt::format("mountpoint {}", mountpoint));
  }

  std::unique_ptr<Session> session(new Session(tree, mountpoint));
  session->threads_ = options.threads;
  std::string mount_options =
      "ro,nosuid,nodev,default_permissions,fsname=ocirepofs,subtype=ocirepofs";
  if (options.allow_other) mount_options += ",allow_other";
  if (options.noexec) mount_options += ",noexec";
  std::array<char*, 3> argv = {const_cast<char*>("ocirepofs"), const_cast<char*>("-o"),
                               mount_options.data()};
  fuse_args arguments = FUSE_ARGS_INIT(static_cast<int>(argv.size()), argv.data());
  const fuse_lowlevel_ops operations = FuseOperations::Table();
  session->session_ = fuse_session_new(&arguments, &operations, sizeof(operations), session.get());
  fuse_opt_free_args(&arguments);
  if (session->session_ == nullptr) {
    return Fail(ErrorCode::kStorage, "libfuse refused the mount options {}", mount_options);
  }
  // libfuse itself says on standard error why a mount was refused.
  if (fuse_session_mount(session->session_, mountpoint.c_str()) != 0) {
    return Fail(ErrorCode::kStorage, "cannot mount at {}", mountpoint);
  }
  return session;
}

Session::~Session() {
  for (std::thread& thread : serving_) thread.join();
  if (session_ != nullptr) {
    fuse_session_unmount(session_);  // closes the descriptor; the mount itself is gone by now
    fuse_session_destroy(session_);
  }
}

void Session::Serve(std::function<void()> on_end) {
  on_end_ = std::move(on_end);
  for (unsigned i = 0; i < threads_; ++i) serving_.emplace_back([this] { ServeOnThisThread(); });
  struct stat at {};
  if (lstat(mountpoint_.c_str(), &at) == 0) device_minor_ = minor(at.st_dev);
  RaiseReadAhead(mountpoint_);
}

void Session::ServeOnThisThread() {
  fuse_buf buffer{};
  for (unsigned served = 1; fuse_session_exited(session_) == 0; ++served) {
    const int size = fuse_session_receive_buf(session_, &buffer);
    if (size == -EINTR) continue;
    if (size <= 0) break;
    fuse_session_process_buf(session_, &buffer);
    // A walk touches every page of an index; without this they would all count as the daemon's.
    if (served % kReleasePagesEvery == 0) tree_->ReleasePages();
  }
  std::free(buffer.mem);
  if (!ended_.exchange(true)) on_end_();
}

bool Session::Unmount(std::chrono::milliseconds patience) {
  const auto wait_for_end = [this](std::chrono::milliseconds limit) {
    for (auto waited = limit * 0; waited < limit && !ended_; waited += kEndPollInterval) {
      std::this_thread::sleep_for(kEndPollInterval);
    }
    return ended_.load();
  };
  if (!UnmountOnce(mountpoint_, /*lazily=*/false)) UnmountOnce(mountpoint_, /*lazily=*/true);
  if (wait_for_end(patience)) return true;
  std::ofstream(fmt::format("/sys/fs/fuse/connections/{}/abort", device_minor_)) << "1";
  return wait_for_end(std::chrono::seconds(1));
}

void Session::ExpireEntry(Tree::Node parent, const std::string& name) {
  // ENOENT means that the kernel holds no such name, which is as good.
  fuse_lowlevel_notify_expire_entry(session_, parent, name.c_str(), name.size(),
                                    FUSE_LL_EXPIRE_ONLY);
}

void Session::InvalidateDirectory(Tree::Node directory) {
  fuse_lowlevel_notify_inval_inode(session_, directory, 0, 0);
}

}  // namespace ocirepofs
