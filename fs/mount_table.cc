#include "fs/mount_table.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <sstream>
#include <vector>

namespace ocirepofs {
namespace {

/// mountinfo writes space, tab, newline and backslash as three octal digits.
std::string Unescape(const std::string& text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      plain += static_cast<char>(std::stoi(text.substr(i + 1, 3), nullptr, 8));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

void RunFusermount(const std::string& mountpoint, bool lazily) {
  std::vector<const char*> arguments = {"fusermount3", "-q", "-u"};
  if (lazily) arguments.push_back("-z");
  arguments.push_back("--");
  arguments.push_back(mountpoint.c_str());
  arguments.push_back(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    execvp(arguments[0], const_cast<char* const*>(arguments.data()));
    _exit(127);
  }
  int status = 0;
  if (child > 0) waitpid(child, &status, 0);
}

}  // namespace

std::optional<std::string> MountTypeAt(const std::string& path) {
  std::ifstream table("/proc/self/mountinfo");
  std::optional<std::string> type;
  std::string line;
  while (std::getline(table, line)) {
    // "id parent major:minor root mountpoint options [optional…] - type source options"
    std::istringstream fields(line);
    std::string skipped;
    std::string mountpoint;
    fields >> skipped >> skipped >> skipped >> skipped >> mountpoint;
    if (Unescape(mountpoint) != path) continue;
    const size_t dash = line.find(" - ");
    if (dash != std::string::npos)
      type = line.substr(dash + 3, line.find(' ', dash + 3) - dash - 3);
  }
  return type;
}

bool UnmountOnce(const std::string& mountpoint, bool lazily) {
  if (geteuid() == 0) return umount2(mountpoint.c_str(), lazily ? MNT_DETACH : 0) == 0;
  RunFusermount(mountpoint, lazily);
  return MountTypeAt(mountpoint) != kMountType;
}

Result<void> ClearStaleMount(const std::string& mountpoint) {
  struct stat at {};
  const bool stale = stat(mountpoint.c_str(), &at) != 0 && errno == ENOTCONN;
  const std::optional<std::string> type = MountTypeAt(mountpoint);
  if (stale && type == kMountType) {
    if (!UnmountOnce(mountpoint, /*lazily=*/true)) {
      return Fail(ErrorCode::kStorage, "cannot unmount what a former daemon left at {}",
                  mountpoint);
    }
    return {};
  }
  if (stale) {
    return Fail(ErrorCode::kStorage,
                "at {} is a dead mount of type {}; unmount it first (umount -l {})", mountpoint,
                type.value_or("unknown"), mountpoint);
  }
  if (type == kMountType) {
    return Fail(ErrorCode::kStorage, "{} is mounted already (ocirepofs unmount {})", mountpoint,
                mountpoint);
  }
  return {};
}

}  // namespace ocirepofs
