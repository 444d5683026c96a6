#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "conf/error.h"

namespace ocirepofs {

enum class Layout { kFlat, kNamespaced };
enum class LogFormat { kText, kJson };

/// What `-o` may say. Defaults are those that `--help` shows.
struct MountOptions {
  std::string cache_directory;         // empty: DefaultCacheDirectory()
  std::optional<uint64_t> cache_size;  // bytes; nothing: no limit
  Layout layout = Layout::kFlat;
  bool allow_other = false;
  bool noexec = false;          // for the kernel: no file of the tree may be executed
  std::optional<uint32_t> uid;  // nothing: the daemon's own
  std::optional<uint32_t> gid;
  uint32_t umask = 0;
  int workers = 8;                        // reconciles that may run at the same time
  uint64_t max_size = uint64_t{4} << 30;  // bytes of an artifact's contents, expanded
  uint64_t max_files = 200'000;           // entries of an artifact
  std::string log_level = "info";         // trace, debug, info, warn, error, off
  LogFormat log_format = LogFormat::kText;
};

/// Reads one `-o` argument, a comma-separated list. Options that every mount takes and that change
/// nothing here (`ro`, `rw`, `nodev`, `_netdev`, `noauto`, `x-systemd.*`, …) are accepted; an
/// unknown name and a bad value are kInvalid with a message that names the option.
Result<void> ParseMountOptions(std::string_view argument, MountOptions* options);

/// "512", "64K", "20M", "4G", "1T" (powers of 1024, an optional "iB" or "B" behind).
Result<uint64_t> ParseSize(std::string_view text);

/// root: /var/cache/ocirepofs; others: $XDG_CACHE_HOME/ocirepofs, else ~/.cache/ocirepofs.
std::string DefaultCacheDirectory();

/// The table of options for `--help` and the manual page: one "name=VALUE  meaning (default)" a
/// line.
std::string MountOptionsHelp();

}  // namespace ocirepofs
