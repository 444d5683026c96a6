#pragma once

#include "conf/options.h"

namespace ocirepofs {

enum class LogTarget { kStandardError, kSyslog };

/// Sets up the process's logger. Called once, before there are threads.
void StartLogging(const MountOptions& options, LogTarget target);

}  // namespace ocirepofs
