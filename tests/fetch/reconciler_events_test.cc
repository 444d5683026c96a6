// The events that a repository leaves behind.

#include "tests/support/reconciler_fixture.h"

namespace ocirepofs {
namespace {

using nlohmann::ordered_json;

const ordered_json kTag1 = {{"ref", {{"tag", "1.0"}}}};

class ReconcilerEvents : public ReconcilerTest {
 protected:
  Digest Push(const std::string& contents) {
    return registry_.Push("1.0", Layer({{"a", contents}}));
  }
  std::string Stored() const {
    return "stored artifact with revision '" + Revision() + "' from 'oci://r.example/app'";
  }
  void FailOnce() {
    registry_.Break("1.0", {.status = 403});
    ASSERT_EQ(Reconcile(), Outcome::kFailure);
  }
  const std::string failure_ =
      "Warning OCIArtifactPullFailed: failed to determine artifact digest: GET "
      "r.example/v2/app/manifests/1.0: unexpected status code 403 Forbidden";
};

TEST_F(ReconcilerEvents, ANewArtifactIsAnEvent) {
  Push("1");
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  EXPECT_EQ(Events(), Log{"Normal NewArtifact: " + Stored()});
  ASSERT_EQ(Reconcile(), Outcome::kSuccess);
  EXPECT_EQ(Events().size(), 1u) << "nothing new";
}

TEST_F(ReconcilerEvents, WhereItCameFromIsToldOnlyWhole) {
  const std::string source = "org.opencontainers.image.source";
  const std::string revision = "org.opencontainers.image.revision";
  registry_.Push("1.0", {{.bytes = Layer({{"a", "1"}})}},
                 {{source, "https://git.example/x"}, {revision, "6.1.8/b3b00fe"}});
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  EXPECT_EQ(Events().back(),
            "Normal NewArtifact: " + Stored() +
                ", origin source 'https://git.example/x', origin revision '6.1.8/b3b00fe'");
  registry_.Push("1.0", {{.bytes = Layer({{"a", "2"}})}}, {{source, "https://git.example/x"}});
  ASSERT_EQ(Reconcile(), Outcome::kSuccess);
  EXPECT_EQ(Events().back(), "Normal NewArtifact: " + Stored());
}

TEST_F(ReconcilerEvents, AFailureIsAWarningAndItsRepetitionIsCounted) {
  Push("1");
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  const Timestamp first = clock_.Now();
  FailOnce();
  clock_.Advance(std::chrono::seconds(4));
  FailOnce();
  FailOnce();
  EXPECT_EQ(Events(), (Log{"Normal NewArtifact: " + Stored(), failure_ + " x3"}));
  EXPECT_EQ(status().events.back().first, first);
  EXPECT_EQ(status().events.back().last, first + std::chrono::seconds(4));
}

TEST_F(ReconcilerEvents, EVT03_RecoveryWithTheSameDigestSucceeded) {
  const Digest digest = Push("1");
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  FailOnce();
  registry_.Tag("1.0", digest);
  ASSERT_EQ(Reconcile(), Outcome::kSuccess);
  EXPECT_EQ(Text("FetchFailed"), "");
  EXPECT_EQ(Events(),
            (Log{"Normal NewArtifact: " + Stored(), failure_, "Normal Succeeded: " + Stored()}));
  ASSERT_EQ(Reconcile(), Outcome::kSuccess);
  EXPECT_EQ(Events().size(), 3u);
}

TEST_F(ReconcilerEvents, EVT03_RecoveryAcrossARestartSucceeded) {
  const Digest digest = Push("1");
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  FailOnce();
  registry_.Tag("1.0", digest);
  Restart();
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  EXPECT_EQ(Events().back(), "Normal Succeeded: " + Stored());
}

TEST_F(ReconcilerEvents, EVT04_RecoveryWithAnotherDigestIsANewArtifactOnly) {
  Push("1");
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  const std::string first = Stored();
  FailOnce();
  Push("2");
  ASSERT_EQ(Reconcile(), Outcome::kSuccess);
  EXPECT_EQ(Events(),
            (Log{"Normal NewArtifact: " + first, failure_, "Normal NewArtifact: " + Stored()}));
}

TEST_F(ReconcilerEvents, AFirstArtifactAfterAFailureIsANewArtifactOnly) {
  Configure(kTag1);
  FailOnce();
  Push("1");
  ASSERT_EQ(Reconcile(), Outcome::kSuccess);
  EXPECT_EQ(Events(), (Log{failure_, "Normal NewArtifact: " + Stored()}));
}

TEST_F(ReconcilerEvents, AStallIsAWarning) {
  ASSERT_EQ(Sync({{"url", "oci://r.example/app:1"}}), Outcome::kStalled);
  ASSERT_EQ(Events().size(), 1u);
  EXPECT_TRUE(Events()[0].starts_with(
      "Warning URLInvalid: URL validation failed for 'oci://r.example/app:1': "));
}

TEST_F(ReconcilerEvents, SkippedLinksAreCounted) {
  registry_.Push("1.0", Gzip(TarBuilder()
                                 .Symlink("in", "a")
                                 .Symlink("out1", "/etc/passwd")
                                 .Symlink("out2", "../x")
                                 .File("a", "1")
                                 .Archive()));
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  EXPECT_EQ(Contents(), (ImageContents{{"a", "file:1"}, {"in", "link:a"}}));
  EXPECT_EQ(Events().front(),
            "Normal SymlinksSkipped: skipped 2 symbolic links that lead out of the artifact");
}

TEST_F(ReconcilerEvents, AnArtifactsOwnStatusFileIsSaidToBeHidden) {
  registry_.Push("1.0", Layer({{".status", "mine"}, {"a", "1"}}));
  ASSERT_EQ(Sync(kTag1), Outcome::kSuccess);
  EXPECT_EQ(Events().front(),
            "Warning StatusFileHidden: the artifact's own .status is hidden by the one that tells "
            "its state");
}

TEST_F(ReconcilerEvents, TheFullLengthOfAnAttackersWordsIsNotKept) {
  registry_.Break("1.0", {.status = 403,
                          .body = R"({"errors":[{"code":"DENIED","message":")" +
                                  std::string(60'000, 'x') + R"("}]})"});
  ASSERT_EQ(Sync(kTag1), Outcome::kFailure);
  EXPECT_LE(status().conditions.Find("FetchFailed")->message.size(), Conditions::kMaxMessageSize);
  EXPECT_LE(Events().back().size(), Conditions::kMaxMessageSize + 100);
}

}  // namespace
}  // namespace ocirepofs
