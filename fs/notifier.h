#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "fs/session.h"
#include "fs/tree.h"

namespace ocirepofs {

/// Tells the kernel, from a thread of its own, which names now mean something else. Nothing waits
/// for it, and it holds no lock while it does so: the kernel makes it wait for requests that are
/// being answered. Post may be called by any thread.
class Notifier {
 public:
  Notifier() = default;
  ~Notifier();
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  /// What is posted before this is not sent: the kernel knows nothing yet. `session` outlives Stop.
  void Start(Session* session);
  /// Sends nothing any more.
  void Stop();

  /// `listing` where the name came or went, so that the directory's listing changed too.
  void Post(const Tree::NameChange& change, bool listing);

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Notice {
    Time due;
    Tree::NameChange change;
    bool listing;
    bool repeat;
  };

  void Run(std::stop_token stop);

  Session* session_ = nullptr;
  std::mutex mutex_;
  std::condition_variable_any posted_;
  std::deque<Notice> notices_;  // guarded by mutex_
  bool started_ = false;        // guarded by mutex_
  std::jthread thread_;
};

}  // namespace ocirepofs
