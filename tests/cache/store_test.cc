#include "cache/store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "cache/names.h"
#include "tests/support/cache_fixture.h"
#include "tests/support/image_contents.h"

namespace ocirepofs {
namespace {

using std::chrono::hours;
using Strings = std::vector<std::string>;

const ObjectKey kKey{"apps", "podinfo"};

class StoreTest : public CacheTest {
 protected:
  std::unique_ptr<Store> OpenStore() const {
    auto store = Store::Open(cache_, "process 12 serves /mnt/oci");
    EXPECT_EQ(Outcome(store), "success");
    return std::move(*store);
  }
  std::string InRepository(const std::string& name) const {
    return cache_ + "/ocirepository/apps/podinfo/" + name;
  }
  static unsigned ModeOf(const std::string& path) {
    struct stat info {};
    EXPECT_EQ(lstat(path.c_str(), &info), 0) << path;
    return info.st_mode & 07777;
  }
  static bool Exists(const std::string& path) {
    return std::filesystem::exists(std::filesystem::symlink_status(path));
  }
  static void SetAge(const std::string& path, hours age) {
    const timespec time{std::time(nullptr) - std::chrono::seconds(age).count(), 0};
    const std::array<timespec, 2> times = {time, time};
    ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times.data(), 0), 0);
  }
  static void Keep(RepositoryStore* repository, const std::string& stem,
                   const std::vector<ArchiveEntry>& entries) {
    auto writer = repository->NewImage(stem, {});
    ASSERT_EQ(Outcome(writer), "success");
    ASSERT_EQ(Outcome(AddAll(entries, writer->get())), "success");
    ASSERT_EQ(Outcome((*writer)->Finish(kBuiltAt)), "success");
    ASSERT_EQ(Outcome((*writer)->Commit()), "success");
  }

  const std::string cache_ = PathOf("var/cache");
};

/// What a forked child is told when it opens the same store.
std::string OpenedByAChild(const std::string& path) {
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) return "no pipe";
  const pid_t child = fork();
  if (child == 0) {
    const std::string text = Outcome(Store::Open(path, "process 13 serves /mnt/other"));
    const bool whole =
        write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size());
    _exit(whole ? 0 : 1);
  }
  close(ends[1]);
  std::string text(4096, '\0');
  const ssize_t count = read(ends[0], text.data(), text.size());
  close(ends[0]);
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  return text.substr(0, static_cast<size_t>(std::max<ssize_t>(count, 0)));
}

TEST_F(StoreTest, SecondProcessIsToldWhoHoldsTheCache) {
  auto store = OpenStore();
  EXPECT_EQ(OpenedByAChild(cache_),
            "kStorage: the cache directory " + cache_ +
                " is in use (process 12 serves /mnt/oci); choose another with -o cache=DIR");
  store.reset();
  EXPECT_EQ(OpenedByAChild(cache_), "success");
}

TEST_F(StoreTest, LockNamesItsNewHolderOnly) {
  ASSERT_EQ(Outcome(Store::Open(cache_, "a holder with a very long description")), "success");
  const auto store = Store::Open(cache_, "short");
  ASSERT_EQ(Outcome(store), "success");
  EXPECT_EQ(ReadWholeFile(cache_ + "/lock"), "short");
  EXPECT_EQ(Outcome(Store::Open(cache_, "other")),
            "kStorage: the cache directory " + cache_ +
                " is in use (short); choose another with -o cache=DIR");
}

TEST_F(StoreTest, EverythingIsTheOwnersAloneWhateverTheUmask) {
  for (const mode_t mask : {mode_t{0}, mode_t{022}, mode_t{077}}) {
    const mode_t before = umask(mask);
    std::filesystem::remove_all(PathOf("var"));
    auto store = OpenStore();
    auto repository = store->OpenRepository(kKey);
    ASSERT_EQ(Outcome(repository), "success");
    Keep(repository->get(), StemNumber(1), {File("b", "x"), File("a", "y")});
    ASSERT_EQ(Outcome((*repository)->SaveRecord({})), "success");
    umask(before);
    for (const char* name :
         {"", "/ocirepository", "/ocirepository/apps", "/ocirepository/apps/podinfo"}) {
      EXPECT_EQ(ModeOf(cache_ + name), 0700U) << name << " umask " << mask;
    }
    EXPECT_EQ(ModeOf(cache_ + "/lock"), 0600U) << " umask " << mask;
    for (const std::string& name :
         {ArtifactName(StemNumber(1)), IndexName(StemNumber(1)), std::string(kRecordFile)}) {
      EXPECT_EQ(ModeOf(InRepository(name)), 0600U) << name << " umask " << mask;
    }
  }
}

