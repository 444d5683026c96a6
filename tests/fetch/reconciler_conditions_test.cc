// What the status says of a reconcile, while it lasts and when it is over.

#include "tests/support/reconciler_fixture.h"

namespace ocirepofs {
namespace {

using nlohmann::ordered_json;

const ordered_json kTag1 = {{"ref", {{"tag", "1.0"}}}};
constexpr const char* kRequestedAt = "reconcile.fluxcd.io/requestedAt";

class ReconcilerConditions : public ReconcilerTest {
 protected:
  /// The conditions of a publication in the order of `.status`, "Type=Status Reason: message".
  static std::vector<std::string> Conditions(const Moment& moment) {
    std::vector<std::string> lines;
    for (const Condition& c : moment.publication->status.conditions.Sorted()) {
      lines.push_back(fmt::format("{}={} {}: {}", c.type, ToString(c.status), c.reason, c.message));
    }
    return lines;
  }
  std::vector<std::string> ConditionsNow() const {
    return Conditions({Catalog::Change::kStatus, Current()});
  }
  Digest Push(const std::string& contents) {
    return registry_.Push("1.0", Layer({{"a", contents}}));
  }
  static FakeTransport::Answer Down() {
    return {.status = 0,
            .error = Error{ErrorCode::kUnavailable, "GET r.example: connection refused"}};
  }
};

TEST_F(ReconcilerConditions, CON01_ARepositorysFirstReconcile) {
  const std::string revision = "1.0@" + Push("1").ToString();
  ASSERT_TRUE(Configure(kTag1));
  EXPECT_EQ(Conditions(moments_.at(0)), (Log{"Reconciling=True Progressing: building artifact",
                                             "Ready=Unknown Progressing: building artifact"}));
  EXPECT_EQ(status().generation, 1);
  EXPECT_EQ(status().observed_generation, -1);
  ASSERT_EQ(Reconcile(), Outcome::kSuccess);
  ASSERT_EQ(moments_.size(), 3u);
  const std::string building =
      "building artifact: new revision '" + revision + "' for 'r.example/app:1.0'";
  EXPECT_EQ(Conditions(moments_[1]), (Log{"Reconciling=True Progressing: " + building,
                                          "Ready=Unknown Progressing: " + building}));
  const std::string stored = "stored artifact for digest '" + revision + "'";
  EXPECT_EQ(Conditions(moments_[2]), (Log{"Ready=True Succeeded: " + stored,
                                          "ArtifactInStorage=True Succeeded: " + stored}));
  EXPECT_EQ(moments_[2].change, Catalog::Change::kSnapshot);
  EXPECT_EQ(status().observed_generation, 1);
}

TEST_F(ReconcilerConditions, ANewRevisionIsOutdatedUntilItIsStored) {
  Push("1");
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  const std::string old_revision = Revision();
  moments_.clear();
  const std::string revision = "1.0@" + Push("2").ToString();
  ASSERT_EQ(Reconcile(), Outcome::kSuccess);
  ASSERT_EQ(moments_.size(), 2u);
  const std::string change = "new revision '" + revision + "' for 'r.example/app:1.0'";
  EXPECT_EQ(
      Conditions(moments_[0]),
      (Log{"Reconciling=True Progressing: building artifact: " + change,
           "Ready=Unknown Progressing: building artifact: " + change,
           "ArtifactInStorage=True Succeeded: stored artifact for digest '" + old_revision + "'",
           "ArtifactOutdated=True NewRevision: " + change}));
  EXPECT_EQ(moments_[0].change, Catalog::Change::kStatus);
  EXPECT_EQ(
      ConditionsNow(),
      (Log{"Ready=True Succeeded: stored artifact for digest '" + revision + "'",
           "ArtifactInStorage=True Succeeded: stored artifact for digest '" + revision + "'"}));
}

TEST_F(ReconcilerConditions, CON04_AFailureKeepsTheLastSnapshotAndIsRetried) {
  Push("1");
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  const auto snapshot = Current()->snapshot;
  const auto artifact = status().artifact;
  registry_.Break("1.0", Down());
  ASSERT_EQ(Reconcile(), Outcome::kFailure);
  const std::string message =
      "failed to determine artifact digest: GET r.example: connection refused";
  EXPECT_EQ(Text("FetchFailed"), "True OCIArtifactPullFailed: " + message);
  EXPECT_EQ(Text("Ready"), "False OCIArtifactPullFailed: " + message);
  EXPECT_EQ(Text("Reconciling"), "True ProgressingWithRetry: reconciliation in progress");
  EXPECT_EQ(Current()->snapshot, snapshot);
  EXPECT_EQ(status().artifact, artifact);
  EXPECT_EQ(Contents(), (ImageContents{{"a", "file:1"}}));
}

TEST_F(ReconcilerConditions, CON04_AFailedGenerationIsNotObserved) {
  Push("1");
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  registry_.Untag("2.0");
  EXPECT_EQ(Sync({{"ref", {{"tag", "2.0"}}}}), Outcome::kFailure);
  EXPECT_EQ(status().generation, 2);
  EXPECT_EQ(status().observed_generation, 1);
  EXPECT_EQ(Text("Stalled"), "");
}

TEST_F(ReconcilerConditions, CON06_WhileAnOutdatedArtifactCannotBeReplacedReadyIsFalse) {
  Push("1");
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  const auto snapshot = Current()->snapshot;
  const std::string layer = Layer({{"a", "2"}});
  const std::string revision = "1.0@" + registry_.Push("1.0", layer).ToString();
  registry_.BreakBlob(Digest::Of(layer), {.status = 403});
  ASSERT_EQ(Reconcile(), Outcome::kFailure);
  const std::string change = "new revision '" + revision + "' for 'r.example/app:1.0'";
  EXPECT_EQ(Text("ArtifactOutdated"), "True NewRevision: " + change);
  EXPECT_EQ(Text("Ready"),
            "False OCIArtifactLayerOperationFailed: failed to extract layer contents from "
            "artifact: GET r.example/v2/app/blobs/" +
                Digest::Of(layer).ToString() + ": unexpected status code 403 Forbidden");
  EXPECT_EQ(Text("Reconciling"), "True ProgressingWithRetry: building artifact: " + change);
  EXPECT_EQ(Current()->snapshot, snapshot);
}

TEST_F(ReconcilerConditions, CON09_RecoveryLeavesNoNegativeCondition) {
  Push("1");
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  registry_.Break("1.0", Down());
  ASSERT_EQ(Reconcile(), Outcome::kFailure);
  Push("2");
  ASSERT_EQ(Reconcile(), Outcome::kSuccess);
  const std::string stored = "stored artifact for digest '" + Revision() + "'";
  EXPECT_EQ(ConditionsNow(), (Log{"Ready=True Succeeded: " + stored,
                                  "ArtifactInStorage=True Succeeded: " + stored}));
}

TEST_F(ReconcilerConditions, CON10_ARequestIsHandledByEveryPass) {
  Push("1");
  annotations_[kRequestedAt] = "monday";
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  EXPECT_EQ(status().last_handled_reconcile_at, "monday");
  EXPECT_FALSE(Configure(kTag1)) << "it is handled";

  registry_.Break("1.0", Down());
  annotations_[kRequestedAt] = "tuesday";
  EXPECT_TRUE(Configure(kTag1));
  EXPECT_EQ(status().last_handled_reconcile_at, "monday");
  ASSERT_EQ(Reconcile(), Outcome::kFailure);
  EXPECT_EQ(status().last_handled_reconcile_at, "tuesday");
  EXPECT_EQ(status().generation, 1);
}

TEST_F(ReconcilerConditions, CON10_ARequestIsHandledWhileSuspended) {
  annotations_[kRequestedAt] = "monday";
  ordered_json suspended = kTag1;
  suspended["suspend"] = true;
  ASSERT_EQ(Sync(suspended), Outcome::kSuccess);
  EXPECT_EQ(status().last_handled_reconcile_at, "monday");
}

TEST_F(ReconcilerConditions, SuspendingBeforeANewGenerationIsReconciledLeavesReadyAsStored) {
  Push("1");
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  ordered_json changed = kTag1;
  changed["interval"] = "5m";
  Configure(changed);
  EXPECT_EQ(Text("Ready"), "Unknown Progressing: processing object: new generation 1 -> 2");
  changed["suspend"] = true;
  ASSERT_EQ(Sync(changed), Outcome::kSuccess);
  EXPECT_EQ(Text("Reconciling"), "");
  EXPECT_EQ(Text("Ready"), "True Succeeded: stored artifact for digest '" + Revision() + "'");
}

TEST_F(ReconcilerConditions, CON15_ANewMessageIsATransition) {
  Push("1");
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  registry_.Break("1.0", Down());
  ASSERT_EQ(Reconcile(), Outcome::kFailure);
  const auto transition = [this] {
    return status().conditions.Find("FetchFailed")->last_transition_time;
  };
  const Timestamp first = transition();
  clock_.Advance(std::chrono::seconds(10));
  ASSERT_EQ(Reconcile(), Outcome::kFailure);
  EXPECT_EQ(transition(), first) << "the same again";
  registry_.Break("1.0", {.status = 403});
  ASSERT_EQ(Reconcile(), Outcome::kFailure);
  EXPECT_EQ(transition(), first + std::chrono::seconds(10));
}

TEST_F(ReconcilerConditions, URL05_ATagInTheUrlStalls) {
  ASSERT_EQ(Sync({{"url", "oci://reg.lab/test/test:v1"}}), Outcome::kStalled);
  const std::string text = Text("Stalled");
  EXPECT_TRUE(
      text.starts_with("True URLInvalid: URL validation failed for 'oci://reg.lab/test/test:v1': "))
      << text;
  EXPECT_EQ(Text("FetchFailed"), text);
  EXPECT_EQ(Text("Ready"), "False" + text.substr(4));
  EXPECT_EQ(Text("Reconciling"), "");
  EXPECT_EQ(status().observed_generation, 1);
  EXPECT_EQ(registry_.TakeLog(), Log{});
}

TEST_F(ReconcilerConditions, URL12_AnEmptyUrlStalls) {
  ASSERT_EQ(Sync({{"url", "oci://"}}), Outcome::kStalled);
  EXPECT_TRUE(Text("Stalled").starts_with("True URLInvalid: URL validation failed for 'oci://': "));
}

TEST_F(ReconcilerConditions, AStalledRepositoryRecoversWithItsNextGeneration) {
  Push("1");
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  ASSERT_EQ(Sync({{"url", "oci://r.example/app:1.0"}}), Outcome::kStalled);
  EXPECT_EQ(Contents(), (ImageContents{{"a", "file:1"}}));
  ASSERT_TRUE(Configure(kTag1));
  EXPECT_EQ(Text("Stalled"), "");
  ASSERT_EQ(Reconcile(), Outcome::kSuccess);
  EXPECT_EQ(status().generation, 3);
  EXPECT_EQ(status().observed_generation, 3);
  EXPECT_EQ(ConditionsNow().size(), 2u);
}

TEST_F(ReconcilerConditions, LAY03_AMediaTypeThatNoLayerHas) {
  Push("1");
  ordered_json spec = kTag1;
  spec["layerSelector"] = {{"mediaType", "application/invalid.tar.gzip"}};
  ASSERT_EQ(Sync(spec), Outcome::kFailure);
  EXPECT_EQ(Text("Ready"),
            "False OCIArtifactLayerOperationFailed: failed to find layer with media type "
            "'application/invalid.tar.gzip' in artifact");
}

TEST_F(ReconcilerConditions, AnArtifactWithoutLayers) {
  registry_.Push("1.0", std::vector<FakeRegistry::Layer>{});
  ASSERT_EQ(Sync(kTag1), Outcome::kFailure);
  EXPECT_EQ(Text("Ready"), "False OCIArtifactLayerOperationFailed: no layers found in artifact");
}

TEST_F(ReconcilerConditions, LAY16_ALayerOfAnotherDigestIsNotShown) {
  Push("1");
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  const std::string promised = Layer({{"a", "2"}});
  const std::string delivered = Layer({{"a", "3"}});
  ASSERT_EQ(promised.size(), delivered.size());
  registry_.Push("1.0", promised);
  registry_.BreakBlob(Digest::Of(promised), {.body = delivered});
  ASSERT_EQ(Reconcile(), Outcome::kFailure);
  EXPECT_EQ(Text("Ready"),
            fmt::format("False OCIArtifactLayerOperationFailed: failed to extract layer contents "
                        "from artifact: blob {}: the content's digest is {}",
                        Digest::Of(promised).ToString(), Digest::Of(delivered).ToString()));
  EXPECT_EQ(Contents(), (ImageContents{{"a", "file:1"}}));
}

TEST_F(ReconcilerConditions, WhenToComeBackIsPassedOn) {
  registry_.Break("1.0", {.status = 429, .headers = {{"retry-after", "77"}}});
  ASSERT_EQ(Sync(kTag1), Outcome::kFailure);
  EXPECT_EQ(retry_after_, std::chrono::seconds(77));
}

TEST_F(ReconcilerConditions, AChangedSpecIsTheNextGeneration) {
  Push("1");
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  EXPECT_FALSE(Configure(kTag1)) << "nothing changed";
  EXPECT_EQ(status().generation, 1);
  ordered_json changed = kTag1;
  changed["interval"] = "5m";
  moments_.clear();
  registry_.TakeLog();
  EXPECT_TRUE(Configure(changed));
  EXPECT_EQ(status().generation, 2);
  EXPECT_EQ(status().observed_generation, 1);
  EXPECT_EQ(Text("Reconciling"), "True Progressing: processing object: new generation 1 -> 2");
  ASSERT_EQ(Reconcile(), Outcome::kSuccess);
  EXPECT_EQ(registry_.TakeLog(), Log{registry_.Head("1.0")});
  EXPECT_EQ(status().observed_generation, 2);
  for (const Condition& condition : status().conditions.all()) {
    EXPECT_EQ(condition.observed_generation, 2) << condition.type;
  }
}

TEST_F(ReconcilerConditions, AChangedAnnotationIsNoGeneration) {
  Push("1");
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  annotations_["color"] = "blue";
  EXPECT_FALSE(Configure(kTag1));
  EXPECT_EQ(status().generation, 1);
}

TEST_F(ReconcilerConditions, AnotherDialectSpeaksOfTheSameArtifact) {
  const Digest digest = Push("1");
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  registry_.TakeLog();
  api_version_ = "source.toolkit.fluxcd.io/v1beta2";
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  EXPECT_EQ(registry_.TakeLog(), Log{registry_.Head("1.0")});
  EXPECT_EQ(Text("Ready"), "True Succeeded: stored artifact for digest '1.0/" + digest.Hex() + "'");
}

// ---- A manifest that stops being valid

TEST_F(ReconcilerConditions, AnInvalidManifestKeepsWhatIsMounted) {
  Push("1");
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  const auto snapshot = Current()->snapshot;
  reconciler_->MarkInvalid("app.yaml:3:1: spec.url is missing");
  EXPECT_EQ(Text("Stalled"), "True InvalidManifest: app.yaml:3:1: spec.url is missing");
  EXPECT_EQ(Text("Ready"), "False InvalidManifest: app.yaml:3:1: spec.url is missing");
  EXPECT_EQ(Text("Reconciling"), "");
  EXPECT_EQ(Current()->snapshot, snapshot);
  EXPECT_EQ(Events().back(), "Warning InvalidManifest: app.yaml:3:1: spec.url is missing");
  EXPECT_TRUE(Configure(kTag1)) << "valid again";
  EXPECT_EQ(Text("Stalled"), "");
  ASSERT_EQ(Reconcile(), Outcome::kSuccess);
  EXPECT_EQ(status().generation, 1);
  EXPECT_EQ(ConditionsNow().size(), 2u);
}

TEST_F(ReconcilerConditions, AManifestInvalidSinceTheStartIsHeldToTheRecord) {
  Push("1");
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  Restart();
  reconciler_->MarkInvalid("app.yaml:3:1: spec.url is missing");
  ASSERT_NE(Current(), nullptr);
  EXPECT_EQ(Contents(), (ImageContents{{"a", "file:1"}}));
  EXPECT_EQ(Current()->repository->spec.ref.tag, "1.0");
}

TEST_F(ReconcilerConditions, AManifestThatNeverWasValidShowsNothing) {
  Start();
  reconciler_->MarkInvalid("app.yaml:3:1: spec.url is missing");
  EXPECT_EQ(Current(), nullptr);
}

}  // namespace
}  // namespace ocirepofs
