#include "fetch/refresher.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <thread>

#include "tests/support/fake_registry.h"
#include "tests/support/image_contents.h"
#include "tests/support/tar_builder.h"
#include "tests/support/temporary_directory.h"

namespace ocirepofs {
namespace {

using std::chrono::seconds;

constexpr seconds kPatience{10};

/// A network in which some hosts never answer, until they are stopped or thawed.
class FreezingTransport final : public Transport {
 public:
  explicit FreezingTransport(Transport* network) : network_(network) {}

  void Freeze(const std::string& text) {
    const std::lock_guard lock(mutex_);
    frozen_.push_back(text);
  }
  void Thaw() {
    const std::lock_guard lock(mutex_);
    frozen_.clear();
    changed_.notify_all();
  }
  /// Waits until that many requests hang at the same time.
  bool WaitForHanging(int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return hanging_ >= count; });
  }

  Result<HttpResponse> Perform(const HttpRequest& request, const BodySink* sink,
                               std::stop_token stop) override {
    {
      std::unique_lock lock(mutex_);
      if (IsFrozen(request.url)) {
        ++hanging_;
        changed_.notify_all();
        const bool thawed = changed_.wait(lock, stop, [&] { return !IsFrozen(request.url); });
        --hanging_;
        if (!thawed) return Fail(ErrorCode::kCancelled, "stopped");
      }
    }
    return network_->Perform(request, sink, stop);
  }

 private:
  bool IsFrozen(const std::string& url) const {
    for (const std::string& text : frozen_) {
      if (url.find(text) != std::string::npos) return true;
    }
    return false;
  }

  Transport* const network_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<std::string> frozen_;
  int hanging_ = 0;
};

class RefresherTest : public testing::Test {
 protected:
  void SetUp() override {
    Result<std::unique_ptr<Store>> store = Store::Open(directory_.path() + "/cache", "a test");
    ASSERT_TRUE(store) << store.error().message;
    store_ = std::move(*store);
    catalog_.SetListener([this](const ObjectKey& key, Catalog::Change change) {
      std::unique_lock lock(mutex_);
      ++changes_;
      changed_.notify_all();
      if (key.name == held_key_ && change == held_change_) {
        is_held_ = true;
        changed_.wait(lock, [this] { return held_key_.empty(); });
      }
    });
    registry_.Push("1.0", Gzip(TarBuilder().File("a", "1").Archive()));
  }

  void Create(const Refresher::Options& options = {.workers = 2, .host_limit = 1}) {
    refresher_.reset();
    ReconcileContext context;
    context.registry = &client_;
    context.clock = &clock_;
    context.catalog = &catalog_;
    refresher_ = std::make_unique<Refresher>(context, store_.get(), options);
  }
  void Start() {
    Create();
    refresher_->Start();
  }

  static OciRepository Manifest(const std::string& name, const std::string& url,
                                const std::string& tag, const std::string& more = "") {
    Configuration configuration;
    ParseManifests(name + ".yaml",
                   fmt::format("apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\n"
                               "metadata: {{name: {}}}\n"
                               "spec: {{url: '{}', interval: 1h, ref: {{tag: '{}'}}{}}}\n",
                               name, url, tag, more),
                   &configuration);
    for (const Diagnostic& error : configuration.errors) ADD_FAILURE() << error.ToString();
    return configuration.repositories.at({"default", name});
  }
  static Configuration Config(const std::vector<OciRepository>& repositories) {
    Configuration configuration;
    for (const OciRepository& one : repositories) configuration.repositories[one.key] = one;
    return configuration;
  }
  static Configuration Invalid(const std::string& name) {
    Configuration configuration;
    configuration.errors.push_back({.position = {"app.yaml", 1, 1},
                                    .message = "broken",
                                    .object = ObjectKey{"default", name}});
    return configuration;
  }
  static OciRepository App(const std::string& tag = "1.0", const std::string& name = "app") {
    return Manifest(name, "oci://r.example/app", tag);
  }

