#include "conf/options.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>
#include <sstream>
#include <string>

namespace ocirepofs {
namespace {

std::string ErrorOf(std::string_view argument) {
  MountOptions options;
  const Result<void> result = ParseMountOptions(argument, &options);
  if (result) return "accepted";
  EXPECT_EQ(result.error().code, ErrorCode::kInvalid);
  return result.error().message;
}

MountOptions OptionsOf(std::string_view argument) {
  MountOptions options;
  const Result<void> result = ParseMountOptions(argument, &options);
  EXPECT_TRUE(result.has_value()) << (result ? "" : result.error().message);
  return options;
}

/// Sets an environment variable for the time of a test.
class ScopedEnvironment {
 public:
  ScopedEnvironment(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    if (value == nullptr) {
      unsetenv(name);
    } else {
      setenv(name, value, 1);
    }
  }
  ~ScopedEnvironment() {
    if (old_.has_value()) {
      setenv(name_, old_->c_str(), 1);
    } else {
      unsetenv(name_);
    }
  }
  ScopedEnvironment(const ScopedEnvironment&) = delete;
  ScopedEnvironment& operator=(const ScopedEnvironment&) = delete;

 private:
  const char* name_;
  std::optional<std::string> old_;
};

TEST(MountOptions, AreRead) {
  const MountOptions options = OptionsOf(
      "cache=/srv/cache=1,cache_size=20G,layout=namespaced,allow_other,noexec,uid=1000,gid=0,"
      "umask=027,workers=64,max_size=1M,max_files=10,log_level=debug,log_format=json");
  EXPECT_EQ(options.cache_directory, "/srv/cache=1");
  EXPECT_EQ(options.cache_size, uint64_t{20} << 30);
  EXPECT_EQ(options.layout, Layout::kNamespaced);
  EXPECT_TRUE(options.allow_other);
  EXPECT_TRUE(options.noexec);
  EXPECT_EQ(options.uid, 1000u);
  EXPECT_EQ(options.gid, 0u);
  EXPECT_EQ(options.umask, 027u);
  EXPECT_EQ(options.workers, 64);
  EXPECT_EQ(options.max_size, uint64_t{1} << 20);
  EXPECT_EQ(options.max_files, 10u);
  EXPECT_EQ(options.log_level, "debug");
  EXPECT_EQ(options.log_format, LogFormat::kJson);
}

TEST(MountOptions, TheLastOneCounts) {
  EXPECT_EQ(OptionsOf("workers=2,workers=3").workers, 3);
  EXPECT_FALSE(OptionsOf("noexec,exec").noexec);
  EXPECT_EQ(OptionsOf("layout=namespaced,layout=flat").layout, Layout::kFlat);
}

TEST(MountOptions, SeveralArgumentsAddUp) {
  MountOptions options;
  ASSERT_TRUE(ParseMountOptions("workers=2", &options).has_value());
  ASSERT_TRUE(ParseMountOptions("uid=3", &options).has_value());
  EXPECT_EQ(options.workers, 2);
  EXPECT_EQ(options.uid, 3u);
}

TEST(MountOptions, GenericOnesChangeNothing) {
  for (const std::string_view argument :
       {"ro", "nodev", "nosuid", "_netdev", "noauto", "nofail", "defaults", "user", "user=me",
        "x-systemd.automount", "x-systemd.idle-timeout=1min", "X-mount.mkdir", "comment=hello", "",
        ",,", "ro,"}) {
    EXPECT_EQ(ErrorOf(argument), "accepted") << argument;
  }
}

TEST(MountOptions, AFaultyArgumentChangesNothing) {
  MountOptions options;
  ASSERT_FALSE(ParseMountOptions("workers=2,foo", &options).has_value());
  EXPECT_EQ(options.workers, MountOptions{}.workers);
}

TEST(MountOptions, WhatMountPassesOnForEveryFileSystemIsAccepted) {
  MountOptions options;
  EXPECT_TRUE(ParseMountOptions("rw,nodev,_netdev,x-systemd.automount", &options).has_value());
}

TEST(MountOptions, UnknownOnesAreRefused) {
  EXPECT_EQ(ErrorOf("ro,foo=1"), "unknown mount option \"foo\"");
  EXPECT_EQ(ErrorOf("=1"), "unknown mount option \"\"");
  EXPECT_EQ(ErrorOf("Cache=/x"), "unknown mount option \"Cache\"");
}

TEST(MountOptions, ValuesAreThereWhereTheyBelong) {
  EXPECT_EQ(ErrorOf("cache"), "cache: needs a value: cache=DIR");
  EXPECT_EQ(ErrorOf("uid="), "uid: needs a value: uid=N");
  EXPECT_EQ(ErrorOf("allow_other=1"), "allow_other: takes no value");
}

TEST(MountOptions, ValuesAreChecked) {
  EXPECT_EQ(ErrorOf("cache_size=x"), "cache_size: \"x\" is not a size such as 512, 64K, 20M or 4G");
  EXPECT_EQ(ErrorOf("cache_size=0"), "cache_size: must be more than 0");
  EXPECT_EQ(ErrorOf("max_size=0K"), "max_size: must be more than 0");
  EXPECT_EQ(ErrorOf("max_files=0"), "max_files: must be a number from 1; is \"0\"");
  EXPECT_EQ(ErrorOf("max_files=1K"), "max_files: must be a number from 1; is \"1K\"");
  EXPECT_EQ(ErrorOf("layout=tree"), "layout: must be flat or namespaced; is \"tree\"");
  EXPECT_EQ(ErrorOf("uid=root"), "uid: must be a numeric ID; is \"root\"");
  EXPECT_EQ(ErrorOf("uid=-1"), "uid: must be a numeric ID; is \"-1\"");
  EXPECT_EQ(ErrorOf("gid=4294967295"), "gid: must be a numeric ID; is \"4294967295\"");
  EXPECT_EQ(ErrorOf("umask=8"), "umask: must be octal, from 0 to 777; is \"8\"");
  EXPECT_EQ(ErrorOf("umask=1000"), "umask: must be octal, from 0 to 777; is \"1000\"");
  EXPECT_EQ(ErrorOf("workers=0"), "workers: must be a number from 1 to 64; is \"0\"");
  EXPECT_EQ(ErrorOf("workers=65"), "workers: must be a number from 1 to 64; is \"65\"");
  EXPECT_EQ(ErrorOf("log_level=loud"),
            "log_level: must be one of trace, debug, info, warn, error, off; is \"loud\"");
  EXPECT_EQ(ErrorOf("log_format=xml"), "log_format: must be text or json; is \"xml\"");
}

TEST(Size, UnitsArePowersOf1024) {
  EXPECT_EQ(ParseSize("0").value(), 0u);
  EXPECT_EQ(ParseSize("512").value(), 512u);
  EXPECT_EQ(ParseSize("512B").value(), 512u);
  EXPECT_EQ(ParseSize("64K").value(), 65536u);
  EXPECT_EQ(ParseSize("20M").value(), uint64_t{20} << 20);
  EXPECT_EQ(ParseSize("4GiB").value(), uint64_t{4} << 30);
  EXPECT_EQ(ParseSize("1TB").value(), uint64_t{1} << 40);
}

TEST(Size, WhatIsNoSizeIsRefused) {
  for (const std::string_view text :
       {"", "K", "-1", "+1", "1.5G", "1 K", "1k", "1P", "1KiBB", "1iB", "1Ki", "0x10", "1KK"}) {
    const Result<uint64_t> size = ParseSize(text);
    ASSERT_FALSE(size.has_value()) << text;
    EXPECT_EQ(size.error().message,
              fmt::format("\"{}\" is not a size such as 512, 64K, 20M or 4G", text));
  }
}

TEST(Size, OverflowIsRefused) {
  EXPECT_EQ(ParseSize("18446744073709551615").value(), UINT64_MAX);
  EXPECT_EQ(ParseSize("18014398509481983K").value(), UINT64_MAX - 1023);
  for (const std::string_view text : {"18446744073709551616", "18014398509481984K", "16777216T"}) {
    const Result<uint64_t> size = ParseSize(text);
    ASSERT_FALSE(size.has_value()) << text;
    EXPECT_EQ(size.error().message, fmt::format("\"{}\" is too large a size", text));
  }
}

TEST(DefaultCacheDirectory, IsTheSystemsForRoot) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  const ScopedEnvironment cache_home("XDG_CACHE_HOME", "/xdg");
  EXPECT_EQ(DefaultCacheDirectory(), "/var/cache/ocirepofs");
}

TEST(DefaultCacheDirectory, IsBelowXdgCacheHomeOrHomeForOthers) {
  if (geteuid() == 0 && seteuid(65534) != 0) GTEST_SKIP() << "cannot become another user";
  {
    const ScopedEnvironment home("HOME", "/home/me");
    const ScopedEnvironment cache_home("XDG_CACHE_HOME", "/xdg");
    EXPECT_EQ(DefaultCacheDirectory(), "/xdg/ocirepofs");
    const ScopedEnvironment relative("XDG_CACHE_HOME", "xdg");
    EXPECT_EQ(DefaultCacheDirectory(), "/home/me/.cache/ocirepofs");
    const ScopedEnvironment unset("XDG_CACHE_HOME", nullptr);
    EXPECT_EQ(DefaultCacheDirectory(), "/home/me/.cache/ocirepofs");
  }
  if (getuid() == 0) {
    ASSERT_EQ(seteuid(0), 0);
  }
}

TEST(MountOptionsHelp, HasALineForEachOptionWithItsDefault) {
  const std::string help = MountOptionsHelp();
  EXPECT_NE(help.find("cache=DIR               where artifacts are kept (" +
                      DefaultCacheDirectory() + ")\n"),
            std::string::npos)
      << help;
  EXPECT_NE(help.find(fmt::format(
                "workers=N               reconcile up to N repositories at the same time ({})\n",
                MountOptions{}.workers)),
            std::string::npos)
      << help;
  EXPECT_NE(help.find("max_size=SIZE           refuse artifacts with larger contents (4G)\n"),
            std::string::npos)
      << help;
}

TEST(MountOptionsHelp, NamesOnlyOptionsThatExist) {
  std::istringstream lines(MountOptionsHelp());
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const std::string name = line.substr(0, line.find_first_of("= "));
    EXPECT_EQ(ErrorOf(name).find("unknown"), std::string::npos) << name;
  }
  EXPECT_EQ(count, 13);
}

}  // namespace
}  // namespace ocirepofs