TEST_F(StoreTest, DirectoryThatOthersMayReadIsClosed) {
  std::filesystem::create_directories(cache_);
  ASSERT_EQ(chmod(cache_.c_str(), 0755), 0);
  const auto store = OpenStore();
  EXPECT_EQ(ModeOf(cache_), 0700U);
}

TEST_F(StoreTest, DirectoryThatOthersMayWriteIsRefused) {
  std::filesystem::create_directories(cache_);
  const std::string refusal =
      "kStorage: the cache directory " + cache_ +
      " must belong to the user that mounts, and be writable by nobody else";
  for (const mode_t mode : {mode_t{0770}, mode_t{0707}, mode_t{01777}}) {
    ASSERT_EQ(chmod(cache_.c_str(), mode), 0);
    EXPECT_EQ(Outcome(Store::Open(cache_, "me")), refusal) << mode;
    EXPECT_EQ(ModeOf(cache_), mode);
  }
}

TEST_F(StoreTest, DirectoryOfAnotherUserIsRefused) {
  std::filesystem::create_directories(cache_);
  if (chown(cache_.c_str(), 12345, static_cast<gid_t>(-1)) != 0) {
    GTEST_SKIP() << "needs root, to give a directory away";
  }
  EXPECT_EQ(Outcome(Store::Open(cache_, "me")),
            "kStorage: the cache directory " + cache_ +
                " must belong to the user that mounts, and be writable by nobody else");
}

TEST_F(StoreTest, PathThatIsAFileIsRefused) {
  WriteWholeFile(PathOf("file"), "");
  EXPECT_EQ(Outcome(Store::Open(PathOf("file"), "me")),
            "kStorage: cannot open the cache directory " + PathOf("file") + ": Not a directory");
  EXPECT_EQ(
      Outcome(Store::Open(PathOf("file/below"), "me")),
      "kStorage: cannot make the cache directory " + PathOf("file/below") + ": Not a directory");
}

TEST_F(StoreTest, LinksInsideTheCacheAreNotFollowed) {
  std::filesystem::create_directories(cache_);
  std::filesystem::create_directories(PathOf("elsewhere"));
  ASSERT_EQ(symlink(PathOf("elsewhere").c_str(), (cache_ + "/ocirepository").c_str()), 0);
  EXPECT_EQ(Outcome(Store::Open(cache_, "me")).substr(0, 9), "kStorage:");
  EXPECT_TRUE(std::filesystem::is_empty(PathOf("elsewhere")));
  std::filesystem::remove(cache_ + "/ocirepository");

  const auto store = OpenStore();
  std::filesystem::create_directories(cache_ + "/ocirepository/apps");
  ASSERT_EQ(symlink(PathOf("elsewhere").c_str(),
                    InRepository("").substr(0, InRepository("").size() - 1).c_str()),
            0);
  EXPECT_EQ(Outcome(store->OpenRepository(kKey)).substr(0, 9), "kStorage:");
}

TEST_F(StoreTest, OpeningARepositoryRemovesWhatACrashLeft) {
  auto store = OpenStore();
  {
    auto repository = store->OpenRepository(kKey);
    ASSERT_EQ(Outcome(repository), "success");
    Keep(repository->get(), StemNumber(1), {File("a", "x")});
  }
  for (const std::string& name : {ArtifactName(StemNumber(2)), IndexName(StemNumber(2)),
                                  std::string(kRecordFile), std::string(kLatestLink)}) {
    WriteWholeFile(InRepository(TemporaryName(name)), "half");
  }
  auto repository = store->OpenRepository(kKey);
  ASSERT_EQ(Outcome(repository), "success");
  Strings left;
  for (const auto& entry : std::filesystem::directory_iterator(InRepository(""))) {
    left.push_back(entry.path().filename());
  }
  std::sort(left.begin(), left.end());
  EXPECT_EQ(left, (Strings{IndexName(StemNumber(1)), ArtifactName(StemNumber(1))}));
  EXPECT_TRUE((*repository)->HasImage(StemNumber(1)));
}

