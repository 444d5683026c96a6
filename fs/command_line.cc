#include "fs/command_line.h"

#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "conf/manifest/manifest.h"
#include "conf/manifest/reload.h"
#include "fs/background.h"
#include "fs/daemon.h"
#include "fs/logging.h"
#include "fs/mount_table.h"
#include "fs/version.h"

namespace ocirepofs {
namespace {

constexpr std::array<std::string_view, 3> kVerbs = {"mount", "unmount", "validate"};

void Complain(std::string_view message) { fmt::print(stderr, "ocirepofs: {}\n", message); }

Result<std::string> AbsolutePath(const std::string& path) {
  std::error_code error;
  const auto absolute = std::filesystem::absolute(path, error).lexically_normal();
  if (error) return Fail(ErrorCode::kInvalid, "{}: {}", path, error.message());
  std::string text = absolute.string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

/// A mountpoint as the kernel names it. A dead mount can't be looked into, so only what leads to it
/// is resolved.
Result<std::string> CanonicalMountpoint(const std::string& path) {
  Result<std::string> absolute = AbsolutePath(path);
  if (!absolute) return absolute;
  const std::filesystem::path given(*absolute);
  std::error_code error;
  if (const auto whole = std::filesystem::canonical(given, error); !error) return whole.string();
  const auto parent = std::filesystem::canonical(given.parent_path(), error);
  if (error) return Fail(ErrorCode::kInvalid, "mountpoint {}: {}", path, error.message());
  return (parent / given.filename()).string();
}

struct MountArguments {
  std::string config;
  std::string mountpoint;
  bool foreground = false;
  std::vector<std::string> options;
};

Result<DaemonArguments> Prepare(const MountArguments& given) {
  DaemonArguments prepared;
  Result<std::string> config = AbsolutePath(given.config);
  if (!config) return tl::unexpected(config.error());
  prepared.config = *config;
  Result<std::string> mountpoint = CanonicalMountpoint(given.mountpoint);
  if (!mountpoint) return tl::unexpected(mountpoint.error());
  prepared.mountpoint = *mountpoint;
  return prepared;
}

int Mount(const MountArguments& given) {
  MountOptions options;
  for (const std::string& option : given.options) {
    if (auto parsed = ParseMountOptions(option, &options); !parsed) {
      Complain(parsed.error().message);
      return kExitUsage;
    }
  }
  if (!options.cache_directory.empty()) {
    Result<std::string> cache = AbsolutePath(options.cache_directory);
    if (!cache) {
      Complain(cache.error().message);
      return kExitUsage;
    }
    options.cache_directory = *cache;
  }
  Result<DaemonArguments> arguments = Prepare(given);
  if (!arguments) {
    Complain(arguments.error().message);
    return kExitFailed;
  }
  arguments->options = options;

  // Credentials may be in memory; they must not get into a core dump.
  prctl(PR_SET_DUMPABLE, 0);
  umask(077);
  const auto run = [&arguments](LogTarget target, const std::function<void()>& ready) -> int {
    StartLogging(arguments->options, target);
    const Result<void> result = RunDaemon(*arguments, ready);
    if (result) return kExitDone;
    Complain(result.error().message);
    return kExitFailed;
  };
  if (given.foreground) return run(LogTarget::kStandardError, [] {});
  return RunInBackground(
      [&run](const std::function<void()>& ready) { return run(LogTarget::kSyslog, ready); });
}

int Unmount(const std::string& path) {
  Result<std::string> mountpoint = CanonicalMountpoint(path);
  if (!mountpoint) {
    Complain(mountpoint.error().message);
    return kExitFailed;
  }
  const std::optional<std::string> type = MountTypeAt(*mountpoint);
  if (type != kMountType) {
    Complain(fmt::format("{} is not mounted by ocirepofs{}", *mountpoint,
                         type ? fmt::format(" (but {})", *type) : std::string()));
    return kExitFailed;
  }
  if (UnmountOnce(*mountpoint, /*lazily=*/false)) return kExitDone;
  if (UnmountOnce(*mountpoint, /*lazily=*/true)) {
    Complain(fmt::format("{} is busy: detached; it ends when its last user does", *mountpoint));
    return kExitDone;
  }
  Complain(fmt::format("cannot unmount {}", *mountpoint));
  return kExitFailed;
}

int Validate(const std::string& path) {
  const Result<Configuration> configuration = LoadConfiguration(path);
  if (!configuration) {
    Complain(configuration.error().message);
    return kExitFailed;
  }
  for (const Diagnostic& error : configuration->errors) {
    fmt::print(stderr, "{}\n", error.ToString());
  }
  for (const Diagnostic& note : configuration->notes) fmt::print("{}\n", note.ToString());
  const size_t good = configuration->repositories.size();
  const size_t bad = configuration->errors.size();
  fmt::print("{} OCIRepository manifest{} valid, {} error{}\n", good, good == 1 ? "" : "s", bad,
             bad == 1 ? "" : "s");
  return bad == 0 ? kExitDone : kExitFailed;
}

/// CLI11's own statuses are many; a person knows three.
int Parse(CLI::App* app, std::vector<std::string> arguments) {
  std::reverse(arguments.begin(), arguments.end());
  try {
    app->parse(arguments);
  } catch (const CLI::Success& success) {
    app->exit(success);
    return kExitDone;
  } catch (const CLI::ParseError& error) {
    Complain(error.what());
    fmt::print(stderr, "Run 'ocirepofs --help' for how to use it.\n");
    return kExitUsage;
  }
  return -1;
}

}  // namespace

int RunCommandLine(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);