  /// Waits until what is published of the repository satisfies.
  bool WaitFor(const std::string& name,
               const std::function<bool(const std::shared_ptr<const Publication>&)>& satisfies) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    std::unique_lock lock(mutex_);
    for (;;) {
      const int seen = changes_;
      lock.unlock();
      if (satisfies(catalog_.Find({"default", name}))) return true;
      lock.lock();
      if (!changed_.wait_until(lock, deadline, [&] { return changes_ != seen; })) return false;
    }
  }
  bool WaitForContents(const std::string& name, const ImageContents& contents) {
    return WaitFor(name, [&](const auto& publication) {
      return publication != nullptr && publication->status.artifact &&
             publication->status.conditions.IsTrue(condition::kReady) &&
             ContentsOf(publication->snapshot->image) == contents;
    });
  }
  bool WaitForCondition(const std::string& name, std::string_view type) {
    return WaitFor(name, [&](const auto& publication) {
      return publication != nullptr && publication->status.conditions.IsTrue(type);
    });
  }
  static bool IsGone(const std::shared_ptr<const Publication>& publication) {
    return publication == nullptr;
  }

  /// The thread that makes this change is held in the listener until Release.
  void Hold(const std::string& name, Catalog::Change change) {
    const std::lock_guard lock(mutex_);
    held_key_ = name;
    held_change_ = change;
  }
  bool WaitUntilHeld() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [this] { return is_held_; });
  }
  void Release() {
    const std::lock_guard lock(mutex_);
    held_key_.clear();
    changed_.notify_all();
  }

  const ImageContents one_{{"a", "file:1"}};
  const ImageContents two_{{"a", "file:2"}};

  TemporaryDirectory directory_;
  SystemClock clock_;
  FakeTransport net_;
  FakeRegistry registry_{&net_};
  FreezingTransport frozen_{&net_};
  RegistryClient client_{&frozen_, &clock_, [](std::chrono::nanoseconds, std::stop_token stop) {
                           return !stop.stop_requested();
                         }};
  Catalog catalog_;
  std::unique_ptr<Store> store_;

  std::mutex mutex_;
  std::condition_variable changed_;
  int changes_ = 0;
  std::string held_key_;
  Catalog::Change held_change_ = Catalog::Change::kStatus;
  bool is_held_ = false;

  std::unique_ptr<Refresher> refresher_;  // ends first
};

TEST_F(RefresherTest, ApplyAddsChangesAndRemoves) {
  Start();
  refresher_->Apply(Config({App(), App("1.0", "other")}));
  EXPECT_TRUE(WaitForContents("app", one_));
  EXPECT_TRUE(WaitForContents("other", one_));

  registry_.Push("2.0", Gzip(TarBuilder().File("a", "2").Archive()));
  refresher_->Apply(Config({App("2.0"), App("1.0", "other")}));
  EXPECT_TRUE(WaitForContents("app", two_));
  EXPECT_EQ(catalog_.Find({"default", "app"})->status.generation, 2);
  EXPECT_EQ(catalog_.Find({"default", "other"})->status.generation, 1);

  refresher_->Apply(Config({App("2.0")}));
  EXPECT_EQ(catalog_.Find({"default", "other"}), nullptr);
  refresher_->Apply(Config({App("2.0"), App("1.0", "other")}));
  EXPECT_TRUE(WaitForContents("other", one_));
}

TEST_F(RefresherTest, EverythingIsPublishedWhenApplyReturns) {
  Create();
  refresher_->Apply(Config({App(), App("1.0", "other")}));
  ASSERT_EQ(catalog_.All().size(), 2u);
  for (const auto& publication : catalog_.All()) {
    EXPECT_TRUE(publication->status.conditions.IsTrue(condition::kReconciling));
  }
  EXPECT_TRUE(net_.log().empty()) << "no network";
}

TEST_F(RefresherTest, WhatTheCacheHasIsServedBeforeAnyRequest) {
  Start();
  refresher_->Apply(Config({App()}));
  ASSERT_TRUE(WaitForContents("app", one_));
  Create();
  catalog_.Remove({"default", "app"});
  frozen_.Freeze("r.example");
  refresher_->Apply(Config({App()}));
  const auto publication = catalog_.Find({"default", "app"});
  ASSERT_NE(publication, nullptr);
  EXPECT_EQ(ContentsOf(publication->snapshot->image), one_);
  EXPECT_TRUE(publication->status.conditions.IsTrue(condition::kReady));
}

TEST_F(RefresherTest, AHangingHostHoldsUpNoOther) {
  frozen_.Freeze("dead.example");
  Start();
  std::vector<OciRepository> all;
  for (int i = 0; i < 20; ++i) {
    all.push_back(Manifest("a-dead" + std::to_string(i), "oci://dead.example/app", "1.0"));
  }
  refresher_->Apply(Config(all));
  ASSERT_TRUE(frozen_.WaitForHanging(1));
  all.push_back(App("1.0", "live"));
  refresher_->Apply(Config(all));
  EXPECT_TRUE(WaitForContents("live", one_));
}

TEST_F(RefresherTest, AHangingTransferHoldsUpNoStop) {
  frozen_.Freeze("/blobs/");
  Start();
  refresher_->Apply(Config({App()}));
  ASSERT_TRUE(frozen_.WaitForHanging(1));
  const auto before = std::chrono::steady_clock::now();
  refresher_.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - before, seconds(5));
  const auto publication = catalog_.Find({"default", "app"});
  EXPECT_FALSE(publication->status.conditions.IsTrue(condition::kFetchFailed));
}

TEST_F(RefresherTest, AChangeBreaksOffWhatHangs) {
  frozen_.Freeze("/manifests/1.0");
  registry_.Push("2.0", Gzip(TarBuilder().File("a", "2").Archive()));
  Start();
  refresher_->Apply(Config({App("1.0")}));
  ASSERT_TRUE(frozen_.WaitForHanging(1));
  refresher_->Apply(Config({App("2.0")}));
  EXPECT_TRUE(WaitForContents("app", two_));
}

TEST_F(RefresherTest, ARemovalBreaksOffWhatHangs) {
  frozen_.Freeze("/manifests/1.0");
  Start();
  refresher_->Apply(Config({App("1.0")}));
  ASSERT_TRUE(frozen_.WaitForHanging(1));
  refresher_->Apply(Config({}));
  EXPECT_TRUE(WaitFor("app", IsGone));
}

