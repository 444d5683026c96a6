#include "cache/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "cache/names.h"

namespace ocirepofs {

UniqueFd::~UniqueFd() {
  if (fd_ >= 0) close(fd_);
}

RemoveOnExit::~RemoveOnExit() { unlinkat(directory_fd_, name_.c_str(), 0); }

Result<void> WriteAll(int fd, std::span<const std::byte> data, std::string_view what) {
  while (!data.empty()) {
    const ssize_t written = write(fd, data.data(), data.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return FailErrno(errno, fmt::format("cannot write {}", what));
    }
    data = data.subspan(static_cast<size_t>(written));
  }
  return {};
}

Result<void> ReadExactly(int fd, std::span<std::byte> data, off_t offset, std::string_view what) {
  while (!data.empty()) {
    const ssize_t count = pread(fd, data.data(), data.size(), offset);
    if (count < 0) {
      if (errno == EINTR) continue;
      return FailErrno(errno, fmt::format("cannot read {}", what));
    }
    if (count == 0) return Fail(ErrorCode::kCorrupt, "{} is shorter than it was written", what);
    data = data.subspan(static_cast<size_t>(count));
    offset += count;
  }
  return {};
}

Result<UniqueFd> OpenAt(int directory_fd, const std::string& name, int flags, mode_t mode) {
  for (;;) {
    const int fd = openat(directory_fd, name.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd >= 0) return UniqueFd(fd);
    if (errno != EINTR) return FailErrno(errno, fmt::format("cannot open {}", name));
  }
}

Result<std::string> ReadFileAt(int directory_fd, const std::string& name, size_t limit) {
  Result<UniqueFd> fd = OpenAt(directory_fd, name, O_RDONLY | O_NONBLOCK);
  if (!fd) return tl::unexpected(fd.error());
  struct stat info {};
  if (fstat(fd->get(), &info) != 0) return FailErrno(errno, fmt::format("cannot stat {}", name));
  if (!S_ISREG(info.st_mode)) return Fail(ErrorCode::kCorrupt, "{} is not a regular file", name);
  if (static_cast<uint64_t>(info.st_size) > limit) {
    return Fail(ErrorCode::kCorrupt, "{} is larger than {} bytes", name, limit);
  }
  std::string contents(static_cast<size_t>(info.st_size), '\0');
  if (auto read = ReadExactly(fd->get(), std::as_writable_bytes(std::span(contents)), 0, name);
      !read) {
    return tl::unexpected(read.error());
  }
  return contents;
}

Result<void> CommitAt(int directory_fd, const std::string& temporary_name,
                      const std::string& name) {
  if (renameat(directory_fd, temporary_name.c_str(), directory_fd, name.c_str()) != 0) {
    return FailErrno(errno, fmt::format("cannot rename {} to {}", temporary_name, name));
  }
  if (fsync(directory_fd) != 0) return FailErrno(errno, "cannot sync the cache directory");
  return {};
}

Result<void> ReplaceFileAt(int directory_fd, const std::string& name, std::string_view contents) {
  const std::string temporary_name = TemporaryName(name);
  const RemoveOnExit unfinished(directory_fd, temporary_name);
  Result<UniqueFd> fd = OpenAt(directory_fd, temporary_name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (!fd) return tl::unexpected(fd.error());
  Result<void> result = WriteAll(fd->get(), std::as_bytes(std::span(contents)), name);
  if (result && fsync(fd->get()) != 0)
    result = FailErrno(errno, fmt::format("cannot sync {}", name));
  if (result) result = CommitAt(directory_fd, temporary_name, name);
  return result;
}

Result<UniqueFd> MakeDirectoryAt(int directory_fd, const std::string& name) {
  if (mkdirat(directory_fd, name.c_str(), 0700) != 0 && errno != EEXIST) {
    return FailErrno(errno, fmt::format("cannot make directory {}", name));
  }
  return OpenAt(directory_fd, name, O_RDONLY | O_DIRECTORY);
}

}  // namespace ocirepofs
