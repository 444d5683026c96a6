#include "conf/status.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace ocirepofs {
namespace {

/// In the order in which the types take part in the summary.
constexpr std::array<std::string_view, 7> kSummarized = {condition::kStorageOperationFailed,
                                                         condition::kFetchFailed,
                                                         condition::kArtifactOutdated,
                                                         condition::kArtifactInStorage,
                                                         condition::kSourceVerified,
                                                         condition::kStalled,
                                                         condition::kReconciling};

bool IsNegative(std::string_view type) {
  return type == condition::kReconciling || type == condition::kStalled ||
         type == condition::kArtifactOutdated || type == condition::kFetchFailed ||
         type == condition::kStorageOperationFailed;
}

/// How bad a condition is for Ready; 0 is the worst. A negative one exists only while True.
int Severity(const Condition& condition) {
  if (IsNegative(condition.type)) return 0;
  switch (condition.status) {
    case ConditionStatus::kFalse:
      return 1;
    case ConditionStatus::kTrue:
      return 2;
    case ConditionStatus::kUnknown:
      break;
  }
  return 3;
}

/// Cuts between characters, so that what remains is still UTF-8.
std::string_view CutMessage(std::string_view message) {
  if (message.size() <= Conditions::kMaxMessageSize) return message;
  size_t size = Conditions::kMaxMessageSize;
  while (size > 0 && (static_cast<uint8_t>(message[size]) & 0xC0) == 0x80) --size;
  return message.substr(0, size);
}

/// Stalled, Reconciling and Ready come first, in this order.
int SortRank(std::string_view type) {
  if (type == condition::kStalled) return 0;
  if (type == condition::kReconciling) return 1;
  if (type == condition::kReady) return 2;
  return 3;
}

}  // namespace

std::string FormatTimestamp(Timestamp time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

std::string_view ToString(ConditionStatus status) {
  switch (status) {
    case ConditionStatus::kTrue:
      return "True";
    case ConditionStatus::kFalse:
      return "False";
    case ConditionStatus::kUnknown:
      break;
  }
  return "Unknown";
}

void Conditions::Set(std::string_view type, ConditionStatus status, std::string_view reason,
                     std::string_view message, int64_t generation, Timestamp now) {
  if (IsNegative(type) && status != ConditionStatus::kTrue) {
    Remove(type);
    return;
  }
  auto place = std::ranges::find(conditions_, type, &Condition::type);
  if (place == conditions_.end()) {
    Condition added;
    added.type = type;
    added.last_transition_time = now;
    place = conditions_.insert(place, std::move(added));
  }
  const std::string_view cut = CutMessage(message);
  if (place->status != status || place->reason != reason || place->message != cut) {
    place->status = status;
    place->reason = reason;
    place->message = cut;
    place->last_transition_time = now;
  }
  place->observed_generation = generation;
}

void Conditions::Remove(std::string_view type) {
  std::erase_if(conditions_, [type](const Condition& c) { return c.type == type; });
}

const Condition* Conditions::Find(std::string_view type) const {
  const auto place = std::ranges::find(conditions_, type, &Condition::type);
  return place == conditions_.end() ? nullptr : &*place;
}

bool Conditions::IsTrue(std::string_view type) const {
  const Condition* found = Find(type);
  return found != nullptr && found->status == ConditionStatus::kTrue;
}

void Conditions::SummarizeReady(int64_t generation, Timestamp now) {
  const Condition* worst = nullptr;
  for (const std::string_view type : kSummarized) {
    const Condition* candidate = Find(type);
    if (candidate == nullptr) continue;
    if (worst == nullptr || Severity(*candidate) < Severity(*worst)) worst = candidate;
  }
  const Condition* verified = Find(condition::kSourceVerified);
  if (verified != nullptr && verified->status == ConditionStatus::kFalse) worst = verified;
  if (worst == nullptr) return;
  // A copy: Set may move the conditions while it still reads its arguments.
  const Condition source = *worst;
  const ConditionStatus status = IsNegative(source.type) ? ConditionStatus::kFalse : source.status;
  Set(condition::kReady, status, source.reason, source.message, generation, now);
}

std::vector<Condition> Conditions::Sorted() const {
  std::vector<Condition> sorted = conditions_;
  std::ranges::sort(sorted, [](const Condition& a, const Condition& b) {
    const int rank_a = SortRank(a.type);
    const int rank_b = SortRank(b.type);
    if (rank_a != rank_b) return rank_a < rank_b;
    if (a.observed_generation != b.observed_generation) {
      return a.observed_generation > b.observed_generation;
    }
    return a.type < b.type;
  });
  return sorted;
}

std::string FormatRevision(ApiVersion version, std::string_view tag, const Digest& digest) {
  switch (version) {
    case ApiVersion::kV1Beta2:
      return tag.empty() ? digest.Hex() : fmt::format("{}/{}", tag, digest.Hex());
    case ApiVersion::kV1:
      break;
  }
  return tag.empty() ? digest.ToString() : fmt::format("{}@{}", tag, digest.ToString());
}

std::string Artifact::Revision(ApiVersion version) const {
  return FormatRevision(version, tag, source_digest);
}

ContentConfig ContentConfig::Of(const OciRepositorySpec& spec) {
  return {.ignore = spec.ignore, .layer_selector = spec.layer_selector};
}

std::string ContentConfig::LegacyChecksum() const {
  std::string text = ignore.value_or("");
  if (layer_selector.has_value()) {
    text += layer_selector->media_type.value_or("");
    text += layer_selector->operation.value_or("extract");
  }
  return Digest::Of(text).ToString();
}

void SourceStatus::AddEvent(bool warning, std::string_view reason, std::string_view message,
                            Timestamp now) {
  Event event = {.warning = warning,
                 .reason = std::string(reason),
                 .message = std::string(message),
                 .first = now,
                 .last = now};
  const auto same = std::ranges::find_if(events, [&event](const Event& other) {
    return other.warning == event.warning && other.reason == event.reason &&
           other.message == event.message;
  });
  if (same != events.end()) {
    event.count = same->count + 1;
    event.first = same->first;
    events.erase(same);
  }
  events.push_back(std::move(event));
  if (events.size() > kMaxEvents) events.erase(events.begin());
}

}  // namespace ocirepofs
