#include "cache/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <ctime>
#include <map>

#include "cache/names.h"

namespace ocirepofs {
namespace {

constexpr size_t kMaxRecordSize = size_t{16} << 20;
constexpr size_t kMaxLockSize = 4096;
constexpr time_t kSettleSeconds = 60;

/// Names in a directory, without `.` and `..`; empty when it can't be read.
std::vector<std::string> ListDirectory(int directory_fd) {
  std::vector<std::string> names;
  const int fd = openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(fd < 0 ? nullptr : fdopendir(fd), closedir);
  if (directory == nullptr) {
    if (fd >= 0) close(fd);
    return names;
  }
  while (const dirent* entry = readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  return names;
}

Result<void> MakeDirectories(const std::string& path) {
  for (size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const std::string prefix = path.substr(0, slash);
    if (mkdir(prefix.c_str(), 0700) != 0 && errno != EEXIST) {
      return FailErrno(errno, fmt::format("cannot make the cache directory {}", prefix));
    }
    if (slash == std::string::npos) return {};
  }
}

}  // namespace

Result<std::optional<Record>> RepositoryStore::LoadRecord() const {
  const std::string name(kRecordFile);
  if (faccessat(directory_.get(), name.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) != 0 &&
      errno == ENOENT) {
    return std::optional<Record>();
  }
  Result<std::string> text = ReadFileAt(directory_.get(), name, kMaxRecordSize);
  if (!text) return tl::unexpected(text.error());
  Result<Record> record = DecodeRecord(*text);
  if (!record) return tl::unexpected(record.error());
  return std::optional<Record>(std::move(*record));
}

Result<void> RepositoryStore::SaveRecord(const Record& record) {
  return ReplaceFileAt(directory_.get(), std::string(kRecordFile), EncodeRecord(record));
}

bool RepositoryStore::HasImage(std::string_view stem) const {
  return faccessat(directory_.get(), ArtifactName(stem).c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
         faccessat(directory_.get(), IndexName(stem).c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

Result<std::shared_ptr<const Image>> RepositoryStore::OpenImage(std::string_view stem) const {
  return Image::Open(directory_.get(), stem);
}

Result<std::unique_ptr<ImageWriter>> RepositoryStore::NewImage(std::string stem,
                                                               ImageWriter::Options options) {
  return ImageWriter::Create(directory_.get(), std::move(stem), std::move(options));
}

Result<void> RepositoryStore::SetLatest(std::string_view stem) {
  const std::string link(kLatestLink);
  const std::string temporary = TemporaryName(link);
  unlinkat(directory_.get(), temporary.c_str(), 0);
  if (symlinkat(ArtifactName(stem).c_str(), directory_.get(), temporary.c_str()) != 0) {
    return FailErrno(errno, fmt::format("cannot link {}", link));
  }
  return CommitAt(directory_.get(), temporary, link);
}

void RepositoryStore::CollectExcept(const std::set<std::string>& stems) {
  for (const std::string& name : ListDirectory(directory_.get())) {
    const std::string stem(StemOf(name));
    if (!stem.empty() && !stems.contains(stem)) unlinkat(directory_.get(), name.c_str(), 0);
  }
}

void RepositoryStore::Discard(std::string_view stem) {
  for (const std::string& name : {IndexName(stem), ImageName(stem), ArtifactName(stem)}) {
    unlinkat(directory_.get(), name.c_str(), 0);
  }
}

Result<std::unique_ptr<Store>> Store::Open(const std::string& path, const std::string& holder) {
  if (auto made = MakeDirectories(path); !made) return tl::unexpected(made.error());
  UniqueFd directory(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct stat info {};
  if (!directory.valid() || fstat(directory.get(), &info) != 0) {
    return FailErrno(errno, fmt::format("cannot open the cache directory {}", path));
  }
  if (info.st_uid != geteuid() || (info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return Fail(ErrorCode::kStorage,
                "the cache directory {} must belong to the user that mounts, and be writable by "
                "nobody else",
                path);
  }
  if (fchmod(directory.get(), 0700) != 0) {
    return FailErrno(errno, fmt::format("cannot protect the cache directory {}", path));
  }

  Result<UniqueFd> lock = OpenAt(directory.get(), std::string(kLockFile), O_RDWR | O_CREAT, 0600);
  if (!lock) return Wrap(lock.error(), fmt::format("cache directory {}", path));
  if (flock(lock->get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return FailErrno(errno, fmt::format("cannot lock {}", path));
    const auto other = ReadFileAt(directory.get(), std::string(kLockFile), kMaxLockSize);
    return Fail(ErrorCode::kStorage,
                "the cache directory {} is in use ({}); choose another with -o cache=DIR", path,
                other ? *other : std::string("by another process"));
  }
  if (ftruncate(lock->get(), 0) != 0) return FailErrno(errno, "cannot write the lock file");
  if (auto written = WriteAll(lock->get(), std::as_bytes(std::span(holder)), "the lock file");
      !written) {
    return tl::unexpected(written.error());
  }

  Result<UniqueFd> repositories =
      MakeDirectoryAt(directory.get(), std::string(kRepositoriesDirectory));
  if (!repositories) return Wrap(repositories.error(), fmt::format("cache directory {}", path));
  return std::unique_ptr<Store>(
      new Store(path, std::move(directory), std::move(*lock), std::move(*repositories)));
}

Result<std::unique_ptr<RepositoryStore>> Store::OpenRepository(const ObjectKey& key) {
  Result<UniqueFd> space = MakeDirectoryAt(repositories_.get(), key.namespace_name);
  if (!space) return tl::unexpected(space.error());
  Result<UniqueFd> directory = MakeDirectoryAt(space->get(), key.name);
  if (!directory) return tl::unexpected(directory.error());
  for (const std::string& name : ListDirectory(directory->get())) {
    if (IsTemporaryName(name)) unlinkat(directory->get(), name.c_str(), 0);
  }
  return std::make_unique<RepositoryStore>(key, std::move(*directory));
}

void Store::CollectBeyond(uint64_t limit) {
  struct File {
    std::string directory;
    std::string name;
    uint64_t size;
  };
  std::multimap<time_t, File> superseded;
  uint64_t total = 0;
  const time_t settled = std::time(nullptr) - kSettleSeconds;
  for (const std::string& space : ListDirectory(repositories_.get())) {
    Result<UniqueFd> space_fd = OpenAt(repositories_.get(), space, O_RDONLY | O_DIRECTORY);
    if (!space_fd) continue;
    for (const std::string& name : ListDirectory(space_fd->get())) {
      Result<UniqueFd> directory = OpenAt(space_fd->get(), name, O_RDONLY | O_DIRECTORY);
      if (!directory) continue;
      std::array<char, NAME_MAX + 1> target{};
      const ssize_t length = readlinkat(directory->get(), std::string(kLatestLink).c_str(),
                                        target.data(), target.size() - 1);
      if (length < 0) continue;  // nothing tells which one is current
      const std::string_view current = StemOf({target.data(), static_cast<size_t>(length)});
      for (const std::string& file : ListDirectory(directory->get())) {
        struct stat info {};
        const std::string_view stem = StemOf(file);
        if (stem.empty() ||
            fstatat(directory->get(), file.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(info.st_mode)) {
          continue;
        }
        total += static_cast<uint64_t>(info.st_size);
        // What was written just now may be about to become current.
        if (stem == current || info.st_mtime > settled) continue;
        superseded.emplace(info.st_mtime, File{fmt::format("{}/{}", space, name), file,
                                               static_cast<uint64_t>(info.st_size)});
      }
    }
  }
  for (const auto& [time, file] : superseded) {
    if (total <= limit) return;
    if (unlinkat(repositories_.get(), fmt::format("{}/{}", file.directory, file.name).c_str(), 0) ==
        0) {
      total -= file.size;
    }
  }
}

void Store::CollectAbsent(const std::set<ObjectKey>& present, std::chrono::hours age) {
  const time_t oldest = std::time(nullptr) - std::chrono::seconds(age).count();
  for (const std::string& space_name : ListDirectory(repositories_.get())) {
    Result<UniqueFd> space = OpenAt(repositories_.get(), space_name, O_RDONLY | O_DIRECTORY);
    if (!space) continue;
    for (const std::string& name : ListDirectory(space->get())) {
      struct stat info {};
      if (present.contains({space_name, name}) ||
          fstatat(space->get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 ||
          info.st_mtime > oldest) {
        continue;
      }
      Result<UniqueFd> directory = OpenAt(space->get(), name, O_RDONLY | O_DIRECTORY);
      if (!directory) continue;
      for (const std::string& file : ListDirectory(directory->get())) {
        unlinkat(directory->get(), file.c_str(), 0);
      }
      unlinkat(space->get(), name.c_str(), AT_REMOVEDIR);
    }
    unlinkat(repositories_.get(), space_name.c_str(), AT_REMOVEDIR);  // only when empty
  }
}

}  // namespace ocirepofs
