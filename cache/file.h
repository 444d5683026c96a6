#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "conf/error.h"

namespace ocirepofs {

/// Owns a file descriptor. Movable; one owner.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~UniqueFd();

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

/// Removes a name when it goes out of scope; that it is gone already, or renamed, is no error.
class RemoveOnExit {
 public:
  RemoveOnExit(int directory_fd, std::string name)
      : directory_fd_(directory_fd), name_(std::move(name)) {}
  ~RemoveOnExit();
  RemoveOnExit(const RemoveOnExit&) = delete;
  RemoveOnExit& operator=(const RemoveOnExit&) = delete;

 private:
  const int directory_fd_;
  const std::string name_;
};

/// All of these retry on EINTR; errors are kStorage and name `what` or the file.

Result<void> WriteAll(int fd, std::span<const std::byte> data, std::string_view what);

/// Reads exactly data.size() bytes; a short file is kCorrupt.
Result<void> ReadExactly(int fd, std::span<std::byte> data, off_t offset, std::string_view what);

/// Opens, never following a symbolic link at the last component.
Result<UniqueFd> OpenAt(int directory_fd, const std::string& name, int flags, mode_t mode = 0);

/// The contents of a small regular file; longer than `limit` is kCorrupt.
Result<std::string> ReadFileAt(int directory_fd, const std::string& name, size_t limit);

/// Replaces `name` in one step that survives a crash: temporary name, fsync, rename, fsync of the
/// directory.
Result<void> ReplaceFileAt(int directory_fd, const std::string& name, std::string_view contents);

/// Gives the complete, synced file at `temporary_name` its final name, and syncs the directory.
Result<void> CommitAt(int directory_fd, const std::string& temporary_name, const std::string& name);

/// Opens the directory `name`, made with mode 0700 if it is not there.
Result<UniqueFd> MakeDirectoryAt(int directory_fd, const std::string& name);

}  // namespace ocirepofs
