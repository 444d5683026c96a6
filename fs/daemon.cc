#include "fs/daemon.h"

#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <memory>

#include "cache/catalog.h"
#include "cache/store.h"
#include "conf/clock.h"
#include "conf/config_watcher.h"
#include "conf/manifest/reload.h"
#include "fetch/http/curl_transport.h"
#include "fetch/reconciler.h"
#include "fetch/refresher.h"
#include "fetch/registry/registry.h"
#include "fs/notifier.h"
#include "fs/session.h"
#include "fs/tree.h"
#include "fs/version.h"

namespace ocirepofs {
namespace {

constexpr auto kConfigSettle = std::chrono::milliseconds(100);
constexpr auto kUnmountPatience = std::chrono::milliseconds(3500);

/// What signal handlers, which can do next to nothing, leave for the main loop.
struct Signals {
  std::atomic<bool> stop = false;
  std::atomic<bool> reload = false;
  std::atomic<bool> counts = false;
  std::atomic<ConfigWatcher*> watcher = nullptr;
};
Signals g_signals;

void OnSignal(int signal) {
  switch (signal) {
    case SIGHUP:
      g_signals.reload = true;
      break;
    case SIGUSR1:
      g_signals.counts = true;
      break;
    default:
      g_signals.stop = true;
      break;
  }
  if (ConfigWatcher* watcher = g_signals.watcher) watcher->Wake();
}

void CatchSignals() {
  struct sigaction action {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) sigaction(signal, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

/// Threads started while this lives leave signals to the main thread.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &former_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &former_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t former_;
};

/// Each repository holds two descriptors.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

/// CONFIG as it is applied: read, held against what was there before, and its faults logged.
class ConfigReader {
 public:
  explicit ConfigReader(const DaemonArguments& arguments)
      : path_(arguments.config), layout_(arguments.options.layout) {}

  Result<Configuration> Read() {
    Result<Configuration> read = LoadConfiguration(path_);
    if (!read) return read;
    if (layout_ == Layout::kFlat) RefuseNameClashes(&*read);
    for (const Diagnostic& note : read->notes) spdlog::debug("{}", note.ToString());
    for (const Diagnostic& error : read->errors) spdlog::error("{}", error.ToString());
    last_ = CarryOver(last_, &*read);
    return read;
  }

 private:
  const std::string path_;
  const Layout layout_;
  Configuration last_;
};

/// Keeps tree and kernel in step with the catalog.
void OnCatalogChange(const ObjectKey& key, Catalog::Change change, Tree* tree, Notifier* notifier) {
  switch (change) {
    case Catalog::Change::kStatus:
      return;  // `.status` is asked for each time
    case Catalog::Change::kSnapshot:
      if (const auto place = tree->Locate(key)) notifier->Post(*place, /*listing=*/false);
      return;
    case Catalog::Change::kAdded:
      for (const auto& added : tree->AddRepository(key)) notifier->Post(added, /*listing=*/true);
      return;
    case Catalog::Change::kRemoved:
      for (const auto& gone : tree->RemoveRepository(key)) notifier->Post(gone, /*listing=*/true);
      return;
  }
}

Tree::Options TreeOptionsOf(const MountOptions& options, const std::string& cache) {
  return {.layout = options.layout,
          .uid = options.uid.value_or(geteuid()),
          .gid = options.gid.value_or(getegid()),
          .umask = options.umask,
          .cache_url = "file://" + cache + "/"};
}

}  // namespace

Result<void> RunDaemon(const DaemonArguments& arguments, const std::function<void()>& on_ready) {
  const MountOptions& options = arguments.options;
  RaiseDescriptorLimit();

  // Watched before it is read: a change in between is then seen.
  Result<std::unique_ptr<ConfigWatcher>> watcher = ConfigWatcher::Create(arguments.config);
  ConfigReader config(arguments);
  Result<Configuration> configuration = config.Read();
  if (!configuration) return tl::unexpected(configuration.error());
  if (!watcher) return tl::unexpected(watcher.error());
  g_signals.watcher = watcher->get();
  CatchSignals();

  const std::string cache =
      options.cache_directory.empty() ? DefaultCacheDirectory() : options.cache_directory;
  Result<std::unique_ptr<Store>> store =
      Store::Open(cache, fmt::format("process {} serves {}", getpid(), arguments.mountpoint));
  if (!store) return tl::unexpected(store.error());

  const SystemClock clock;
  CurlTransport transport(fmt::format("ocirepofs/{}", kVersion));
  RegistryClient registry(&transport, &clock);
  Catalog catalog;
  Tree tree(&catalog, &clock, TreeOptionsOf(options, cache));
  Notifier notifier;
  catalog.SetListener([&tree, &notifier](const ObjectKey& key, Catalog::Change change) {
    OnCatalogChange(key, change, &tree, &notifier);
  });
  const ReconcileContext context{.registry = &registry,
                                 .clock = &clock,
                                 .catalog = &catalog,
                                 .store = store->get(),
                                 .cache_size = options.cache_size,
                                 .max_size = options.max_size,
                                 .max_files = options.max_files};
  Refresher refresher(context, store->get(),
                      {.workers = options.workers, .host_limit = (options.workers + 1) / 2});
  tree.SetDamageListener(
      [&refresher](const ObjectKey& key, uint32_t serial) { refresher.Damaged(key, serial); });
  refresher.Apply(*configuration);

  Result<std::unique_ptr<Session>> mounted = Session::Mount(
      &tree, arguments.mountpoint, {.allow_other = options.allow_other, .noexec = options.noexec});
  if (!mounted) return tl::unexpected(mounted.error());
  Session& session = **mounted;
  {
    const SignalsBlocked blocked;
    session.Serve([&watcher] { (*watcher)->Wake(); });
    notifier.Start(&session);
    refresher.Start();
  }
  spdlog::info("serving {} at {}", arguments.config, arguments.mountpoint);
  on_ready();

  while (!g_signals.stop && !session.Ended()) {
    const ConfigWatcher::Event event = (*watcher)->Wait(kConfigSettle);
    if (g_signals.counts.exchange(false)) {
      spdlog::info("requests {}", session.counts().ToString());
    }
    if (!g_signals.reload.exchange(false) && event != ConfigWatcher::Event::kChanged) continue;
    configuration = config.Read();
    if (configuration) {
      refresher.Apply(*configuration);
    } else {
      spdlog::error("{}; what was configured stays", configuration.error().message);
    }
  }

  spdlog::info("unmounting {}", arguments.mountpoint);
  const bool ended = session.Ended() || session.Unmount(kUnmountPatience);
  notifier.Stop();
  if (!ended) {
    // A reader that does not let go, and a kernel that does not cut it off: nothing is lost by
    // leaving it to the end of the process.
    spdlog::warn("{} is still in use", arguments.mountpoint);
    std::_Exit(0);
  }
  return {};
}

}  // namespace ocirepofs
