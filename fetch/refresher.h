#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "cache/store.h"
#include "fetch/reconciler.h"
#include "fetch/schedule.h"

namespace ocirepofs {

/// Keeps every configured repository up to date on a pool of threads. Owns the reconcilers. Apply
/// and Start belong to one thread; Damaged may be called from any.
class Refresher {
 public:
  struct Options {
    int workers = 4;
    int host_limit = 4;  // reconciles at one registry host at the same time
  };

  /// All of `context` and `store` outlive the refresher.
  Refresher(const ReconcileContext& context, Store* store, const Options& options);
  /// Stops; what is under way is broken off, and begun again at the next start.
  ~Refresher();
  Refresher(const Refresher&) = delete;
  Refresher& operator=(const Refresher&) = delete;

  /// Takes what CONFIG says now: adds what is new with what the cache has of it, passes on what
  /// changed, stops what is gone. Touches no network. Everything is published when it returns, but
  /// for a repository that is being reconciled: that is broken off, and follows within a second.
  void Apply(const Configuration& configuration);

  /// Starts the threads.
  void Start();

  /// What the cache holds of the snapshot with that serial is not what was written: if it is still
  /// current, it is pulled again, at once.
  void Damaged(const ObjectKey& key, uint32_t serial);

 private:
  /// What CONFIG says of a repository: a manifest, or why there is none.
  struct Instruction {
    std::shared_ptr<const OciRepository> repository;  // null: invalid, or removed
    std::string error;                                // of an invalid manifest
    bool removed = false;
  };

  /// One repository. The reconciler is used by the thread that made it run in the schedule; the
  /// rest is guarded by mutex_.
  struct Task {
    std::unique_ptr<Reconciler> reconciler;
    std::optional<Instruction> instruction;           // not passed on yet
    std::shared_ptr<const OciRepository> repository;  // as passed on last; null while invalid
    std::string error;                                // as passed on last
    std::string host;
    std::set<uint32_t> damaged;  // serials, to be discarded before the next reconcile
    bool reconciled = false;     // once at least
    bool told = false;           // an instruction is being passed on
    std::stop_source running;    // breaks off what runs now
    int failures = 0;
  };

  std::shared_ptr<Task> FindOrAdd(const ObjectKey& key);
  void Instruct(const ObjectKey& key, Instruction instruction);
  void Deliver(const ObjectKey& key, Task* task, Instruction instruction, bool due);
  bool PassOn(const ObjectKey& key, Task* task, const Instruction& instruction);
  void Changed();
  void Work(std::stop_token stop);
  void RunTask(const ObjectKey& key, const std::shared_ptr<Task>& task);
  void PlanAfter(const ObjectKey& key, Task* task, const Reconciler::Outcome& outcome);

  const ReconcileContext context_;
  Store* const store_;
  const Options options_;

  std::mutex mutex_;
  std::condition_variable_any changed_;
  // guarded by mutex_
  std::map<ObjectKey, std::shared_ptr<Task>> tasks_;
  Schedule schedule_;
  uint64_t changes_ = 0;  // of the schedule, for those who wait for one
  std::mt19937_64 random_;
  bool stopping_ = false;

  std::vector<std::jthread> threads_;
};

}  // namespace ocirepofs
