#include "fetch/schedule.h"

#include <algorithm>

namespace ocirepofs {
namespace {

constexpr std::chrono::nanoseconds kFirstBackoff = std::chrono::milliseconds(750);
constexpr std::chrono::nanoseconds kLongestBackoff = std::chrono::minutes(15);
constexpr double kJitter = 0.05;

}  // namespace

void Schedule::Plan(const ObjectKey& key, const std::string& host, Time due) {
  Forget(key);
  plans_[key] = {host, due};
  queue_.emplace(due, key);
}

void Schedule::Forget(const ObjectKey& key) {
  const auto plan = plans_.find(key);
  if (plan == plans_.end()) return;
  queue_.erase({plan->second.due, key});
  plans_.erase(plan);
}

bool Schedule::MayRun(const ObjectKey& key, const PlanOf& plan) const {
  const auto on_host = running_on_.find(plan.host);
  return !running_.contains(key) && (on_host == running_on_.end() || on_host->second < host_limit_);
}

std::optional<ObjectKey> Schedule::Take(Time now) {
  for (const auto& [due, key] : queue_) {
    if (due > now) break;
    const PlanOf plan = plans_.at(key);
    if (!MayRun(key, plan)) continue;
    const ObjectKey taken = key;
    Forget(taken);
    Claim(taken, plan.host);
    return taken;
  }
  return std::nullopt;
}

bool Schedule::Claim(const ObjectKey& key, const std::string& host) {
  if (!running_.try_emplace(key, host).second) return false;
  ++running_on_[host];
  return true;
}

void Schedule::Finished(const ObjectKey& key) {
  const auto running = running_.find(key);
  if (running == running_.end()) return;
  const auto on_host = running_on_.find(running->second);
  if (--on_host->second == 0) running_on_.erase(on_host);
  running_.erase(running);
}

std::optional<Schedule::Time> Schedule::NextDue() const {
  for (const auto& [due, key] : queue_) {
    if (MayRun(key, plans_.at(key))) return due;
  }
  return std::nullopt;
}

std::chrono::nanoseconds Backoff(int failures) {
  std::chrono::nanoseconds delay = kFirstBackoff;
  for (int i = 1; i < failures && delay < kLongestBackoff; ++i) delay *= 2;
  return std::min(delay, kLongestBackoff);
}

std::chrono::nanoseconds WithJitter(std::chrono::nanoseconds interval, double random) {
  const double factor = 1 + kJitter * (2 * random - 1);
  return std::chrono::nanoseconds(
      static_cast<int64_t>(static_cast<double>(interval.count()) * factor));
}

}  // namespace ocirepofs
