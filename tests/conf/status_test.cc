#include "conf/status.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ocirepofs {
namespace {

using std::chrono::seconds;

constexpr Timestamp kStart{seconds(1795519416)};  // 2026-11-24T11:23:36Z
constexpr Timestamp kLater = kStart + seconds(5);
constexpr auto kTrue = ConditionStatus::kTrue;
constexpr auto kFalse = ConditionStatus::kFalse;
constexpr auto kUnknown = ConditionStatus::kUnknown;

std::vector<std::string> Types(const Conditions& conditions) {
  std::vector<std::string> types;
  for (const Condition& condition : conditions.Sorted()) types.push_back(condition.type);
  return types;
}

/// "status reason message" of Ready.
std::string Ready(const Conditions& conditions) {
  const Condition* ready = conditions.Find(condition::kReady);
  if (ready == nullptr) return "absent";
  return fmt::format("{} {} {}", ToString(ready->status), ready->reason, ready->message);
}

Conditions Of(std::initializer_list<std::pair<std::string_view, ConditionStatus>> list) {
  Conditions conditions;
  for (const auto& [type, status] : list) {
    conditions.Set(type, status, fmt::format("{}Reason", type), "m", 1, kStart);
  }
  conditions.SummarizeReady(1, kStart);
  return conditions;
}

Digest DigestOfA() { return Digest::Of("a"); }
constexpr std::string_view kHexOfA =
    "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";

TEST(Timestamp, IsRfc3339InUtc) {
  EXPECT_EQ(FormatTimestamp(kStart), "2026-11-24T11:23:36Z");
  EXPECT_EQ(FormatTimestamp(Timestamp{}), "1970-01-01T00:00:00Z");
  EXPECT_EQ(FormatTimestamp(Timestamp{seconds(-1)}), "1969-12-31T23:59:59Z");
  EXPECT_EQ(FormatTimestamp(Timestamp{seconds(951782399)}), "2000-02-28T23:59:59Z");
}

TEST(ConditionStatus, HasTheNamesOfKubernetes) {
  EXPECT_EQ(ToString(kTrue), "True");
  EXPECT_EQ(ToString(kFalse), "False");
  EXPECT_EQ(ToString(kUnknown), "Unknown");
}

TEST(Conditions, TransitionTimeMovesWithStatusReasonAndMessage) {
  const auto time_after = [](ConditionStatus status, std::string_view reason,
                             std::string_view message) {
    Conditions conditions;
    conditions.Set(condition::kReady, kTrue, "R", "m", 1, kStart);
    conditions.Set(condition::kReady, status, reason, message, 2, kLater);
    const Condition* ready = conditions.Find(condition::kReady);
    EXPECT_EQ(ready->observed_generation, 2);
    EXPECT_EQ(conditions.all().size(), 1u);
    return ready->last_transition_time;
  };
  EXPECT_EQ(time_after(kTrue, "R", "m"), kStart);
  EXPECT_EQ(time_after(kFalse, "R", "m"), kLater);
  EXPECT_EQ(time_after(kTrue, "S", "m"), kLater);
  EXPECT_EQ(time_after(kTrue, "R", "n"), kLater);
}

TEST(Conditions, NegativeTypesExistOnlyWhileTrue) {
  for (const std::string_view type :
       {condition::kReconciling, condition::kStalled, condition::kArtifactOutdated,
        condition::kFetchFailed, condition::kStorageOperationFailed}) {
    Conditions conditions;
    conditions.Set(type, kTrue, "R", "m", 1, kStart);
    EXPECT_TRUE(conditions.IsTrue(type));
    conditions.Set(type, kFalse, "R", "m", 1, kLater);
    EXPECT_EQ(conditions.Find(type), nullptr);
  }
}

TEST(Conditions, RemoveLeavesTheOthers) {
  Conditions conditions = Of({{condition::kStalled, kTrue}, {condition::kFetchFailed, kTrue}});
  conditions.Remove(condition::kStalled);
  conditions.Remove(condition::kStalled);
  EXPECT_EQ(Types(conditions), (std::vector<std::string>{"Ready", "FetchFailed"}));
  EXPECT_FALSE(conditions.IsTrue(condition::kStalled));
}

TEST(Conditions, LongMessagesAreCutBetweenCharacters) {
  Conditions conditions;
  const std::string message = std::string(Conditions::kMaxMessageSize - 1, 'x') + "\u00e4";
  conditions.Set(condition::kReady, kTrue, "R", message, 1, kStart);
  EXPECT_EQ(conditions.Find(condition::kReady)->message,
            std::string(Conditions::kMaxMessageSize - 1, 'x'));
  conditions.Set(condition::kReady, kTrue, "R", message, 1, kLater);
  EXPECT_EQ(conditions.Find(condition::kReady)->last_transition_time, kStart);
  const std::string exact(Conditions::kMaxMessageSize, 'y');
  conditions.Set(condition::kReady, kTrue, "R", exact, 1, kStart);
  EXPECT_EQ(conditions.Find(condition::kReady)->message, exact);
}

TEST(Conditions, SortedPutsTheSummariesFirst) {
  Conditions conditions;
  conditions.Set(condition::kSourceVerified, kTrue, "R", "m", 1, kStart);
  conditions.Set(condition::kFetchFailed, kTrue, "R", "m", 2, kStart);
  conditions.Set(condition::kReady, kTrue, "R", "m", 1, kStart);
  conditions.Set(condition::kArtifactOutdated, kTrue, "R", "m", 2, kStart);
  conditions.Set(condition::kReconciling, kTrue, "R", "m", 1, kStart);
  conditions.Set(condition::kArtifactInStorage, kTrue, "R", "m", 1, kStart);
  conditions.Set(condition::kStalled, kTrue, "R", "m", 1, kStart);
  EXPECT_EQ(Types(conditions),
            (std::vector<std::string>{"Stalled", "Reconciling", "Ready", "ArtifactOutdated",
                                      "FetchFailed", "ArtifactInStorage", "SourceVerified"}));
}

TEST(Ready, IsAbsentWhereThereIsNothingToSummarize) { EXPECT_EQ(Ready(Of({})), "absent"); }

TEST(Ready, IsTheArtifactWhenAllIsWell) {
  EXPECT_EQ(
      Ready(Of({{condition::kSourceVerified, kTrue}, {condition::kArtifactInStorage, kTrue}})),
      "True ArtifactInStorageReason m");
  EXPECT_EQ(Ready(Of({{condition::kSourceVerified, kTrue}})), "True SourceVerifiedReason m");
}

TEST(Ready, IsFalseWhileAnythingNegativeIsTrue) {
  EXPECT_EQ(Ready(Of({{condition::kArtifactInStorage, kTrue}, {condition::kReconciling, kTrue}})),
            "False ReconcilingReason m");
  EXPECT_EQ(Ready(Of({{condition::kReconciling, kTrue}, {condition::kArtifactOutdated, kTrue}})),
            "False ArtifactOutdatedReason m");
  EXPECT_EQ(Ready(Of({{condition::kSourceVerified, kTrue}, {condition::kArtifactOutdated, kTrue}})),
            "False ArtifactOutdatedReason m");
}

TEST(Ready, TakesTheFirstOfTheWorst) {
  EXPECT_EQ(Ready(Of({{condition::kReconciling, kTrue},
                      {condition::kStalled, kTrue},
                      {condition::kArtifactOutdated, kTrue},
                      {condition::kFetchFailed, kTrue},
                      {condition::kStorageOperationFailed, kTrue}})),
            "False StorageOperationFailedReason m");
  EXPECT_EQ(Ready(Of({{condition::kReconciling, kTrue},
                      {condition::kStalled, kTrue},
                      {condition::kArtifactOutdated, kTrue},
                      {condition::kFetchFailed, kTrue}})),
            "False FetchFailedReason m");
  EXPECT_EQ(Ready(Of({{condition::kReconciling, kTrue}, {condition::kStalled, kTrue}})),
            "False StalledReason m");
}

TEST(Ready, APositiveFalseIsWorseThanATrueAndUnknownIsLeast) {
  EXPECT_EQ(
      Ready(Of({{condition::kArtifactInStorage, kFalse}, {condition::kSourceVerified, kTrue}})),
      "False ArtifactInStorageReason m");
  EXPECT_EQ(
      Ready(Of({{condition::kArtifactInStorage, kUnknown}, {condition::kSourceVerified, kTrue}})),
      "True SourceVerifiedReason m");
  EXPECT_EQ(Ready(Of({{condition::kArtifactInStorage, kUnknown}})),
            "Unknown ArtifactInStorageReason m");
}

TEST(Ready, AFailedVerificationOverridesAll) {
  EXPECT_EQ(Ready(Of({{condition::kReconciling, kTrue}, {condition::kSourceVerified, kFalse}})),
            "False SourceVerifiedReason m");
  EXPECT_EQ(Ready(Of({{condition::kSourceVerified, kFalse},
                      {condition::kStorageOperationFailed, kTrue}})),
            "False SourceVerifiedReason m");
}

TEST(Ready, KeepsItsTransitionTimeWhileItSaysTheSame) {
  Conditions conditions = Of({{condition::kArtifactInStorage, kTrue}});
  conditions.SummarizeReady(2, kLater);
  const Condition* ready = conditions.Find(condition::kReady);
  EXPECT_EQ(ready->last_transition_time, kStart);
  EXPECT_EQ(ready->observed_generation, 2);
}

TEST(Revision, SpeaksTheDialectOfTheManifest) {
  const std::string hex(kHexOfA);
  EXPECT_EQ(FormatRevision(ApiVersion::kV1, "latest", DigestOfA()), "latest@sha256:" + hex);
  EXPECT_EQ(FormatRevision(ApiVersion::kV1, "", DigestOfA()), "sha256:" + hex);
  EXPECT_EQ(FormatRevision(ApiVersion::kV1Beta2, "latest", DigestOfA()), "latest/" + hex);
  EXPECT_EQ(FormatRevision(ApiVersion::kV1Beta2, "", DigestOfA()), hex);
}

TEST(Revision, OfAnArtifactIsThatOfItsSource) {
  const Artifact artifact = {.tag = "6.1.8",
                             .source_digest = DigestOfA(),
                             .checksum = Digest::Of("b"),
                             .path = "p",
                             .metadata = {}};
  EXPECT_EQ(artifact.Revision(ApiVersion::kV1), "6.1.8@sha256:" + std::string(kHexOfA));
}

TEST(ContentConfig, LegacyChecksumOfNothingIsThatOfTheEmptyText) {
  EXPECT_EQ(ContentConfig{}.LegacyChecksum(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(ContentConfig, LegacyChecksumCoversIgnoreMediaTypeAndOperation) {
  const auto checksum = [](ContentConfig config) { return config.LegacyChecksum(); };
  EXPECT_EQ(checksum({"a", {}}), Digest::Of("a").ToString());
  EXPECT_EQ(checksum({{}, LayerSelector{}}), Digest::Of("extract").ToString());
  EXPECT_EQ(checksum({"a", LayerSelector{"m", "copy"}}), Digest::Of("amcopy").ToString());
}

TEST(ContentConfig, TellsAbsentFromDefault) {
  OciRepositorySpec spec;
  const ContentConfig none = ContentConfig::Of(spec);
  spec.layer_selector = LayerSelector{};
  const ContentConfig empty = ContentConfig::Of(spec);
  spec.layer_selector->operation = "extract";
  const ContentConfig extract = ContentConfig::Of(spec);
  spec.layer_selector.reset();
  spec.ignore = "";
  const ContentConfig ignore = ContentConfig::Of(spec);
  EXPECT_NE(none, empty);
  EXPECT_NE(empty, extract);
  EXPECT_NE(none, ignore);
}

TEST(SourceStatus, TheSameEventIsCountedAndBecomesTheLast) {
  SourceStatus status;
  status.AddEvent(true, "Failed", "x", kStart);
  status.AddEvent(false, "Succeeded", "y", kStart);
  status.AddEvent(true, "Failed", "x", kLater);
  ASSERT_EQ(status.events.size(), 2u);
  EXPECT_EQ(status.events[0], (Event{false, "Succeeded", "y", 1, kStart, kStart}));
  EXPECT_EQ(status.events[1], (Event{true, "Failed", "x", 2, kStart, kLater}));
}

TEST(SourceStatus, EventsDifferByTypeReasonAndMessage) {
  SourceStatus status;
  status.AddEvent(true, "R", "m", kStart);
  status.AddEvent(false, "R", "m", kStart);
  status.AddEvent(true, "S", "m", kStart);
  status.AddEvent(true, "R", "n", kStart);
  EXPECT_EQ(status.events.size(), 4u);
}

TEST(SourceStatus, TheOldestEventGoes) {
  SourceStatus status;
  for (size_t i = 0; i < SourceStatus::kMaxEvents; ++i) {
    status.AddEvent(false, "R", fmt::format("{}", i), kStart);
  }
  status.AddEvent(false, "R", "0", kLater);
  status.AddEvent(false, "R", "new", kLater);
  ASSERT_EQ(status.events.size(), SourceStatus::kMaxEvents);
  EXPECT_EQ(status.events.front().message, "2");
  EXPECT_EQ(status.events.back().message, "new");
}

}  // namespace
}  // namespace ocirepofs
