#include "conf/options.h"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <limits>
#include <vector>

namespace ocirepofs {
namespace {

constexpr int kMaxWorkers = 64;

/// What mount(8) passes on and fstab carries, and what is so here in any case or does not matter to
/// a read-only tree. mount(8) passes `rw` on unless it was told `ro`.
constexpr std::array<std::string_view, 32> kGenericOptions = {
    "ro",         "rw",         "nodev",       "dev",
    "nosuid",     "suid",       "noatime",     "atime",
    "relatime",   "norelatime", "strictatime", "nostrictatime",
    "nodiratime", "diratime",   "lazytime",    "nolazytime",
    "sync",       "async",      "dirsync",     "auto",
    "noauto",     "nofail",     "user",        "nouser",
    "users",      "owner",      "group",       "_netdev",
    "defaults",   "silent",     "loud",        "default_permissions"};

/// `name=…` that mount(8) and systemd keep for themselves.
constexpr std::array<std::string_view, 6> kGenericPrefixes = {
    "x-", "X-", "comment=", "helper=", "uhelper=", "user="};

/// The whole of `text` as a number in `base`.
template <class T>
std::optional<T> ParseNumber(std::string_view text, int base) {
  T value = 0;
  const char* end = text.data() + text.size();
  const auto [parsed, error] = std::from_chars(text.data(), end, value, base);
  if (error != std::errc() || parsed != end) return std::nullopt;
  return value;
}

using Setter = Result<void> (*)(std::string_view value, MountOptions* options);

Result<void> SetCache(std::string_view value, MountOptions* options) {
  options->cache_directory = value;
  return {};
}

Result<uint64_t> ParsePositiveSize(std::string_view value) {
  Result<uint64_t> size = ParseSize(value);
  if (size && *size == 0) return Fail(ErrorCode::kInvalid, "must be more than 0");
  return size;
}

Result<void> SetCacheSize(std::string_view value, MountOptions* options) {
  const Result<uint64_t> size = ParsePositiveSize(value);
  if (!size) return tl::unexpected(size.error());
  options->cache_size = *size;
  return {};
}

Result<void> SetMaxSize(std::string_view value, MountOptions* options) {
  const Result<uint64_t> size = ParsePositiveSize(value);
  if (!size) return tl::unexpected(size.error());
  options->max_size = *size;
  return {};
}

Result<void> SetMaxFiles(std::string_view value, MountOptions* options) {
  const std::optional<uint64_t> count = ParseNumber<uint64_t>(value, 10);
  if (!count.has_value() || *count == 0) {
    return Fail(ErrorCode::kInvalid, "must be a number from 1; is \"{}\"", value);
  }
  options->max_files = *count;
  return {};
}

Result<void> SetLayout(std::string_view value, MountOptions* options) {
  if (value != "flat" && value != "namespaced") {
    return Fail(ErrorCode::kInvalid, "must be flat or namespaced; is \"{}\"", value);
  }
  options->layout = value == "flat" ? Layout::kFlat : Layout::kNamespaced;
  return {};
}

Result<void> SetAllowOther(std::string_view, MountOptions* options) {
  options->allow_other = true;
  return {};
}

Result<void> SetNoExec(std::string_view, MountOptions* options) {
  options->noexec = true;
  return {};
}

/// The greatest number is not an ID: the kernel reads it as "no change".
Result<uint32_t> ParseId(std::string_view value) {
  const std::optional<uint32_t> id = ParseNumber<uint32_t>(value, 10);
  if (id.has_value() && *id != std::numeric_limits<uint32_t>::max()) return *id;
  return Fail(ErrorCode::kInvalid, "must be a numeric ID; is \"{}\"", value);
}

Result<void> SetUid(std::string_view value, MountOptions* options) {
  const Result<uint32_t> id = ParseId(value);
  if (!id) return tl::unexpected(id.error());
  options->uid = *id;
  return {};
}

Result<void> SetGid(std::string_view value, MountOptions* options) {
  const Result<uint32_t> id = ParseId(value);
  if (!id) return tl::unexpected(id.error());
  options->gid = *id;
  return {};
}

Result<void> SetUmask(std::string_view value, MountOptions* options) {
  constexpr uint32_t kMaxUmask = 0777;
  const std::optional<uint32_t> mask = ParseNumber<uint32_t>(value, 8);
  if (!mask.has_value() || *mask > kMaxUmask) {
    return Fail(ErrorCode::kInvalid, "must be octal, from 0 to 777; is \"{}\"", value);
  }
  options->umask = *mask;
  return {};
}

Result<void> SetWorkers(std::string_view value, MountOptions* options) {
  const std::optional<int> count = ParseNumber<int>(value, 10);
  if (!count.has_value() || *count < 1 || *count > kMaxWorkers) {
    return Fail(ErrorCode::kInvalid, "must be a number from 1 to {}; is \"{}\"", kMaxWorkers,
                value);
  }
  options->workers = *count;
  return {};
}

Result<void> SetLogLevel(std::string_view value, MountOptions* options) {
  constexpr std::array<std::string_view, 6> kLevels = {"trace", "debug", "info",
                                                       "warn",  "error", "off"};
  if (std::ranges::find(kLevels, value) == kLevels.end()) {
    return Fail(ErrorCode::kInvalid,
                "must be one of trace, debug, info, warn, error, off; is \"{}\"", value);
  }
  options->log_level = value;
  return {};
}

Result<void> SetLogFormat(std::string_view value, MountOptions* options) {
  if (value != "text" && value != "json") {
    return Fail(ErrorCode::kInvalid, "must be text or json; is \"{}\"", value);
  }
  options->log_format = value == "text" ? LogFormat::kText : LogFormat::kJson;
  return {};
}

struct Option {
  std::string_view name;
  std::string_view value;  // its placeholder; empty where the option takes none
  Setter set;
  std::string_view meaning;
};

constexpr std::array<Option, 13> kOptions = {{
    {"cache", "DIR", SetCache, "where artifacts are kept"},
    {"cache_size", "SIZE", SetCacheSize, "remove superseded artifacts beyond SIZE"},
    {"layout", "flat|namespaced", SetLayout, "mount at NAME, or at NAMESPACE/NAME"},
    {"allow_other", "", SetAllowOther, "let other users read the tree"},
    {"noexec", "", SetNoExec, "let no file be executed"},
    {"uid", "N", SetUid, "owner of all files"},
    {"gid", "N", SetGid, "group of all files"},
    {"umask", "MASK", SetUmask, "permissions to take away, octal"},
    {"workers", "N", SetWorkers, "reconcile up to N repositories at the same time"},
    {"max_size", "SIZE", SetMaxSize, "refuse artifacts with larger contents"},
    {"max_files", "N", SetMaxFiles, "refuse artifacts with more entries"},
    {"log_level", "LEVEL", SetLogLevel, "trace, debug, info, warn, error or off"},
    {"log_format", "text|json", SetLogFormat, "how log lines are written"},
}};

/// The default of each option, in the order of kOptions.
std::array<std::string, kOptions.size()> Defaults() {
  const MountOptions options;
  return {DefaultCacheDirectory(),
          "no limit",
          options.layout == Layout::kFlat ? "flat" : "namespaced",
          options.allow_other ? "on" : "off",
          options.noexec ? "on" : "off",
          "the daemon's",
          "the daemon's",
          fmt::format("{:03o}", options.umask),
          fmt::format("{}", options.workers),
          fmt::format("{}G", options.max_size >> 30),
          fmt::format("{}", options.max_files),
          options.log_level,
          options.log_format == LogFormat::kText ? "text" : "json"};
}

bool IsGeneric(std::string_view text) {
  return std::ranges::find(kGenericOptions, text) != kGenericOptions.end() ||
         std::ranges::any_of(kGenericPrefixes,
                             [text](std::string_view prefix) { return text.starts_with(prefix); });
}

Result<void> ParseOne(std::string_view text, MountOptions* options) {
  if (IsGeneric(text)) return {};
  if (text == "exec") {
    options->noexec = false;
    return {};
  }
  const size_t equals = text.find('=');
  const std::string_view name = text.substr(0, equals);
  const auto option = std::ranges::find(kOptions, name, &Option::name);
  if (option == kOptions.end()) {
    return Fail(ErrorCode::kInvalid, "unknown mount option \"{}\"", name);
  }
  const bool has_value = equals != std::string_view::npos;
  if (option->value.empty() && has_value) {
    return Fail(ErrorCode::kInvalid, "{}: takes no value", name);
  }
  const std::string_view value = has_value ? text.substr(equals + 1) : std::string_view();
  if (!option->value.empty() && value.empty()) {
    return Fail(ErrorCode::kInvalid, "{}: needs a value: {}={}", name, name, option->value);
  }
  const Result<void> set = option->set(value, options);
  if (!set) return Wrap(set.error(), name);
  return {};
}

}  // namespace

Result<void> ParseMountOptions(std::string_view argument, MountOptions* options) {
  MountOptions parsed = *options;
  while (!argument.empty()) {
    const size_t comma = argument.find(',');
    const std::string_view text = argument.substr(0, comma);
    argument.remove_prefix(comma == std::string_view::npos ? argument.size() : comma + 1);
    if (text.empty()) continue;
    Result<void> one = ParseOne(text, &parsed);
    if (!one) return one;
  }
  *options = std::move(parsed);
  return {};
}

Result<uint64_t> ParseSize(std::string_view text) {
  uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [parsed, error] = std::from_chars(text.data(), end, number);
  const auto fail = [text] {
    return Fail(ErrorCode::kInvalid, "\"{}\" is not a size such as 512, 64K, 20M or 4G", text);
  };
  if (error == std::errc::result_out_of_range) {
    return Fail(ErrorCode::kInvalid, "\"{}\" is too large a size", text);
  }
  if (error != std::errc()) return fail();
  std::string_view unit(parsed, static_cast<size_t>(end - parsed));
  int shift = 0;
  if (!unit.empty() && unit != "B") {
    const size_t power = std::string_view("KMGT").find(unit.front());
    if (power == std::string_view::npos) return fail();
    shift = 10 * static_cast<int>(power + 1);
    unit.remove_prefix(1);
    if (!unit.empty() && unit != "B" && unit != "iB") return fail();
  }
  if (number > std::numeric_limits<uint64_t>::max() >> shift) {
    return Fail(ErrorCode::kInvalid, "\"{}\" is too large a size", text);
  }
  return number << shift;
}

std::string DefaultCacheDirectory() {
  if (geteuid() == 0) return "/var/cache/ocirepofs";
  // The XDG base directory specification has relative paths ignored.
  const char* cache_home = std::getenv("XDG_CACHE_HOME");
  if (cache_home != nullptr && cache_home[0] == '/') return fmt::format("{}/ocirepofs", cache_home);
  const char* home = std::getenv("HOME");
  if (home != nullptr && home[0] == '/') return fmt::format("{}/.cache/ocirepofs", home);
  constexpr size_t kBufferSize = 4096;
  std::vector<char> buffer(kBufferSize);
  passwd entry;
  passwd* found = nullptr;
  getpwuid_r(geteuid(), &entry, buffer.data(), buffer.size(), &found);
  return fmt::format("{}/.cache/ocirepofs", found == nullptr ? "" : found->pw_dir);
}

std::string MountOptionsHelp() {
  const std::array<std::string, kOptions.size()> defaults = Defaults();
  std::string help;
  for (size_t i = 0; i < kOptions.size(); ++i) {
    const Option& option = kOptions[i];
    const std::string usage = option.value.empty()
                                  ? std::string(option.name)
                                  : fmt::format("{}={}", option.name, option.value);
    help += fmt::format("{:<22}  {} ({})\n", usage, option.meaning, defaults[i]);
  }
  return help;
}

}  // namespace ocirepofs
