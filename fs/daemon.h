#pragma once

#include <functional>
#include <string>

#include "conf/error.h"
#include "conf/options.h"

namespace ocirepofs {

struct DaemonArguments {
  std::string config;      // an absolute path
  std::string mountpoint;  // an absolute path
  MountOptions options;
};

/// Mounts and serves until a signal (SIGTERM, SIGINT) or an unmount from outside ends it; SIGHUP
/// reads CONFIG again, SIGUSR1 logs the counts of the kernel's requests. `on_ready` is called when
/// the tree can be read. An error is one that kept the mount from being made. REQUIRES: logging was
/// started; the process has no other threads.
Result<void> RunDaemon(const DaemonArguments& arguments, const std::function<void()>& on_ready);

}  // namespace ocirepofs
