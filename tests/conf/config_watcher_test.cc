#include "conf/config_watcher.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/time.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>

namespace ocirepofs {
namespace {

using std::chrono::milliseconds;
using Event = ConfigWatcher::Event;

constexpr milliseconds kSettle{5};

/// For the signal handler of a test.
ConfigWatcher* g_watcher = nullptr;

/// Has SIGALRM wake `watcher` after a while: what bounds a Wait that is to see nothing.
class WakeLater {
 public:
  explicit WakeLater(ConfigWatcher* watcher) {
    g_watcher = watcher;
    struct sigaction action = {};
    action.sa_handler = [](int) { g_watcher->Wake(); };
    sigaction(SIGALRM, &action, &before_);
    const itimerval timer = {.it_interval = {}, .it_value = {.tv_sec = 0, .tv_usec = 25'000}};
    setitimer(ITIMER_REAL, &timer, nullptr);
  }
  ~WakeLater() {
    const itimerval off = {};
    setitimer(ITIMER_REAL, &off, nullptr);
    sigaction(SIGALRM, &before_, nullptr);
  }
  WakeLater(const WakeLater&) = delete;
  WakeLater& operator=(const WakeLater&) = delete;

 private:
  struct sigaction before_ = {};
};

class ConfigWatcherTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "watcher-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    conf_ = root_ / "conf";
    std::filesystem::create_directory(conf_);
  }
  void TearDown() override {
    watcher_.reset();
    std::filesystem::remove_all(root_);
  }

  void Watch(const std::filesystem::path& path) {
    Result<std::unique_ptr<ConfigWatcher>> watcher = ConfigWatcher::Create(path);
    ASSERT_TRUE(watcher.has_value()) << watcher.error().message;
    watcher_ = std::move(*watcher);
  }
  static void Write(const std::filesystem::path& path) { std::ofstream(path) << "x"; }
  bool Changed() { return watcher_->Wait(kSettle) == Event::kChanged; }
  /// Whether nothing is reported for several times as long as it takes to report a change.
  bool Quiet() {
    const WakeLater wake(watcher_.get());
    return watcher_->Wait(kSettle) == Event::kWoken;
  }

