#include "fs/notifier.h"

#include <algorithm>

namespace ocirepofs {
namespace {

/// A lookup that was answered just before the switch may reach the kernel just after the notice,
/// and let the old name live for another second. Saying it again a little later cuts that short.
constexpr auto kRepeatAfter = std::chrono::milliseconds(50);

}  // namespace

Notifier::~Notifier() { Stop(); }

void Notifier::Start(Session* session) {
  const std::lock_guard lock(mutex_);
  session_ = session;
  started_ = true;
  thread_ = std::jthread([this](std::stop_token stop) { Run(std::move(stop)); });
}

void Notifier::Stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

void Notifier::Post(const Tree::NameChange& change, bool listing) {
  const std::lock_guard lock(mutex_);
  if (!started_) return;
  const Time now = std::chrono::steady_clock::now();
  notices_.push_back({now, change, listing, /*repeat=*/true});
  posted_.notify_one();
}

void Notifier::Run(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    const auto next =
        std::min_element(notices_.begin(), notices_.end(),
                         [](const Notice& a, const Notice& b) { return a.due < b.due; });
    if (next == notices_.end()) {
      posted_.wait(lock, stop, [this] { return !notices_.empty(); });
      continue;
    }
    if (const Time due = next->due; due > std::chrono::steady_clock::now()) {
      posted_.wait_until(lock, stop, due,
                         [this, due] { return !notices_.empty() && notices_.back().due < due; });
      continue;
    }
    Notice notice = std::move(*next);
    notices_.erase(next);
    lock.unlock();
    session_->ExpireEntry(notice.change.parent, notice.change.name);
    // Separately: the kernel skips the directory when it does not hold the name.
    if (notice.listing) session_->InvalidateDirectory(notice.change.parent);
    lock.lock();
    if (notice.repeat) {
      notice.repeat = false;
      notice.due = std::chrono::steady_clock::now() + kRepeatAfter;
      notices_.push_back(std::move(notice));
    }
  }
}

}  // namespace ocirepofs