  CLI::App app(
      "Mounts a directory tree in which each configured OCIRepository is a directory of its "
      "artifact's contents.\n\n"
      "  ocirepofs CONFIG MOUNTPOINT [-f] [-o OPT[,OPT...]]",
      "ocirepofs");
  app.set_version_flag("--version", fmt::format("ocirepofs {}", kVersion));
  app.require_subcommand(1);

  int status = kExitUsage;
  MountArguments mount_arguments;
  CLI::App* mount = app.add_subcommand("mount", "Mount; the word may be left out");
  mount->add_option("CONFIG", mount_arguments.config, "Manifest file or directory")->required();
  mount->add_option("MOUNTPOINT", mount_arguments.mountpoint, "An existing directory")->required();
  mount->add_flag("-f,--foreground", mount_arguments.foreground,
                  "Stay in the foreground, and log to standard error");
  mount->add_option("-o", mount_arguments.options, "Mount options; may be repeated")
      ->allow_extra_args(false);
  mount->callback([&] { status = Mount(mount_arguments); });

  std::string unmount_path;
  CLI::App* unmount = app.add_subcommand("unmount", "Unmount; lazily when busy");
  unmount->add_option("MOUNTPOINT", unmount_path)->required();
  unmount->callback([&] { status = Unmount(unmount_path); });

  std::string validate_path;
  CLI::App* validate =
      app.add_subcommand("validate", "Check manifests, and say what is wrong with them where");
  validate->add_option("CONFIG", validate_path, "Manifest file or directory")->required();
  validate->callback([&] { status = Validate(validate_path); });

  // Last: a verb takes over the footer that its parent has when it is added.
  const std::string footer = fmt::format(
      "CONFIG is a manifest file, or a directory of *.yaml, *.yml and *.json.\n"
      "Without -f the command returns when the tree can be read.\n\nMount options (-o):\n{}\n"
      "Exit status: 0 done, 1 failed, 2 wrong usage.",
      MountOptionsHelp());
  app.footer(footer);
  mount->footer(footer);

  // `ocirepofs CONFIG MOUNTPOINT`, the form that mount(8) uses, is the verb mount.
  const bool asks_program =
      !arguments.empty() &&
      (arguments[0] == "--help" || arguments[0] == "-h" || arguments[0] == "--version");
  if (!arguments.empty() && !asks_program &&
      std::find(kVerbs.begin(), kVerbs.end(), arguments[0]) == kVerbs.end()) {
    arguments.insert(arguments.begin(), "mount");
  }
  const int parsed = Parse(&app, arguments);
  return parsed >= 0 ? parsed : status;
}

}  // namespace ocirepofs
