#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "conf/manifest/manifest.h"

namespace ocirepofs {

/// Which repository is due when. A value without threads or clocks: the caller tells it the time.
/// What runs is not due; and of what waits for one host no more than `host_limit` run at a time, so
/// that a host that does not answer holds up nothing but itself.
class Schedule {
 public:
  using Time = std::chrono::steady_clock::time_point;

  explicit Schedule(int host_limit) : host_limit_(host_limit) {}

  /// Makes the repository due at `due`, whatever was planned before. While it runs, the plan holds
  /// for when it is done.
  void Plan(const ObjectKey& key, const std::string& host, Time due);
  /// Plans nothing for it any more.
  void Forget(const ObjectKey& key);

  /// The repository that is due longest and may run; it counts as running until Finished.
  std::optional<ObjectKey> Take(Time now);
  void Finished(const ObjectKey& key);

  /// Makes a repository that is not running count as running, whatever is planned for it and
  /// whoever else waits for its host; what is planned stays. False where it runs already.
  bool Claim(const ObjectKey& key, const std::string& host);

  /// When Take may next have something to give; nothing while it waits for a Finished only.
  std::optional<Time> NextDue() const;

 private:
  struct PlanOf {
    std::string host;
    Time due;
  };
  bool MayRun(const ObjectKey& key, const PlanOf& plan) const;

  const int host_limit_;
  std::map<ObjectKey, PlanOf> plans_;
  std::set<std::pair<Time, ObjectKey>> queue_;  // the plans, by time
  std::map<ObjectKey, std::string> running_;    // with its host
  std::map<std::string, int> running_on_;       // host → how many
};

/// How long to wait after the `failures`-th failure in a row (from 1): 750 ms, doubling to 15
/// minutes, as Flux.
std::chrono::nanoseconds Backoff(int failures);

/// `interval`, up to 5 % more or less; `random` is between 0 and 1.
std::chrono::nanoseconds WithJitter(std::chrono::nanoseconds interval, double random);

}  // namespace ocirepofs
