#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "conf/digest.h"
#include "conf/manifest/manifest.h"

namespace ocirepofs {

/// Wall-clock seconds, the precision of every time in `.status` (metav1.Time).
using Timestamp = std::chrono::sys_seconds;

std::string FormatTimestamp(Timestamp time);  // "2026-11-24T11:23:36Z" (RFC 3339, UTC)

enum class ConditionStatus { kTrue, kFalse, kUnknown };
std::string_view ToString(ConditionStatus status);

/// Condition types of an OCIRepository, as Flux spells them.
namespace condition {
inline constexpr std::string_view kReady = "Ready";
inline constexpr std::string_view kReconciling = "Reconciling";
inline constexpr std::string_view kStalled = "Stalled";
inline constexpr std::string_view kArtifactInStorage = "ArtifactInStorage";
inline constexpr std::string_view kArtifactOutdated = "ArtifactOutdated";
inline constexpr std::string_view kFetchFailed = "FetchFailed";
inline constexpr std::string_view kStorageOperationFailed = "StorageOperationFailed";
inline constexpr std::string_view kSourceVerified = "SourceVerified";
}  // namespace condition

/// metav1.Condition.
struct Condition {
  std::string type;
  ConditionStatus status = ConditionStatus::kUnknown;
  std::string reason;
  std::string message;
  int64_t observed_generation = 0;
  Timestamp last_transition_time{};
  friend bool operator==(const Condition&, const Condition&) = default;
};

/// The conditions of one object. A value. Negative-polarity types (Reconciling, Stalled,
/// ArtifactOutdated, FetchFailed, StorageOperationFailed) are present only while True.
class Conditions {
 public:
  static constexpr size_t kMaxMessageSize = 32768;

  /// Adds or replaces the condition of that type. The transition time becomes `now` when status,
  /// reason or message differ from what was there, and stays otherwise. Long messages are cut.
  void Set(std::string_view type, ConditionStatus status, std::string_view reason,
           std::string_view message, int64_t generation, Timestamp now);
  void Remove(std::string_view type);
  const Condition* Find(std::string_view type) const;  // null when absent
  bool IsTrue(std::string_view type) const;

  /// Sets Ready to the first existing condition of the worst group, as Flux summarises:
  /// negative True, then positive False, then positive True; SourceVerified=False overrides all.
  void SummarizeReady(int64_t generation, Timestamp now);

  /// Stalled, Reconciling, Ready, then the others: higher observedGeneration first, then by type.
  std::vector<Condition> Sorted() const;
  const std::vector<Condition>& all() const { return conditions_; }

  friend bool operator==(const Conditions&, const Conditions&) = default;

 private:
  std::vector<Condition> conditions_;
};

/// An artifact in the cache. A value.
struct Artifact {
  std::string tag;  // as resolved; empty for a digest reference
  Digest source_digest;
  Digest checksum;   // of the tarball in the cache
  std::string path;  // below the cache directory
  uint64_t size = 0;
  Timestamp last_update_time{};
  std::map<std::string, std::string> metadata;  // the manifest's annotations

  /// `{tag}@sha256:{hex}`, or `sha256:{hex}` without a tag; v1beta2: `{tag}/{hex}`, or `{hex}`.
  std::string Revision(ApiVersion version) const;
  friend bool operator==(const Artifact&, const Artifact&) = default;
};

/// A recent event. The same event again raises `count` and `last` instead of adding another.
struct Event {
  bool warning = false;
  std::string reason;
  std::string message;
  int64_t count = 1;
  Timestamp first{};
  Timestamp last{};
  friend bool operator==(const Event&, const Event&) = default;
};

/// What configuration an artifact was made with: it is rebuilt when this changes.
struct ContentConfig {
  std::optional<std::string> ignore;
  std::optional<LayerSelector> layer_selector;

  static ContentConfig Of(const OciRepositorySpec& spec);
  /// v1beta2's `contentConfigChecksum`: "sha256:" and the digest of ignore, mediaType, operation.
  std::string LegacyChecksum() const;
  friend bool operator==(const ContentConfig&, const ContentConfig&) = default;
};

/// status of an OCIRepository, with its events. A value.
struct SourceStatus {
  int64_t generation = 1;  // of the metadata
  Timestamp created{};     // when the repository was first configured
  int64_t observed_generation = -1;
  Conditions conditions;
  std::optional<Artifact> artifact;
  ContentConfig observed_content;
  std::string last_handled_reconcile_at;
  std::vector<Event> events;

  static constexpr size_t kMaxEvents = 50;

  /// Appends, or counts an equal event up; beyond kMaxEvents the oldest goes.
  void AddEvent(bool warning, std::string_view reason, std::string_view message, Timestamp now);

  friend bool operator==(const SourceStatus&, const SourceStatus&) = default;
};

/// `{tag}@sha256:{hex}` and its kin, for a digest that is resolved and not yet an artifact.
std::string FormatRevision(ApiVersion version, std::string_view tag, const Digest& digest);

}  // namespace ocirepofs