TEST_F(StoreTest, WriterKilledHalfWayLeavesOnlyTemporaryFiles) {
  auto store = OpenStore();
  auto repository = store->OpenRepository(kKey);
  ASSERT_EQ(Outcome(repository), "success");
  const pid_t child = fork();
  if (child == 0) {
    auto writer = (*repository)->NewImage(StemNumber(3), {});
    const bool good = writer && AddAll({File("b", "x"), File("a", "y")}, writer->get()) &&
                      (*writer)->Finish(kBuiltAt);
    _exit(good ? 0 : 1);  // no destructor runs
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  EXPECT_FALSE((*repository)->HasImage(StemNumber(3)));
  EXPECT_FALSE(std::filesystem::is_empty(InRepository("")));
  ASSERT_EQ(Outcome(store->OpenRepository(kKey)), "success");
  EXPECT_TRUE(std::filesystem::is_empty(InRepository("")));
}

TEST_F(StoreTest, RecordIsKept) {
  auto store = OpenStore();
  auto repository = store->OpenRepository(kKey);
  ASSERT_EQ(Outcome(repository), "success");
  auto absent = (*repository)->LoadRecord();
  ASSERT_EQ(Outcome(absent), "success");
  EXPECT_FALSE(absent->has_value());
  Record record;
  record.previous_stem = "previous";
  ASSERT_EQ(Outcome((*repository)->SaveRecord(record)), "success");
  auto loaded = (*store->OpenRepository(kKey))->LoadRecord();
  ASSERT_EQ(Outcome(loaded), "success");
  EXPECT_EQ((*loaded)->previous_stem, "previous");
}

TEST_F(StoreTest, RecordThatCannotBeWrittenLeavesTheFormerOne) {
  auto store = OpenStore();
  auto repository = store->OpenRepository(kKey);
  Record record;
  record.previous_stem = "former";
  ASSERT_EQ(Outcome((*repository)->SaveRecord(record)), "success");
  record.previous_stem = std::string(10'000, 'x');
  {
    const FileSizeLimit limit(4096);
    EXPECT_EQ(Outcome((*repository)->SaveRecord(record)),
              "kStorage: cannot write record.json: File too large");
  }
  EXPECT_FALSE(Exists(InRepository("record.json.tmp")));
  auto loaded = (*repository)->LoadRecord();
  ASSERT_EQ(Outcome(loaded), "success");
  EXPECT_EQ((*loaded)->previous_stem, "former");
}

TEST_F(StoreTest, IndexWithoutItsTarballIsNoImage) {
  // What a crash between the two renames of a commit leaves.
  auto store = OpenStore();
  auto repository = store->OpenRepository(kKey);
  Keep(repository->get(), StemNumber(1), {File("a", "x")});
  ASSERT_TRUE((*repository)->HasImage(StemNumber(1)));
  std::filesystem::remove(InRepository(ArtifactName(StemNumber(1))));
  EXPECT_FALSE((*repository)->HasImage(StemNumber(1)));
  Keep(repository->get(), StemNumber(1), {File("a", "y")});
  EXPECT_TRUE((*repository)->HasImage(StemNumber(1)));
}

TEST_F(StoreTest, RecordThatIsNoRegularFileIsRefused) {
  auto store = OpenStore();
  auto repository = store->OpenRepository(kKey);
  ASSERT_EQ(mkfifo(InRepository("record.json").c_str(), 0600), 0);
  EXPECT_EQ(Outcome((*repository)->LoadRecord()), "kCorrupt: record.json is not a regular file");
  std::filesystem::remove(InRepository("record.json"));
  ASSERT_EQ(symlink("/etc/passwd", InRepository("record.json").c_str()), 0);
  EXPECT_EQ(Outcome((*repository)->LoadRecord()).substr(0, 9), "kStorage:");
}

TEST_F(StoreTest, LatestPointsAtTheArtifact) {
  auto store = OpenStore();
  auto repository = store->OpenRepository(kKey);
  for (const int number : {1, 2}) {
    ASSERT_EQ(Outcome((*repository)->SetLatest(StemNumber(number))), "success");
    EXPECT_EQ(std::filesystem::read_symlink(InRepository("latest.tar.gz")),
              ArtifactName(StemNumber(number)));
  }
}

TEST_F(StoreTest, CollectExceptKeepsWhatIsNamedAndWhatIsNoRevision) {
  auto store = OpenStore();
  auto repository = store->OpenRepository(kKey);
  for (const int number : {1, 2, 3}) {
    Keep(repository->get(), StemNumber(number), {File("a", StemNumber(number))});
  }
  WriteWholeFile(InRepository(ImageName(StemNumber(2))), "");
  WriteWholeFile(InRepository("notes.tar.gz"), "");
  ASSERT_EQ(Outcome((*repository)->SaveRecord({})), "success");
  ASSERT_EQ(Outcome((*repository)->SetLatest(StemNumber(1))), "success");
  (*repository)->CollectExcept({StemNumber(1), StemNumber(3)});
  EXPECT_TRUE((*repository)->HasImage(StemNumber(1)));
  EXPECT_TRUE((*repository)->HasImage(StemNumber(3)));
  for (const std::string& name :
       {ArtifactName(StemNumber(2)), ImageName(StemNumber(2)), IndexName(StemNumber(2))}) {
    EXPECT_FALSE(Exists(InRepository(name))) << name;
  }
  for (const char* name : {"record.json", "latest.tar.gz", "notes.tar.gz"}) {
    EXPECT_TRUE(Exists(InRepository(name))) << name;
  }
}

TEST_F(StoreTest, DiscardRemovesOneRevision) {
  auto store = OpenStore();
  auto repository = store->OpenRepository(kKey);
  for (const int number : {1, 2}) Keep(repository->get(), StemNumber(number), {File("a", "x")});
  const auto open = (*repository)->OpenImage(StemNumber(1));
  ASSERT_EQ(Outcome(open), "success");
  (*repository)->Discard(StemNumber(1));
  EXPECT_FALSE((*repository)->HasImage(StemNumber(1)));
  EXPECT_TRUE((*repository)->HasImage(StemNumber(2)));
  EXPECT_EQ(ContentsOf(*open), (ImageContents{{"a", "file:x"}}));
}

TEST_F(StoreTest, CollectBeyondRemovesTheOldestThatIsNotCurrent) {
  auto store = OpenStore();
  auto repository = store->OpenRepository(kKey);
  uint64_t revision_size = 0;
  for (const int number : {1, 2, 3, 4}) {
    Keep(repository->get(), StemNumber(number), {File("a", NoiseBytes(100'000, 1))});
    revision_size = 0;
    for (const std::string& name :
         {ArtifactName(StemNumber(number)), IndexName(StemNumber(number))}) {
      revision_size += std::filesystem::file_size(InRepository(name));
      if (number != 4) SetAge(InRepository(name), hours(10 - number));
    }
  }
  ASSERT_EQ(Outcome((*repository)->SetLatest(StemNumber(1))), "success");
  const auto left = [&] {
    std::set<int> numbers;
    for (const int number : {1, 2, 3, 4}) {
      if ((*repository)->HasImage(StemNumber(number))) numbers.insert(number);
    }
    return numbers;
  };
  store->CollectBeyond(4 * revision_size);
  EXPECT_EQ(left(), (std::set{1, 2, 3, 4}));
  store->CollectBeyond(3 * revision_size);
  EXPECT_EQ(left(), (std::set{1, 3, 4}));
  EXPECT_FALSE(Exists(InRepository(IndexName(StemNumber(2)))));
  // The current one stays, and so does what was written just now.
  store->CollectBeyond(0);
  EXPECT_EQ(left(), (std::set{1, 4}));
}

TEST_F(StoreTest, CollectAbsentHonoursAgeAndPresence) {
  auto store = OpenStore();
  const auto directory = [&](const ObjectKey& key) {
    return fmt::format("{}/ocirepository/{}/{}", cache_, key.namespace_name, key.name);
  };
  const ObjectKey present{"apps", "present"};
  const ObjectKey absent{"apps", "absent"};
  const ObjectKey recent{"apps", "recent"};
  const ObjectKey alone{"alone", "absent"};
  for (const ObjectKey& key : {present, absent, recent, alone}) {
    ASSERT_EQ(Outcome((*store->OpenRepository(key))->SaveRecord({})), "success");
    SetAge(directory(key), key == recent ? hours(23) : hours(25));
  }
  store->CollectAbsent({present}, hours(24));
  EXPECT_TRUE(Exists(directory(present) + "/record.json"));
  EXPECT_TRUE(Exists(directory(recent) + "/record.json"));
  EXPECT_FALSE(Exists(directory(absent)));
  EXPECT_FALSE(Exists(cache_ + "/ocirepository/alone"));
  EXPECT_TRUE(Exists(cache_ + "/lock"));
  // Presence is of the whole key: another namespace's repository of that name is none of it.
  ASSERT_EQ(Outcome((*store->OpenRepository(alone))->SaveRecord({})), "success");
  SetAge(directory(alone), hours(25));
  store->CollectAbsent({absent}, hours(24));
  EXPECT_FALSE(Exists(directory(alone)));
}

}  // namespace
}  // namespace ocirepofs