  std::filesystem::path root_;
  std::filesystem::path conf_;
  std::unique_ptr<ConfigWatcher> watcher_;
};

TEST_F(ConfigWatcherTest, SeesAFileThatIsAddedChangedOrRemoved) {
  Watch(conf_);
  Write(conf_ / "a.yaml");
  EXPECT_TRUE(Changed());
  Write(conf_ / "a.yaml");
  EXPECT_TRUE(Changed());
  std::filesystem::remove(conf_ / "a.yaml");
  EXPECT_TRUE(Changed());
  EXPECT_TRUE(Quiet());
}

TEST_F(ConfigWatcherTest, SeesARenameOverAFile) {
  Write(conf_ / "a.yaml");
  Write(root_ / "new");
  Watch(conf_);
  std::filesystem::rename(root_ / "new", conf_ / "a.yaml");
  EXPECT_TRUE(Changed());
}

TEST_F(ConfigWatcherTest, DoesNotSeeHiddenFilesOrReads) {
  Write(conf_ / "a.yaml");
  Watch(conf_);
  Write(conf_ / ".a.yaml.swp");
  Write(root_ / "beside");
  std::string word;
  std::ifstream(conf_ / "a.yaml") >> word;
  EXPECT_TRUE(Quiet());
}

TEST_F(ConfigWatcherTest, AnOpenFileIsSeenWhenItIsClosed) {
  Write(conf_ / "a.yaml");
  Watch(conf_);
  std::ofstream file(conf_ / "a.yaml", std::ios::app);
  file << "half" << std::flush;
  EXPECT_TRUE(Quiet());
  file.close();
  EXPECT_TRUE(Changed());
}

TEST_F(ConfigWatcherTest, SeveralChangesAreReportedOnce) {
  Watch(conf_);
  for (const char* name : {"a.yaml", "b.yaml", "c.yaml"}) Write(conf_ / name);
  EXPECT_TRUE(Changed());
  EXPECT_TRUE(Quiet());
}

TEST_F(ConfigWatcherTest, ChangesWithoutEndAreReportedAfterTenSettles) {
  Watch(conf_);
  std::jthread writer([this](const std::stop_token& stop) {
    while (!stop.stop_requested()) Write(conf_ / "a.yaml");
  });
  EXPECT_TRUE(Changed());
}

TEST_F(ConfigWatcherTest, OfASingleFileOnlyThatFileIsSeen) {
  Write(conf_ / "a.yaml");
  Watch(conf_ / "a.yaml");
  Write(conf_ / "b.yaml");
  EXPECT_TRUE(Quiet());
  Write(conf_ / "a.yaml");
  EXPECT_TRUE(Changed());
  std::filesystem::rename(conf_ / "b.yaml", conf_ / "a.yaml");
  EXPECT_TRUE(Changed());
  Write(conf_ / "a.yaml");
  EXPECT_TRUE(Changed());
}

TEST_F(ConfigWatcherTest, SeesAConfigMapSwitch) {
  std::filesystem::create_directory(conf_ / "..1");
  std::filesystem::create_directory(conf_ / "..2");
  Write(conf_ / "..1/a.yaml");
  Write(conf_ / "..2/a.yaml");
  std::filesystem::create_directory_symlink("..1", conf_ / "..data");
  std::filesystem::create_symlink("..data/a.yaml", conf_ / "a.yaml");
  for (const std::filesystem::path& path : {conf_, conf_ / "a.yaml"}) {
    Watch(path);
    std::filesystem::create_directory_symlink("..2", conf_ / "..data_tmp");
    std::filesystem::rename(conf_ / "..data_tmp", conf_ / "..data");
    EXPECT_TRUE(Changed()) << path;
    Write(conf_ / "..2/a.yaml");
    EXPECT_TRUE(Changed()) << path;
  }
}

TEST_F(ConfigWatcherTest, FollowsADirectoryThatIsReplaced) {
  Watch(conf_);
  std::filesystem::create_directory(root_ / "next");
  EXPECT_TRUE(Quiet());
  std::filesystem::rename(conf_, root_ / "old");
  std::filesystem::rename(root_ / "next", conf_);
  EXPECT_TRUE(Changed());
  Write(root_ / "old/a.yaml");
  EXPECT_TRUE(Quiet());
  Write(conf_ / "a.yaml");
  EXPECT_TRUE(Changed());
}

TEST_F(ConfigWatcherTest, FollowsADirectoryThatIsAwayForAWhile) {
  std::filesystem::create_directories(root_ / "x/y");
  Watch(root_ / "x/y");
  std::filesystem::remove_all(root_ / "x");
  EXPECT_TRUE(Changed());
  std::filesystem::create_directory(root_ / "x");
  EXPECT_TRUE(Changed());
  std::filesystem::create_directory(root_ / "x/y");
  EXPECT_TRUE(Changed());
  Write(root_ / "x/y/a.yaml");
  EXPECT_TRUE(Changed());
}

TEST_F(ConfigWatcherTest, FollowsALinkToADirectory) {
  std::filesystem::create_directory(root_ / "next");
  std::filesystem::create_directory_symlink("conf", root_ / "link");
  Watch(root_ / "link");
  Write(conf_ / "a.yaml");
  EXPECT_TRUE(Changed());
  std::filesystem::create_directory_symlink("next", root_ / "link2");
  std::filesystem::rename(root_ / "link2", root_ / "link");
  EXPECT_TRUE(Changed());
  Write(root_ / "next/a.yaml");
  EXPECT_TRUE(Changed());
}

TEST_F(ConfigWatcherTest, WakeEndsAWait) {
  Watch(conf_);
  std::jthread waker([this] { watcher_->Wake(); });
  EXPECT_EQ(watcher_->Wait(kSettle), Event::kWoken);
}

TEST_F(ConfigWatcherTest, AChangeOutlivesAWake) {
  Watch(conf_);
  Write(conf_ / "a.yaml");
  watcher_->Wake();
  EXPECT_EQ(watcher_->Wait(kSettle), Event::kWoken);
  EXPECT_EQ(watcher_->Wait(kSettle), Event::kChanged);
  EXPECT_TRUE(Quiet());
}

TEST_F(ConfigWatcherTest, WhatIsNotThereCannotBeWatched) {
  const Result<std::unique_ptr<ConfigWatcher>> watcher = ConfigWatcher::Create(root_ / "missing");
  ASSERT_FALSE(watcher.has_value());
  EXPECT_EQ(watcher.error().message,
            "cannot watch: " + (root_ / "missing").string() + ": No such file or directory");
}

}  // namespace
}  // namespace ocirepofs
