#pragma once

#include <optional>
#include <string>

#include "conf/error.h"

namespace ocirepofs {

/// What is mounted at exactly `path` (the topmost, where several are), by /proc/self/mountinfo: the
/// type, such as "fuse.ocirepofs" or "ext4". Nothing where no mount is.
std::optional<std::string> MountTypeAt(const std::string& path);

inline constexpr char kMountType[] = "fuse.ocirepofs";

/// Unmounts as whoever runs this may: umount(2) for root, fusermount3 for others. `lazily` detaches
/// a busy mount, which goes on serving those who use it.
bool UnmountOnce(const std::string& mountpoint, bool lazily);

/// Takes away a mount of ours whose daemon died ("Transport endpoint is not connected"). A foreign
/// one is refused; a live one of ours, too, since something is mounted there already.
Result<void> ClearStaleMount(const std::string& mountpoint);

}  // namespace ocirepofs
