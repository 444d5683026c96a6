#include "conf/config_watcher.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>
#include <string_view>

namespace ocirepofs {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr uint32_t kNameEvents =
    IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR | IN_MASK_ADD;
constexpr uint32_t kContentEvents = kNameEvents | IN_CLOSE_WRITE | IN_MODIFY | IN_ATTRIB;

/// The link in a mounted ConfigMap whose replacement changes all files in one step.
constexpr std::string_view kConfigMapData = "..data";

/// Where all links at the end of `path` lead; empty where that is nowhere.
std::filesystem::path Resolve(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::canonical(path, error);
}

}  // namespace

/// The inotify side: which directories are watched, and for what.
class ConfigWatcher::Watches {
 public:
  enum class Seen { kNothing, kWriting, kChange };

  Watches(int fd, std::filesystem::path path) : fd_(fd), path_(std::move(path)) {}
  ~Watches() { close(fd_); }
  Watches(const Watches&) = delete;
  Watches& operator=(const Watches&) = delete;

  int fd() const { return fd_; }

  /// Watches what CONFIG is now. Fails when CONFIG can't be watched itself; the directories above
  /// it and those that links lead to are watched as far as possible.
  Result<void> Set() {
    std::map<int, Interest> before = std::move(interests_);
    interests_.clear();
    for (std::filesystem::path place = path_; place.has_relative_path();
         place = place.parent_path()) {
      Add(place.parent_path(), kNameEvents, place.filename().string());
    }
    Result<void> watched = SetContents();
    for (const auto& [descriptor, interest] : before) {
      if (!interests_.contains(descriptor)) inotify_rm_watch(fd_, descriptor);
    }
    return watched;
  }

  /// Takes all events that are queued. kWriting means that a file is being written and its writer
  /// has not closed it yet.
  Seen ReadEvents() {
    Seen seen = Seen::kNothing;
    alignas(inotify_event) std::array<char, size_t{16} << 10> buffer;
    while (true) {
      const ssize_t size = read(fd_, buffer.data(), buffer.size());
      if (size < 0 && errno == EINTR) continue;
      if (size <= 0) return seen;
      for (size_t at = 0; at < static_cast<size_t>(size);) {
        const auto* event = reinterpret_cast<const inotify_event*>(buffer.data() + at);
        seen = std::max(seen, Judge(*event));
        at += sizeof(inotify_event) + event->len;
      }
    }
  }

 private:
  /// The names that matter in a directory.
  struct Interest {
    bool contents = false;        // it is CONFIG: all names but hidden ones
    std::set<std::string> names;  // these
  };

  Result<void> SetContents() {
    std::error_code error;
    const std::filesystem::file_status status = std::filesystem::status(path_, error);
    if (!std::filesystem::exists(status)) {
      return FailErrno(error ? error.value() : ENOENT, path_.string());
    }
    if (!std::filesystem::is_directory(status)) {
      AddLinkTarget(path_);
      Interest* interest = Add(path_.parent_path(), kContentEvents, path_.filename().string());
      if (interest == nullptr) return FailErrno(errno, path_.parent_path().string());
      interest->names.emplace(kConfigMapData);
      return {};
    }
    Interest* interest = Add(path_, kContentEvents, std::string(kConfigMapData));
    if (interest == nullptr) return FailErrno(errno, path_.string());
    interest->contents = true;
    for (auto entry = std::filesystem::directory_iterator(path_, error);
         !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
      if (!entry->path().filename().string().starts_with('.')) AddLinkTarget(entry->path());
    }
    return {};
  }

  void AddLinkTarget(const std::filesystem::path& path) {
    std::error_code error;
    if (!std::filesystem::is_symlink(std::filesystem::symlink_status(path, error))) return;
    const std::filesystem::path target = Resolve(path);
    if (target.has_filename()) {
      Add(target.parent_path(), kContentEvents, target.filename().string());
    }
  }

