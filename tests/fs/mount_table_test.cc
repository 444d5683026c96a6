#include "fs/mount_table.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>

#include "tests/support/temporary_directory.h"

namespace ocirepofs {
namespace {

TEST(MountTypeAt, KnowsWhatIsMountedEverywhere) {
  EXPECT_EQ(MountTypeAt("/proc"), "proc");
  EXPECT_TRUE(MountTypeAt("/").has_value());
}

TEST(MountTypeAt, KnowsNothingWhereNothingIsMounted) {
  EXPECT_EQ(MountTypeAt("/proc/self"), std::nullopt);
  EXPECT_EQ(MountTypeAt("/no/such/place"), std::nullopt);
  EXPECT_EQ(MountTypeAt(""), std::nullopt);
  EXPECT_EQ(MountTypeAt("proc"), std::nullopt);
  EXPECT_EQ(MountTypeAt("/proc/"), std::nullopt);
}

/// In a mount namespace of its own, so that nothing shows outside.
class OwnMounts : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0 ||
        mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
      GTEST_SKIP() << "mounting needs root";
    }
    // What mountinfo writes as octal digits, and what separates its fields.
    path_ = directory_.path() + "/a b\tc\nd\\e#f - g";
    ASSERT_TRUE(std::filesystem::create_directory(path_));
  }
  void TearDown() override {
    while (umount2(path_.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) continue;
  }

  TemporaryDirectory directory_;
  std::string path_;
};

TEST_F(OwnMounts, AreFoundUnderAnyName) {
  EXPECT_EQ(MountTypeAt(path_), std::nullopt);
  ASSERT_EQ(mount("some source", path_.c_str(), "tmpfs", 0, nullptr), 0);
  EXPECT_EQ(MountTypeAt(path_), "tmpfs");
  EXPECT_EQ(MountTypeAt(directory_.path()), std::nullopt);
}

TEST_F(OwnMounts, TheTopmostCounts) {
  ASSERT_EQ(mount("none", path_.c_str(), "tmpfs", 0, nullptr), 0);
  ASSERT_EQ(mount("none", path_.c_str(), "ramfs", 0, nullptr), 0);
  EXPECT_EQ(MountTypeAt(path_), "ramfs");
  EXPECT_TRUE(UnmountOnce(path_, /*lazily=*/false));
  EXPECT_EQ(MountTypeAt(path_), "tmpfs");
}

TEST_F(OwnMounts, ABusyOneIsUnmountedLazily) {
  ASSERT_EQ(mount("none", path_.c_str(), "tmpfs", 0, nullptr), 0);
  const UniqueFd user(open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  EXPECT_FALSE(UnmountOnce(path_, /*lazily=*/false));
  EXPECT_EQ(MountTypeAt(path_), "tmpfs");
  EXPECT_TRUE(UnmountOnce(path_, /*lazily=*/true));
  EXPECT_EQ(MountTypeAt(path_), std::nullopt);
}

TEST(ClearStaleMount, LeavesAPlainDirectoryAndAForeignMountAlone) {
  EXPECT_TRUE(ClearStaleMount(std::filesystem::temp_directory_path().string()).has_value());
  EXPECT_TRUE(ClearStaleMount("/proc").has_value());
  EXPECT_EQ(MountTypeAt("/proc"), "proc");
}

}  // namespace
}  // namespace ocirepofs
