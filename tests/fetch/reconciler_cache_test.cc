// What a reconcile leaves in the cache, and what becomes of it at the next start.

#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "tests/support/reconciler_fixture.h"

namespace ocirepofs {
namespace {

using nlohmann::ordered_json;

const ordered_json kTag1 = {{"ref", {{"tag", "1.0"}}}};

ordered_json With(const std::string& field, const ordered_json& value) {
  ordered_json spec = kTag1;
  spec[field] = value;
  return spec;
}

std::string Noise(size_t size) {
  std::mt19937 random(7);
  std::string noise(size, '\0');
  for (char& c : noise) c = static_cast<char>(random());
  return noise;
}

class ReconcilerCache : public ReconcilerTest {
 protected:
  Digest Push(const std::map<std::string, std::string>& files) {
    return registry_.Push("1.0", Layer(files));
  }
  std::string CachedFile() const { return cache_path_ + "/" + status().artifact.value().path; }
  bool HasTemporaryFile() const {
    for (const std::string& name : FileNames()) {
      if (name.find(".tmp") != std::string::npos) return true;
    }
    return false;
  }
};

TEST_F(ReconcilerCache, ARC08_AFreshBuildIsThereUnderItsNames) {
  const Digest digest = Push({{"a", "1"}});
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  const Artifact artifact = status().artifact.value();
  EXPECT_EQ(artifact.path, "ocirepository/default/app/" + digest.Hex() + ".tar.gz");
  EXPECT_EQ(artifact.source_digest, digest);
  EXPECT_EQ(artifact.tag, "1.0");
  EXPECT_EQ(artifact.last_update_time, clock_.Now());
  const std::string bytes = ReadCached(artifact.path);
  EXPECT_EQ(artifact.size, bytes.size());
  EXPECT_EQ(artifact.checksum, Digest::Of(bytes));
  EXPECT_EQ(std::filesystem::read_symlink(RepositoryPath() + "/latest.tar.gz"),
            digest.Hex() + ".tar.gz");
  EXPECT_EQ(FileNames(), (std::set<std::string>{digest.Hex() + ".idx", digest.Hex() + ".tar.gz",
                                                "latest.tar.gz", "record.json"}));
}

TEST_F(ReconcilerCache, TheSameLayerGivesTheSameTarball) {
  Push({{"b", "2"}, {"a", "1"}});
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  const Digest first = status().artifact->checksum;
  registry_.Push("1.0", Zstd(TarBuilder().File("a", "1").File("b", "2").Archive()));
  ASSERT_EQ(Reconcile(), Outcome::kSuccess);
  EXPECT_EQ(status().artifact->checksum, first);
}

TEST_F(ReconcilerCache, ARC09_CHG06_ANewIgnoreRebuildsUnderAnotherName) {
  Push({{"aaa", "1"}, {"b", "2"}, {"c.jpg", "3"}});
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  const auto before = Current()->snapshot;
  EXPECT_EQ(ContentsOf(before->image), (ImageContents{{"aaa", "file:1"}, {"b", "file:2"}}));
  const std::string old_path = status().artifact->path;

  ASSERT_EQ(Sync(With("ignore", "aaa")), Outcome::kSuccess);
  EXPECT_EQ(Contents(), (ImageContents{{"b", "file:2"}, {"c.jpg", "file:3"}}));
  EXPECT_EQ(status().observed_content.ignore, "aaa");
  EXPECT_NE(status().artifact->path, old_path);
  EXPECT_EQ(ContentsOf(before->image), (ImageContents{{"aaa", "file:1"}, {"b", "file:2"}}));
  EXPECT_EQ(Text("ArtifactOutdated"), "");
}

TEST_F(ReconcilerCache, CHG01_CHG02_OnlyAnotherIgnoreIsAChange) {
  const std::string blob = registry_.Blob(Layer({{"a", "1"}}));
  Push({{"a", "1"}});
  const auto pulls = [&] {
    const Log log = registry_.TakeLog();
    return std::count(log.begin(), log.end(), blob);
  };
  ASSERT_EQ(Sync(With("ignore", "nnn")), Outcome::kSuccess);
  EXPECT_EQ(pulls(), 1);
  ASSERT_EQ(Reconcile(), Outcome::kSuccess);
  EXPECT_EQ(pulls(), 0);
  ASSERT_EQ(Sync(With("ignore", "mmm")), Outcome::kSuccess);
  EXPECT_EQ(pulls(), 1);
  ASSERT_EQ(Sync(With("ignore", "")), Outcome::kSuccess);
  EXPECT_EQ(pulls(), 1);
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  EXPECT_EQ(pulls(), 1) << "no ignore is not an empty one";
}

TEST_F(ReconcilerCache, ARC11_CHG04_CHG07_ASelectorIsAChange) {
  const std::string layer = Layer({{"a", "1"}, {"b.jpg", "2"}});
  registry_.Push("1.0", {{.bytes = layer, .media_type = "foo"}});
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  EXPECT_EQ(Contents(), (ImageContents{{"a", "file:1"}}));

  const ordered_json copy = {{"mediaType", "foo"}, {"operation", "copy"}};
  ASSERT_EQ(Sync(With("layerSelector", copy)), Outcome::kSuccess);
  EXPECT_EQ(status().observed_content.layer_selector,
            (LayerSelector{.media_type = "foo", .operation = "copy"}));
  EXPECT_EQ(Contents(), (ImageContents{{"a", "file:1"}, {"b.jpg", "file:2"}}));

  const ordered_json extract = {{"mediaType", "foo"}, {"operation", "extract"}};
  ASSERT_EQ(Sync(With("layerSelector", extract)), Outcome::kSuccess);
  EXPECT_EQ(Contents(), (ImageContents{{"a", "file:1"}}));
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  EXPECT_EQ(status().observed_content.layer_selector, std::nullopt);
}

TEST_F(ReconcilerCache, ACopiedLayerIsKeptUnalteredAndShownUnfiltered) {
  const std::string layer =
      Layer({{".git/config", "1"}, {"a.jpg", "2"}, {"b", "3"}}) + std::string(7, '\0');
  registry_.Push("1.0", layer);
  ordered_json spec = With("layerSelector", {{"operation", "copy"}});
  spec["ignore"] = "b";
  ASSERT_EQ(Sync(spec), Outcome::kSuccess);
  EXPECT_EQ(ReadCached(status().artifact->path), layer);
  EXPECT_EQ(status().artifact->size, layer.size());
  EXPECT_EQ(status().artifact->checksum, Digest::Of(layer));
  EXPECT_EQ(Contents(),
            (ImageContents{
                {".git", "dir"}, {".git/config", "file:1"}, {"a.jpg", "file:2"}, {"b", "file:3"}}));
  Restart();
  ASSERT_FALSE(Configure(spec));
  EXPECT_EQ(Contents().size(), 4u);
}

TEST_F(ReconcilerCache, ACopiedLayerThatIsNoArchiveIsOneFile) {
  const ordered_json copy = With("layerSelector", {{"operation", "copy"}});
  const std::string wasm("\0asm\1\0\0\0 and more", 17);
  registry_.Push("1.0", {{.bytes = wasm,
                          .media_type = "application/wasm",
                          .annotations = {{"org.opencontainers.image.title", "plugin.wasm"}}}});
  ASSERT_EQ(Sync(copy), Outcome::kSuccess);
  EXPECT_EQ(Contents(), (ImageContents{{"plugin.wasm", "file:" + wasm}}));
  EXPECT_EQ(ReadCached(status().artifact->path), wasm);

  registry_.Push("1.0", {{.bytes = "text",
                          .annotations = {{"org.opencontainers.image.title", "../../etc/x"}}}});
  ASSERT_EQ(Reconcile(), Outcome::kSuccess);
  EXPECT_EQ(Contents(), (ImageContents{{Digest::Of("text").ToString(), "file:text"}}));
}

TEST_F(ReconcilerCache, AFailedCopyLeavesNothingBehind) {
  const ordered_json copy = With("layerSelector", {{"operation", "copy"}});
  const std::string layer = Layer({{"a", "1"}});
  registry_.Push("1.0", layer);
  registry_.BreakBlob(Digest::Of(layer), {.body = layer.substr(1)});
  ASSERT_EQ(Sync(copy), Outcome::kFailure);
  EXPECT_EQ(Text("Ready"),
            fmt::format("False OCIArtifactLayerOperationFailed: failed to copy layer from "
                        "artifact: blob {} ends after {} of its {} bytes",
                        Digest::Of(layer).ToString(), layer.size() - 1, layer.size()));
  EXPECT_FALSE(HasTemporaryFile()) << testing::PrintToString(FileNames());
}

TEST_F(ReconcilerCache, AFailedExtractLeavesNothingBehind) {
  const std::string layer = Gzip(Tarball({{"a", "1"}}).substr(0, 600));
  registry_.Push("1.0", layer);
  ASSERT_EQ(Sync(kTag1), Outcome::kFailure);
  EXPECT_EQ(FileNames(), std::set<std::string>{"record.json"});
}

TEST_F(ReconcilerCache, TheRevisionBeforeIsKeptAndOlderOnesAreNot) {
  std::vector<std::string> names;
  for (const char* contents : {"1", "2", "3"}) {
    names.push_back(Push({{"a", contents}}).Hex() + ".tar.gz");
    ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
    moments_.clear();  // they would count as readers
  }
  const std::set<std::string> present = FileNames();
  EXPECT_FALSE(present.contains(names[0]));
  EXPECT_TRUE(present.contains(names[1]));
  EXPECT_TRUE(present.contains(names[2]));
}

TEST_F(ReconcilerCache, ARevisionThatIsStillReadIsKeptAndReadable) {
  const std::string first = Push({{"a", "1"}}).Hex() + ".tar.gz";
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  auto held = Current()->snapshot;
  moments_.clear();
  for (const char* contents : {"2", "3", "4"}) {
    Push({{"a", contents}});
    ASSERT_EQ(Reconcile(), Outcome::kSuccess);
    moments_.clear();
  }
  EXPECT_TRUE(FileNames().contains(first));
  EXPECT_EQ(ContentsOf(held->image), (ImageContents{{"a", "file:1"}}));
  held.reset();
  Push({{"a", "5"}});
  ASSERT_EQ(Reconcile(), Outcome::kSuccess);
  EXPECT_FALSE(FileNames().contains(first));
}

// ---- The next start

TEST_F(ReconcilerCache, ARestartServesWhatWasThereWithoutARequest) {
  Push({{"a", "1"}});
  annotations_["reconcile.fluxcd.io/requestedAt"] = "monday";
  ASSERT_EQ(Sync(With("interval", "5m")), Outcome::kSuccess);
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  ASSERT_EQ(status().generation, 2);
  const SourceStatus before = status();
  registry_.TakeLog();
  clock_.Advance(std::chrono::hours(1));
  Restart();
  ASSERT_NE(reconciler_->LastGood(), nullptr);
  EXPECT_EQ(reconciler_->LastGood()->spec.ref.tag, "1.0");
  EXPECT_FALSE(Configure(kTag1)) << "nothing is due";
  EXPECT_EQ(status(), before);
  EXPECT_EQ(Contents(), (ImageContents{{"a", "file:1"}}));
  EXPECT_EQ(registry_.TakeLog(), Log{});
  ASSERT_EQ(moments_.size(), 1u);
  EXPECT_EQ(moments_[0].change, Catalog::Change::kAdded);
}

TEST_F(ReconcilerCache, ASpecChangedBetweenTwoRunsIsTheNextGeneration) {
  Push({{"a", "1"}});
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  Restart();
  EXPECT_TRUE(Configure(With("interval", "5m")));
  EXPECT_EQ(status().generation, 2);
}

TEST_F(ReconcilerCache, AFailureIsRememberedAcrossARestart) {
  registry_.Untag("1.0");
  ASSERT_EQ(Sync(kTag1), Outcome::kFailure);
  const auto events = Events();
  Restart();
  EXPECT_TRUE(Configure(kTag1));
  EXPECT_EQ(Events(), events);
  ASSERT_EQ(Reconcile(), Outcome::kFailure);
  EXPECT_EQ(Events(), Log{events[0] + " x2"});
}

TEST_F(ReconcilerCache, ARecordThatCannotBeReadIsABeginning) {
  Push({{"a", "1"}});
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  std::ofstream(RepositoryPath() + "/record.json") << "{ torn";
  Restart();
  EXPECT_EQ(reconciler_->LastGood(), nullptr);
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  EXPECT_EQ(Contents(), (ImageContents{{"a", "file:1"}}));
  EXPECT_EQ(status().generation, 1);
}

TEST_F(ReconcilerCache, STO02_AnArtifactThatIsGoneIsPulledAgain) {
  const Digest digest = Push({{"a", "1"}});
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  std::filesystem::remove(CachedFile());
  Restart();
  EXPECT_TRUE(Configure(kTag1));
  EXPECT_FALSE(status().artifact);
  EXPECT_EQ(Text("Reconciling"), "True Progressing: building artifact: disappeared from storage");
  EXPECT_EQ(Text("Ready"), "Unknown Progressing: building artifact: disappeared from storage");
  EXPECT_EQ(Text("ArtifactInStorage"), "");
  EXPECT_TRUE(Events().back().starts_with(
      "Warning ArtifactVerificationFailed: failed to verify integrity of artifact: "));
  ASSERT_EQ(Reconcile(), Outcome::kSuccess);
  EXPECT_EQ(Contents(), (ImageContents{{"a", "file:1"}}));
  EXPECT_EQ(Revision(), "1.0@" + digest.ToString());
}

TEST_F(ReconcilerCache, STO04_AnArtifactThatIsNotWhatItWasIsPulledAgain) {
  Push({{"a", "1"}});
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  const std::string good = ReadCached(status().artifact->path);
  for (const std::string name : {".tar.gz", ".idx"}) {
    const std::string file = RepositoryPath() + "/" + Current()->snapshot->image->stem() + name;
    std::filesystem::resize_file(file, std::filesystem::file_size(file) - 1);
    Restart();
    EXPECT_TRUE(Configure(kTag1)) << name;
    EXPECT_FALSE(status().artifact) << name;
    ASSERT_EQ(Reconcile(), Outcome::kSuccess) << name;
    EXPECT_EQ(ReadCached(status().artifact->path), good) << name;
  }
}

TEST_F(ReconcilerCache, STO04_ADamagedArtifactIsGivenUpAndPulledAgain) {
  Push({{"a", "1"}});
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  const auto held = Current()->snapshot;
  const std::string path = status().artifact->path;
  registry_.TakeLog();
  reconciler_->Discard(held->serial);
  EXPECT_FALSE(status().artifact);
  EXPECT_EQ(Current()->snapshot, held) << "readers keep what they can still read";
  EXPECT_EQ(Text("Ready"), "Unknown Progressing: building artifact: disappeared from storage");
  EXPECT_EQ(Events().back(),
            "Warning ArtifactVerificationFailed: failed to verify integrity of artifact: " + path +
                " is damaged");
  EXPECT_FALSE(std::filesystem::exists(cache_path_ + "/" + path));
  ASSERT_EQ(Reconcile(), Outcome::kSuccess);
  EXPECT_EQ(registry_.TakeLog().back(), registry_.Blob(Layer({{"a", "1"}})));
  EXPECT_NE(Current()->snapshot, held);
  EXPECT_EQ(Contents(), (ImageContents{{"a", "file:1"}}));
}

TEST_F(ReconcilerCache, DamageOfAFormerRevisionIsOfNoConcern) {
  Push({{"a", "1"}});
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  const uint32_t former = Current()->snapshot->serial;
  Push({{"a", "2"}});
  ASSERT_EQ(Reconcile(), Outcome::kSuccess);
  const size_t moments = moments_.size();
  reconciler_->Discard(former);
  EXPECT_EQ(moments_.size(), moments);
  EXPECT_TRUE(status().artifact);
}

// ---- A full disk

class ReconcilerFullDisk : public ReconcilerCache {
 protected:
  void SetUp() override {
    mounted_ = mount("tmpfs", directory_.path().c_str(), "tmpfs", 0, "size=256k,mode=0700") == 0;
    if (!mounted_) GTEST_SKIP() << "a small file system can't be mounted (needs root)";
  }
  void TearDown() override {
    reconciler_.reset();
    store_.reset();
    moments_.clear();
    catalog_.reset();
    if (mounted_) umount2(directory_.path().c_str(), MNT_DETACH);
  }
  bool mounted_ = false;
};

TEST_F(ReconcilerFullDisk, TheLastGoodStaysAndTheRestIsRetried) {
  Push({{"a", "1"}});
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  const auto snapshot = Current()->snapshot;
  const std::set<std::string> files = FileNames();
  Push({{"a", std::string(400'000, 'x')}});
  ASSERT_EQ(Reconcile(), Outcome::kFailure);
  EXPECT_EQ(Text("StorageOperationFailed"),
            "True ArchiveOperationFailed: unable to archive artifact to storage: cannot write the "
            "artifact: No space left on device");
  EXPECT_EQ("False" + Text("StorageOperationFailed").substr(4), Text("Ready"));
  EXPECT_EQ(Current()->snapshot, snapshot);
  EXPECT_EQ(Contents(), (ImageContents{{"a", "file:1"}}));
  EXPECT_EQ(FileNames(), files);
  Push({{"a", "2"}});
  ASSERT_EQ(Reconcile(), Outcome::kSuccess);
  EXPECT_EQ(Text("StorageOperationFailed"), "");
  EXPECT_EQ(Contents(), (ImageContents{{"a", "file:2"}}));
}

TEST_F(ReconcilerFullDisk, ACopyThatDoesNotFitIsGone) {
  const ordered_json copy = With("layerSelector", {{"operation", "copy"}});
  registry_.Push("1.0", Noise(400'000));
  ASSERT_EQ(Sync(copy), Outcome::kFailure);
  EXPECT_EQ(Text("StorageOperationFailed"),
            "True ArchiveOperationFailed: unable to copy artifact to storage: cannot write the "
            "artifact: No space left on device");
  EXPECT_FALSE(HasTemporaryFile()) << testing::PrintToString(FileNames());
}

}  // namespace
}  // namespace ocirepofs
