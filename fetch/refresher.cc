#include "fetch/refresher.h"

#include <spdlog/spdlog.h>

#include <set>

#include "conf/reference.h"

namespace ocirepofs {
namespace {

/// How long the cache keeps a repository that CONFIG no longer names.
constexpr std::chrono::hours kKeepAbsent{24};

std::string HostOf(const OciRepository& repository) {
  const Result<Repository> parsed = ParseOciUrl(repository.spec.url);
  return parsed ? parsed->registry : std::string();
}

bool SameManifest(const OciRepository& a, const OciRepository& b) {
  return a.api_version == b.api_version && a.annotations == b.annotations &&
         a.spec_as_written == b.spec_as_written;
}

}  // namespace

Refresher::Refresher(const ReconcileContext& context, Store* store, const Options& options)
    : context_(context),
      store_(store),
      options_(options),
      schedule_(options.host_limit),
      random_(std::random_device{}()) {}

Refresher::~Refresher() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (const auto& [key, task] : tasks_) task->running.request_stop();
  }
  for (std::jthread& thread : threads_) thread.request_stop();
  threads_.clear();
}

std::shared_ptr<Refresher::Task> Refresher::FindOrAdd(const ObjectKey& key) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = tasks_.find(key); found != tasks_.end()) return found->second;
  }
  Result<std::unique_ptr<RepositoryStore>> store = store_->OpenRepository(key);
  if (!store) {
    spdlog::error("{}: {}", key.ToString(), store.error().message);
    return nullptr;
  }
  auto task = std::make_shared<Task>();
  task->reconciler = std::make_unique<Reconciler>(context_, std::move(*store));
  task->reconciler->Load();
  const std::lock_guard lock(mutex_);
  tasks_[key] = task;
  return task;
}

void Refresher::Apply(const Configuration& configuration) {
  std::set<ObjectKey> named;
  for (const auto& [key, repository] : configuration.repositories) {
    named.insert(key);
    Instruct(key, {.repository = std::make_shared<const OciRepository>(repository), .error = {}});
  }
  for (const Diagnostic& error : configuration.errors) {
    // The name is what a path is made of, so only a good one is believed of a bad manifest.
    if (!error.object || !IsDns1123Subdomain(error.object->name) ||
        !IsDns1123Subdomain(error.object->namespace_name) || !named.insert(*error.object).second) {
      continue;
    }
    Instruct(*error.object, {.repository = nullptr, .error = error.ToString()});
  }
  std::vector<ObjectKey> gone;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, task] : tasks_) {
      if (!named.contains(key)) gone.push_back(key);
    }
  }
  for (const ObjectKey& key : gone) {
    Instruct(key, {.repository = nullptr, .error = {}, .removed = true});
  }
  store_->CollectAbsent(named, kKeepAbsent);
}

void Refresher::Instruct(const ObjectKey& key, Instruction instruction) {
  for (;;) {
    const std::shared_ptr<Task> task = FindOrAdd(key);
    if (task == nullptr) return;
    {
      const std::lock_guard lock(mutex_);
      const auto found = tasks_.find(key);
      if (found == tasks_.end() || found->second != task) continue;  // removed meanwhile
      const bool same_manifest = instruction.repository != nullptr && task->repository != nullptr &&
                                 SameManifest(*instruction.repository, *task->repository);
      const bool same_error = !instruction.error.empty() && instruction.error == task->error;
      if (!task->instruction && !task->told && (same_manifest || same_error)) return;
      if (!schedule_.Claim(key, task->host)) {
        task->instruction = std::move(instruction);
        task->running.request_stop();
        return;
      }
      task->told = true;
    }
    Deliver(key, task.get(), std::move(instruction), /*due=*/false);
    return;
  }
}

/// Tells the reconciler, also what comes meanwhile, and ends the task's run.
/// REQUIRES: the task runs on this thread.
void Refresher::Deliver(const ObjectKey& key, Task* task, Instruction instruction, bool due) {
  for (;;) {
    due = PassOn(key, task, instruction) || due;
    if (instruction.removed) spdlog::info("{}: removed", key.ToString());
    const std::lock_guard lock(mutex_);
    task->repository = instruction.repository;
    task->error = instruction.error;
    if (instruction.repository != nullptr) task->host = HostOf(*instruction.repository);
    if (task->instruction) {
      instruction = *std::exchange(task->instruction, std::nullopt);
      continue;
    }
    task->told = false;
    schedule_.Finished(key);
    schedule_.Forget(key);
    if (instruction.removed) {
      tasks_.erase(key);
    } else if (instruction.repository != nullptr) {
      due = due || !task->reconciled || !task->damaged.empty();
      if (due) task->failures = 0;
      const std::chrono::nanoseconds delay =
          due ? std::chrono::nanoseconds(0) : instruction.repository->spec.interval;
      schedule_.Plan(key, task->host, context_.clock->SteadyNow() + delay);
    }
    Changed();
    return;
  }
}