  /// Null, and errno says why, where the directory can't be watched.
  Interest* Add(const std::filesystem::path& directory, uint32_t events, std::string name) {
    const int descriptor = inotify_add_watch(fd_, directory.c_str(), events);
    if (descriptor < 0) return nullptr;
    Interest& interest = interests_[descriptor];
    interest.names.insert(std::move(name));
    return &interest;
  }

  Seen Judge(const inotify_event& event) const {
    if ((event.mask & IN_Q_OVERFLOW) != 0) return Seen::kChange;
    const auto found = interests_.find(event.wd);
    if (found == interests_.end()) return Seen::kNothing;
    // The directory is gone, or the file system under it.
    if ((event.mask & IN_IGNORED) != 0) return Seen::kChange;
    if (event.len == 0) return Seen::kNothing;
    const std::string name(event.name);
    const bool matters =
        found->second.names.contains(name) || (found->second.contents && !name.starts_with('.'));
    if (!matters) return Seen::kNothing;
    return (event.mask & IN_MODIFY) != 0 ? Seen::kWriting : Seen::kChange;
  }

  const int fd_;
  const std::filesystem::path path_;   // absolute, without a slash at its end
  std::map<int, Interest> interests_;  // by watch descriptor
};

Result<std::unique_ptr<ConfigWatcher>> ConfigWatcher::Create(const std::string& path) {
  std::string trimmed = path;
  while (trimmed.size() > 1 && trimmed.ends_with('/')) trimmed.pop_back();
  std::error_code error;
  std::filesystem::path absolute = std::filesystem::absolute(trimmed, error);
  if (error) return FailErrno(error.value(), path);

  std::unique_ptr<ConfigWatcher> watcher(new ConfigWatcher);
  const int inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  if (inotify_fd < 0) return FailErrno(errno, "inotify");
  watcher->watches_ = std::make_unique<Watches>(inotify_fd, std::move(absolute));
  watcher->wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (watcher->wake_fd_ < 0) return FailErrno(errno, "eventfd");
  const Result<void> set = watcher->watches_->Set();
  if (!set) return Wrap(set.error(), "cannot watch");
  return watcher;
}

ConfigWatcher::~ConfigWatcher() {
  if (wake_fd_ >= 0) close(wake_fd_);
}

ConfigWatcher::Event ConfigWatcher::Wait(std::chrono::milliseconds settle) {
  constexpr int kMaxSettles = 10;
  const SteadyClock::time_point never = SteadyClock::time_point::max();
  SteadyClock::time_point quiet = never;  // when nothing will have happened for `settle`
  SteadyClock::time_point limit = never;
  while (true) {
    const SteadyClock::time_point now = SteadyClock::now();
    if (pending_ && limit == never) {
      quiet = now + settle;
      limit = now + kMaxSettles * settle;
    }
    int timeout_ms = -1;
    if (pending_) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(std::min(quiet, limit) - now);
      if (left <= left.zero()) {
        pending_ = false;
        return Event::kChanged;
      }
      timeout_ms = static_cast<int>(left.count());
    }
    std::array<pollfd, 2> fds = {{{watches_->fd(), POLLIN, 0}, {wake_fd_, POLLIN, 0}}};
    poll(fds.data(), fds.size(), timeout_ms);

    const Watches::Seen seen = watches_->ReadEvents();
    if (seen == Watches::Seen::kChange) {
      pending_ = true;
      // CONFIG may be gone for a moment; a directory above it then tells when it is back.
      static_cast<void>(watches_->Set());
    }
    if (seen != Watches::Seen::kNothing && pending_) quiet = SteadyClock::now() + settle;

    uint64_t count = 0;
    if (read(wake_fd_, &count, sizeof count) == sizeof count) return Event::kWoken;
  }
}

void ConfigWatcher::Wake() {
  const int saved_errno = errno;  // this may run inside a signal handler
  const uint64_t one = 1;
  // It fails only when the counter is full, and then a wake is waiting already.
  [[maybe_unused]] const ssize_t written = write(wake_fd_, &one, sizeof one);
  errno = saved_errno;
}

}  // namespace ocirepofs
