#pragma once

#include <mutex>

#include "conf/clock.h"

namespace ocirepofs {

/// A clock that stands until it is told to go. Any thread.
class FakeClock final : public Clock {
 public:
  std::chrono::system_clock::time_point WallNow() const override {
    const std::lock_guard lock(mutex_);
    return wall_;
  }
  std::chrono::steady_clock::time_point SteadyNow() const override {
    const std::lock_guard lock(mutex_);
    return steady_;
  }
  void Advance(std::chrono::nanoseconds time) {
    const std::lock_guard lock(mutex_);
    wall_ += std::chrono::duration_cast<std::chrono::system_clock::duration>(time);
    steady_ += time;
  }

 private:
  mutable std::mutex mutex_;
  std::chrono::system_clock::time_point wall_ =
      std::chrono::sys_days{std::chrono::year(2026) / 11 / 24} + std::chrono::hours(11);
  std::chrono::steady_clock::time_point steady_{};
};

}  // namespace ocirepofs