/// REQUIRES: the task runs on this thread.
bool Refresher::PassOn(const ObjectKey& key, Task* task, const Instruction& instruction) {
  if (instruction.removed) {
    context_.catalog->Remove(key);
    return false;
  }
  if (instruction.repository != nullptr) {
    return task->reconciler->Configure(instruction.repository);
  }
  task->reconciler->MarkInvalid(instruction.error);
  return false;
}

/// REQUIRES: mutex_ is held.
void Refresher::Changed() {
  ++changes_;
  changed_.notify_all();
}

void Refresher::Start() {
  for (int i = 0; i < options_.workers; ++i) {
    threads_.emplace_back([this](std::stop_token stop) { Work(std::move(stop)); });
  }
}

void Refresher::Damaged(const ObjectKey& key, uint32_t serial) {
  const std::lock_guard lock(mutex_);
  const auto found = tasks_.find(key);
  if (found == tasks_.end() || !found->second->damaged.insert(serial).second) return;
  // What is invalid waits for its manifest; what runs is planned when it is done.
  Task& task = *found->second;
  if (task.repository == nullptr) return;
  schedule_.Plan(key, task.host, context_.clock->SteadyNow());
  Changed();
}

void Refresher::Work(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    const std::optional<ObjectKey> key = schedule_.Take(context_.clock->SteadyNow());
    if (!key) {
      const std::optional<Schedule::Time> due = schedule_.NextDue();
      const auto woken = [this, seen = changes_] { return changes_ != seen; };
      if (due) {
        changed_.wait_until(lock, stop, *due, woken);
      } else {
        changed_.wait(lock, stop, woken);
      }
      continue;
    }
    const std::shared_ptr<Task> task = tasks_.at(*key);
    task->running = std::stop_source();
    if (stopping_) task->running.request_stop();
    lock.unlock();
    RunTask(*key, task);
    lock.lock();
  }
}

void Refresher::RunTask(const ObjectKey& key, const std::shared_ptr<Task>& task) {
  std::set<uint32_t> damaged;
  std::stop_token stop;
  {
    const std::lock_guard lock(mutex_);
    damaged = std::exchange(task->damaged, {});
    stop = task->running.get_token();
  }
  Reconciler::Outcome outcome;
  try {
    for (const uint32_t serial : damaged) task->reconciler->Discard(serial);
    outcome = task->reconciler->Reconcile(stop);
  } catch (const std::exception& error) {
    spdlog::error("{}: {}", key.ToString(), error.what());
    outcome.kind = Reconciler::Outcome::Kind::kFailure;
  }
  std::optional<Instruction> instruction;
  {
    const std::lock_guard lock(mutex_);
    task->reconciled = true;
    instruction = std::exchange(task->instruction, std::nullopt);
    if (!instruction) {
      PlanAfter(key, task.get(), outcome);
      return;
    }
    task->told = true;
  }
  // The run was broken off for it, so another is due whatever it says.
  Deliver(key, task.get(), std::move(*instruction), /*due=*/true);
}

/// REQUIRES: mutex_ is held.
void Refresher::PlanAfter(const ObjectKey& key, Task* task, const Reconciler::Outcome& outcome) {
  schedule_.Finished(key);
  Changed();  // another may now run on that host
  const OciRepositorySpec& spec = task->repository->spec;
  std::chrono::nanoseconds delay{};
  switch (outcome.kind) {
    case Reconciler::Outcome::Kind::kStalled:
      schedule_.Forget(key);
      return;
    case Reconciler::Outcome::Kind::kSuccess:
      task->failures = 0;
      if (spec.suspend) {
        schedule_.Forget(key);
        return;
      }
      delay = WithJitter(spec.interval, std::uniform_real_distribution<>(0, 1)(random_));
      break;
    case Reconciler::Outcome::Kind::kFailure:
      delay = Backoff(++task->failures);
      if (outcome.retry_after && *outcome.retry_after > delay) delay = *outcome.retry_after;
      break;
  }
  if (!task->damaged.empty()) delay = {};
  schedule_.Plan(key, task->host, context_.clock->SteadyNow() + delay);
}

}  // namespace ocirepofs
