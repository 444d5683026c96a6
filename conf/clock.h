#pragma once

#include <chrono>

#include "conf/status.h"

namespace ocirepofs {

/// Where time comes from; tests bring their own. Any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  /// For what is shown: conditions, events, modification times.
  virtual std::chrono::system_clock::time_point WallNow() const = 0;
  /// For what is waited for: never goes back.
  virtual std::chrono::steady_clock::time_point SteadyNow() const = 0;

  Timestamp Now() const { return std::chrono::floor<std::chrono::seconds>(WallNow()); }
};

class SystemClock final : public Clock {
 public:
  std::chrono::system_clock::time_point WallNow() const override {
    return std::chrono::system_clock::now();
  }
  std::chrono::steady_clock::time_point SteadyNow() const override {
    return std::chrono::steady_clock::now();
  }
};

}  // namespace ocirepofs
