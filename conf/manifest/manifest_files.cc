#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "conf/manifest/manifest.h"

namespace ocirepofs {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};

/// Reads what is there, up to one byte more than is allowed: a file may grow under our eyes.
Result<std::string> ReadOpenFile(int fd, size_t expected_size) {
  std::string text(std::min(expected_size, kMaxManifestFileSize) + 1, '\0');
  size_t size = 0;
  while (true) {
    if (size == text.size()) text.resize(std::min(2 * size, kMaxManifestFileSize + 1));
    const ssize_t count = read(fd, text.data() + size, text.size() - size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return FailErrno(errno, "cannot read it");
    size += static_cast<size_t>(count);
    if (count == 0) break;
    if (size > kMaxManifestFileSize) {
      return Fail(ErrorCode::kInvalid, "larger than {} bytes", kMaxManifestFileSize);
    }
  }
  text.resize(size);
  return text;
}

/// Follows symbolic links: the keys of a mounted ConfigMap are links. Non-blocking, so that a FIFO
/// without a writer can be opened and then refused.
Result<std::string> ReadFileAt(int directory_fd, const std::string& name) {
  const Descriptor file(
      openat(directory_fd, name.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  if (file.get() < 0) return FailErrno(errno, "cannot open it");
  struct stat status;
  if (fstat(file.get(), &status) != 0) return FailErrno(errno, "cannot examine it");
  if (!S_ISREG(status.st_mode)) return Fail(ErrorCode::kInvalid, "not a regular file");
  return ReadOpenFile(file.get(), static_cast<size_t>(status.st_size));
}

bool IsManifestName(std::string_view name) {
  return !name.starts_with('.') &&
         (name.ends_with(".yaml") || name.ends_with(".yml") || name.ends_with(".json"));
}

Result<std::vector<std::string>> ListManifests(DIR* directory) {
  std::vector<std::string> names;
  while (true) {
    errno = 0;
    const dirent* entry = readdir(directory);
    if (entry == nullptr && errno != 0) return FailErrno(errno, "cannot list it");
    if (entry == nullptr) break;
    if (IsManifestName(entry->d_name)) names.emplace_back(entry->d_name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// A file that went away after the directory was listed is no error; a link to nothing is one.
bool Exists(int directory_fd, const std::string& name) {
  struct stat status;
  return fstatat(directory_fd, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0;
}

Result<Configuration> LoadDirectory(const std::string& path) {
  const std::unique_ptr<DIR, CloseDirectory> directory(opendir(path.c_str()));
  if (directory == nullptr) return FailErrno(errno, path);
  const Result<std::vector<std::string>> names = ListManifests(directory.get());
  if (!names) return Wrap(names.error(), path);
  const int fd = dirfd(directory.get());
  const std::string prefix = path.ends_with('/') ? path : path + "/";
  Configuration configuration;
  for (const std::string& name : *names) {
    const Result<std::string> text = ReadFileAt(fd, name);
    if (text) {
      ParseManifests(prefix + name, *text, &configuration);
    } else if (Exists(fd, name)) {
      configuration.errors.push_back({{prefix + name}, text.error().message, std::nullopt});
    }
  }
  return configuration;
}

}  // namespace

Result<Configuration> LoadConfiguration(const std::string& path) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0) return FailErrno(errno, path);
  if (S_ISDIR(status.st_mode)) return LoadDirectory(path);
  const Result<std::string> text = ReadFileAt(AT_FDCWD, path);
  if (!text) return Wrap(text.error(), path);
  Configuration configuration;
  ParseManifests(path, *text, &configuration);
  return configuration;
}

}  // namespace ocirepofs
