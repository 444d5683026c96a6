#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "conf/error.h"

namespace ocirepofs {

/// Go's time.ParseDuration, to the nanosecond and to the last rounding. Errors are kInvalid.
Result<std::chrono::nanoseconds> ParseDuration(std::string_view text);

/// Go's Duration.String: "1h0m0s", "1.5s", "0s".
std::string FormatDuration(std::chrono::nanoseconds duration);

/// Flux's admission patterns, stricter than Go: `^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`, and the same
/// without `h` for a timeout.
bool IsIntervalPattern(std::string_view text);
bool IsTimeoutPattern(std::string_view text);

}  // namespace ocirepofs