TEST_F(RefresherTest, AFailureIsTriedAgainBeforeTheInterval) {
  registry_.Break("1.0", {.status = 403});
  Start();
  refresher_->Apply(Config({App()}));
  ASSERT_TRUE(WaitForCondition("app", condition::kFetchFailed));
  registry_.Push("1.0", Gzip(TarBuilder().File("a", "2").Archive()));
  EXPECT_TRUE(WaitForContents("app", two_));
}

TEST_F(RefresherTest, AnInvalidManifestKeepsItsContentsAndRecovers) {
  Start();
  refresher_->Apply(Config({App()}));
  ASSERT_TRUE(WaitForContents("app", one_));
  refresher_->Apply(Invalid("app"));
  EXPECT_TRUE(WaitForCondition("app", condition::kStalled));
  EXPECT_EQ(ContentsOf(catalog_.Find({"default", "app"})->snapshot->image), one_);
  refresher_->Apply(Config({App()}));
  EXPECT_TRUE(WaitForContents("app", one_));
}

TEST_F(RefresherTest, TheSameFaultToldAgainIsNoNewEvent) {
  Start();
  refresher_->Apply(Config({App()}));
  ASSERT_TRUE(WaitForContents("app", one_));
  for (int i = 0; i < 3; ++i) refresher_->Apply(Invalid("app"));
  ASSERT_TRUE(WaitForCondition("app", condition::kStalled));
  EXPECT_EQ(catalog_.Find({"default", "app"})->status.events.back().count, 1);
}

// ---- Damage

TEST_F(RefresherTest, WhatIsDamagedIsPulledAgainAtOnce) {
  Start();
  refresher_->Apply(Config({App()}));
  ASSERT_TRUE(WaitForContents("app", one_));
  const auto before = catalog_.Find({"default", "app"})->snapshot;
  refresher_->Damaged({"default", "app"}, before->serial);
  EXPECT_TRUE(WaitFor("app", [&](const auto& p) { return p->snapshot != before; }));
  EXPECT_TRUE(WaitForContents("app", one_));
  refresher_->Damaged({"default", "no-such"}, 1);
}

TEST_F(RefresherTest, DamageFoundWhileItRunsIsPulledAgainAtOnce) {
  Start();
  refresher_->Apply(Config({App()}));
  ASSERT_TRUE(WaitForContents("app", one_));
  const auto before = catalog_.Find({"default", "app"})->snapshot;
  frozen_.Freeze("/manifests/1.0");
  refresher_->Apply(Config({Manifest("app", "oci://r.example/app", "1.0", ", insecure: false")}));
  ASSERT_TRUE(frozen_.WaitForHanging(1));
  refresher_->Damaged({"default", "app"}, before->serial);
  frozen_.Thaw();
  EXPECT_TRUE(WaitFor("app", [&](const auto& p) { return p->snapshot != before; }));
}

TEST_F(RefresherTest, DamageOfWhatHasAnInvalidManifestWaitsForAGoodOne) {
  Start();
  refresher_->Apply(Config({App()}));
  ASSERT_TRUE(WaitForContents("app", one_));
  Create();
  refresher_->Apply(Invalid("app"));
  const auto before = catalog_.Find({"default", "app"})->snapshot;
  refresher_->Start();
  refresher_->Damaged({"default", "app"}, before->serial);
  refresher_->Apply(Config({App()}));
  EXPECT_TRUE(WaitFor("app", [&](const auto& p) {
    return p->snapshot != before && !p->status.conditions.IsTrue(condition::kStalled);
  }));
}

// ---- Changes that meet a worker between two of its steps

TEST_F(RefresherTest, WhatIsPutBackWhileItIsBeingRemovedIsThere) {
  frozen_.Freeze("/manifests/1.0");
  Start();
  refresher_->Apply(Config({App()}));
  ASSERT_TRUE(frozen_.WaitForHanging(1));
  Hold("app", Catalog::Change::kRemoved);
  refresher_->Apply(Config({}));
  ASSERT_TRUE(WaitUntilHeld());
  frozen_.Thaw();
  refresher_->Apply(Config({App()}));
  Release();
  EXPECT_TRUE(WaitForContents("app", one_));
}

TEST_F(RefresherTest, AChangeThatMeetsTheOneBeforeIsNotLeftLying) {
  frozen_.Freeze("/manifests/1.0");
  registry_.Push("3.0", Gzip(TarBuilder().File("a", "2").Archive()));
  Start();
  refresher_->Apply(Config({App("1.0")}));
  ASSERT_TRUE(frozen_.WaitForHanging(1));
  frozen_.Freeze("/manifests/2.0");
  Hold("app", Catalog::Change::kStatus);
  refresher_->Apply(Config({App("2.0")}));
  ASSERT_TRUE(WaitUntilHeld());
  refresher_->Apply(Config({App("3.0")}));
  Release();
  EXPECT_TRUE(WaitForContents("app", two_));
}

}  // namespace
}  // namespace ocirepofs
