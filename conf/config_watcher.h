#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "conf/error.h"

namespace ocirepofs {

/// Tells when the file or directory CONFIG has changed (inotify). Owned by one thread, which calls
/// Wait; Wake may be called by any thread and from a signal handler.
///
/// CONFIG may be removed, replaced, or reached through links that change: every directory on the
/// way to it is watched for the next name, and the watches are set anew whenever one of them
/// reports.
class ConfigWatcher {
 public:
  /// Watches `path`; for a file its directory is watched, so that a rename over it is seen, and for
  /// a ConfigMap-style tree the target of the links as well.
  static Result<std::unique_ptr<ConfigWatcher>> Create(const std::string& path);
  ~ConfigWatcher();
  ConfigWatcher(const ConfigWatcher&) = delete;
  ConfigWatcher& operator=(const ConfigWatcher&) = delete;

  enum class Event { kChanged, kWoken };

  /// Blocks until something changed and then stayed unchanged for `settle` (an editor writes in
  /// several steps; at most ten times `settle` in all), or until Wake.
  Event Wait(std::chrono::milliseconds settle);
  void Wake();

 private:
  class Watches;
  ConfigWatcher() = default;

  std::unique_ptr<Watches> watches_;
  int wake_fd_ = -1;
  bool pending_ = false;  // a change that no Wait has returned yet
};

}  // namespace ocirepofs
