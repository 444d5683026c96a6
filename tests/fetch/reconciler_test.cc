// Which revision a reference leads to, what is asked of the registry for it, and what is shown.

#include "fetch/reconciler.h"

#include "tests/support/reconciler_fixture.h"

namespace ocirepofs {
namespace {

using nlohmann::ordered_json;

class ReconcilerRef : public ReconcilerTest {
 protected:
  ReconcilerRef() {
    for (const std::string tag : {"6.1.4", "6.1.5-beta.1", "6.1.5-rc.1", "6.1.5", "6.1.6-rc.1",
                                  "6.1.6", "6.2.1_ref.1234567", "6.2.1", "latest"}) {
      const Digest digest = registry_.Push(tag, Layer({{"version", tag}}));
      digests_[tag] = digest.ToString();
    }
  }

  /// The tag that a reference leads to, as the contents tell; the revision agrees.
  std::string Resolved(const ordered_json& ref) {
    const Outcome outcome = Sync({{"ref", ref}});
    if (outcome != Outcome::kSuccess) return Text("FetchFailed");
    const std::string tag = Contents().at("version").substr(5);
    const bool by_digest = ref.contains("digest") && !ref["digest"].get<std::string>().empty();
    EXPECT_EQ(Revision(), by_digest ? digests_.at(tag) : tag + "@" + digests_.at(tag));
    EXPECT_EQ(Text("Ready"), "True Succeeded: stored artifact for digest '" + Revision() + "'");
    return tag;
  }

  std::map<std::string, std::string> digests_;
};

TEST_F(ReconcilerRef, REF01_WithoutARefItIsLatest) {
  ASSERT_EQ(Sync(ordered_json::object()), Outcome::kSuccess);
  EXPECT_EQ(Revision(), "latest@" + digests_["latest"]);
  EXPECT_EQ(Resolved({{"tag", ""}}), "latest");
}

TEST_F(ReconcilerRef, REF02_ATagIsItself) { EXPECT_EQ(Resolved({{"tag", "6.1.6"}}), "6.1.6"); }

TEST_F(ReconcilerRef, REF03_SemverPicksTheHighest) {
  registry_.Untag("6.2.1");
  registry_.Untag("6.2.1_ref.1234567");
  EXPECT_EQ(Resolved({{"semver", ">= 6.1.5"}}), "6.1.6");
}

TEST_F(ReconcilerRef, REF05_SemverSkipsPreReleases) {
  EXPECT_EQ(Resolved({{"semver", "~6.1.x"}}), "6.1.6");
}

TEST_F(ReconcilerRef, REF06_ADigestIsTheRevision) {
  EXPECT_EQ(Resolved({{"digest", digests_["6.1.6"]}}), "6.1.6");
}

TEST_F(ReconcilerRef, REF07_SemverBeatsTag) {
  EXPECT_EQ(Resolved({{"semver", ">= 6.1.5, < 6.2"}, {"tag", "6.1.5"}}), "6.1.6");
}

TEST_F(ReconcilerRef, REF08_DigestBeatsSemver) {
  EXPECT_EQ(Resolved({{"tag", "6.1.6"}, {"semver", ">= 6.1.6"}, {"digest", digests_["6.1.5"]}}),
            "6.1.5");
}

TEST_F(ReconcilerRef, REF09_AnAbsentTagIsSaidInTheRegistrysWords) {
  registry_.Untag("6.1.0");
  EXPECT_EQ(Resolved({{"tag", "6.1.0"}}),
            "True OCIArtifactPullFailed: failed to determine artifact digest: GET "
            "r.example/v2/app/manifests/6.1.0: MANIFEST_UNKNOWN: manifest unknown");
}

TEST_F(ReconcilerRef, REF10_SemverWithoutMatch) {
  EXPECT_EQ(Resolved({{"semver", "<= 6.1.0"}}),
            "True ReadOperationFailed: failed to determine the artifact tag for "
            "'oci://r.example/app': no match found for semver: <= 6.1.0");
}

TEST_F(ReconcilerRef, REF11_ADigestThatIsNone) {
  EXPECT_TRUE(
      Resolved({{"digest", "invalid"}})
          .starts_with("True OCIArtifactPullFailed: failed to determine artifact digest: "));
}

TEST_F(ReconcilerRef, REF12_AFilterThinsTheTags) {
  EXPECT_EQ(Resolved({{"semver", ">= 6.1.x-0"}, {"semverFilter", ".*-rc.*"}}), "6.1.6-rc.1");
}

TEST_F(ReconcilerRef, REF13_AFilterThatLeavesNothing) {
  EXPECT_EQ(Resolved({{"semver", ">= 6.1.x-0"}, {"semverFilter", ".*-alpha.*"}}),
            "True ReadOperationFailed: failed to determine the artifact tag for "
            "'oci://r.example/app': no match found for semver: >= 6.1.x-0");
}

TEST_F(ReconcilerRef, REF16_AFilterWithoutSemverDoesNothing) {
  EXPECT_EQ(Resolved({{"semverFilter", ".*-rc.*"}, {"tag", "6.1.4"}}), "6.1.4");
}

TEST_F(ReconcilerRef, REF17_AFilterThatIsNoExpression) {
  EXPECT_TRUE(Resolved({{"semver", "6.x"}, {"semverFilter", "["}})
                  .starts_with("True ReadOperationFailed: failed to determine the artifact tag "
                               "for 'oci://r.example/app': failed to compile semver filter regex "
                               "'[': "));
}

TEST_F(ReconcilerRef, SemverThatIsNoRange) {
  EXPECT_TRUE(Resolved({{"semver", "wrong"}})
                  .starts_with("True ReadOperationFailed: failed to determine the artifact tag "
                               "for 'oci://r.example/app': semver 'wrong' parse error: "));
}

class ReconcilerIndex : public ReconcilerTest {
 protected:
  const Digest arm_ = registry_.Push("", {{.bytes = Layer({{"arch", "arm64"}})}}, {{"a", "arm"}});
  const Digest amd_ = registry_.Push("", {{.bytes = Layer({{"arch", "amd64"}})}}, {{"a", "amd"}});
};

TEST_F(ReconcilerIndex, REF19_TheRevisionIsTheIndexAndTheContentsAreTheChilds) {
  const Digest index = registry_.PushIndex("1.0", {{arm_, "linux/arm64"}, {amd_, "linux/amd64"}});
  ASSERT_EQ(Sync({{"ref", {{"tag", "1.0"}}}}), Outcome::kSuccess);
  EXPECT_EQ(Revision(), "1.0@" + index.ToString());
  EXPECT_EQ(Contents(), (ImageContents{{"arch", "file:amd64"}}));
  EXPECT_EQ(status().artifact->metadata, (std::map<std::string, std::string>{{"a", "amd"}}));
  registry_.TakeLog();
  ASSERT_EQ(Reconcile(), Outcome::kSuccess);
  EXPECT_EQ(registry_.TakeLog(), Log{registry_.Head("1.0")});
}

TEST_F(ReconcilerIndex, REF20_AnIndexWithoutLinuxAmd64Fails) {
  registry_.PushIndex("1.0", {{arm_, "linux/arm64"}, {amd_, "windows/amd64"}});
  EXPECT_EQ(Sync({{"ref", {{"tag", "1.0"}}}}), Outcome::kFailure);
  EXPECT_EQ(Text("FetchFailed"),
            "True OCIArtifactPullFailed: failed to pull artifact from 'oci://r.example/app': no "
            "child with platform linux/amd64 in the index");
}

TEST_F(ReconcilerIndex, REF21_AChildWithoutPlatformCountsAsLinuxAmd64) {
  registry_.PushIndex("1.0", {{amd_, ""}, {arm_, "linux/arm64"}});
  ASSERT_EQ(Sync({{"ref", {{"tag", "1.0"}}}}), Outcome::kSuccess);
  EXPECT_EQ(Contents(), (ImageContents{{"arch", "file:amd64"}}));
}

// ---- What it costs

class ReconcilerRequests : public ReconcilerTest {
 protected:
  const std::string layer_ = Layer({{"a", "1"}});
};

TEST_F(ReconcilerRequests, ANewRevisionCostsHeadManifestAndBlob) {
  const Digest digest = registry_.Push("1.0", layer_);
  ASSERT_EQ(Sync({{"ref", {{"tag", "1.0"}}}}), Outcome::kSuccess);
  EXPECT_EQ(registry_.TakeLog(),
            (Log{registry_.Head("1.0"), registry_.Get(digest.ToString()), registry_.Blob(layer_)}));
}

TEST_F(ReconcilerRequests, CHG08_AnUnchangedDigestCostsOneHeadAndNothingElse) {
  registry_.Push("1.0", layer_);
  ASSERT_EQ(Sync({{"ref", {{"tag", "1.0"}}}}), Outcome::kSuccess);
  registry_.TakeLog();
  const auto disk = Disk();
  const auto publication = Current();
  const size_t moments = moments_.size();
  for (int i = 0; i < 3; ++i) {
    clock_.Advance(std::chrono::minutes(1));
    ASSERT_EQ(Reconcile(), Outcome::kSuccess);
    EXPECT_EQ(registry_.TakeLog(), Log{registry_.Head("1.0")});
  }
  EXPECT_EQ(Disk(), disk);
  EXPECT_EQ(moments_.size(), moments);
  EXPECT_EQ(Current(), publication);
}

TEST_F(ReconcilerRequests, APinnedDigestCostsNothingOnceItIsThere) {
  const Digest digest = registry_.Push("", layer_);
  ASSERT_EQ(Sync({{"ref", {{"digest", digest.ToString()}}}}), Outcome::kSuccess);
  EXPECT_EQ(registry_.TakeLog(), (Log{registry_.Get(digest.ToString()), registry_.Blob(layer_)}));
  ASSERT_EQ(Reconcile(), Outcome::kSuccess);
  EXPECT_EQ(registry_.TakeLog(), Log{});
}

TEST_F(ReconcilerRequests, REF22_TheSameDigestUnderAnotherTagPullsNoBlob) {
  const Digest digest = registry_.Push("1.0.0", layer_);
  ASSERT_EQ(Sync({{"ref", {{"semver", "1.x"}}}}), Outcome::kSuccess);
  EXPECT_EQ(Revision(), "1.0.0@" + digest.ToString());
  const std::string path = status().artifact->path;
  const uint32_t serial = Current()->snapshot->serial;
  registry_.TakeLog();

  registry_.Tag("1.1.0", digest);
  ASSERT_EQ(Reconcile(), Outcome::kSuccess);
  EXPECT_EQ(registry_.TakeLog(),
            (Log{registry_.Tags(), registry_.Head("1.1.0"), registry_.Get(digest.ToString())}));
  EXPECT_EQ(Revision(), "1.1.0@" + digest.ToString());
  EXPECT_EQ(status().artifact->path, path);
  EXPECT_NE(Current()->snapshot->serial, serial);
  EXPECT_EQ(Events(), (Log{"Normal NewArtifact: stored artifact with revision '1.0.0@" +
                           digest.ToString() + "' from 'oci://r.example/app'"}));
}

TEST_F(ReconcilerRequests, SuspendedMakesNoRequest) {
  registry_.Push("1.0", layer_);
  ASSERT_EQ(Sync({{"suspend", true}, {"ref", {{"tag", "1.0"}}}}), Outcome::kSuccess);
  EXPECT_EQ(registry_.TakeLog(), Log{});
  EXPECT_EQ(status().observed_generation, 1);
  EXPECT_FALSE(status().artifact);
  EXPECT_EQ(Contents(), ImageContents{});

  ASSERT_EQ(Sync({{"ref", {{"tag", "1.0"}}}}), Outcome::kSuccess);
  EXPECT_EQ(Contents(), (ImageContents{{"a", "file:1"}}));
  registry_.TakeLog();
  registry_.Push("1.0", Layer({{"a", "2"}}));
  ASSERT_EQ(Sync({{"suspend", true}, {"ref", {{"tag", "1.0"}}}}), Outcome::kSuccess);
  EXPECT_EQ(registry_.TakeLog(), Log{});
  EXPECT_EQ(Contents(), (ImageContents{{"a", "file:1"}}));
  EXPECT_EQ(status().observed_generation, 3);
}

TEST_F(ReconcilerRequests, AStoppedReconcileSaysNothing) {
  registry_.Push("1.0", layer_);
  ASSERT_TRUE(Configure({{"ref", {{"tag", "1.0"}}}}));
  const auto publication = Current();
  stop_.request_stop();
  EXPECT_EQ(Reconcile(), Outcome::kFailure);
  EXPECT_EQ(Current(), publication);
  EXPECT_EQ(Events(), Log{});
}

TEST_F(ReconcilerRequests, TheFilesTimeIsThatOfTheArtifactsCreation) {
  const auto time_of = [this](const std::string& created) {
    registry_.Push("1.0", {{.bytes = Layer({{"created", created}})}},
                   {{"org.opencontainers.image.created", created}});
    EXPECT_EQ(Sync({{"ref", {{"tag", "1.0"}}}}), Outcome::kSuccess);
    return Current()->snapshot->image->index().facts().modification_time;
  };
  const int64_t now = clock_.Now().time_since_epoch().count();
  EXPECT_EQ(time_of("2026-11-24T10:23:36Z"), now - 36 * 60 - 24);
  EXPECT_EQ(time_of("2026-11-24T10:23:36.987654Z"), now - 36 * 60 - 24);
  EXPECT_EQ(time_of("2026-11-24T12:23:36+02:00"), now - 36 * 60 - 24);
  EXPECT_EQ(time_of("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(time_of("2999-01-01T00:00:00Z"), now) << "no file's time is in the future";
  EXPECT_EQ(time_of("yesterday"), now);
  EXPECT_EQ(time_of("2026-11-24T10:23:36"), now);
}

}  // namespace
}  // namespace ocirepofs
