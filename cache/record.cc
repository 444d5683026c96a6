#include "cache/record.h"

namespace ocirepofs {
namespace {

using nlohmann::ordered_json;

constexpr int kRecordVersion = 1;

int64_t Seconds(Timestamp time) { return time.time_since_epoch().count(); }
Timestamp FromSeconds(const ordered_json& json) {
  return Timestamp(std::chrono::seconds(json.get<int64_t>()));
}

ordered_json Encode(const std::optional<std::string>& value) {
  return value ? ordered_json(*value) : ordered_json();
}

std::optional<std::string> DecodeOptional(const ordered_json& json) {
  if (json.is_null()) return std::nullopt;
  return json.get<std::string>();
}

ordered_json Encode(const Condition& condition) {
  return {{"type", condition.type},
          {"status", ToString(condition.status)},
          {"reason", condition.reason},
          {"message", condition.message},
          {"observedGeneration", condition.observed_generation},
          {"lastTransitionTime", Seconds(condition.last_transition_time)}};
}

ConditionStatus DecodeConditionStatus(const std::string& text) {
  for (const ConditionStatus status :
       {ConditionStatus::kTrue, ConditionStatus::kFalse, ConditionStatus::kUnknown}) {
    if (text == ToString(status)) return status;
  }
  return ConditionStatus::kUnknown;
}

ordered_json Encode(const Artifact& artifact) {
  return {{"tag", artifact.tag},
          {"sourceDigest", artifact.source_digest.Hex()},
          {"checksum", artifact.checksum.Hex()},
          {"path", artifact.path},
          {"size", artifact.size},
          {"lastUpdateTime", Seconds(artifact.last_update_time)},
          {"metadata", artifact.metadata}};
}

Result<Artifact> DecodeArtifact(const ordered_json& json) {
  Result<Digest> source = Digest::ParseHex(json.at("sourceDigest").get<std::string>());
  if (!source) return tl::unexpected(source.error());
  Result<Digest> checksum = Digest::ParseHex(json.at("checksum").get<std::string>());
  if (!checksum) return tl::unexpected(checksum.error());
  return Artifact{.tag = json.at("tag"),
                  .source_digest = *source,
                  .checksum = *checksum,
                  .path = json.at("path"),
                  .size = json.at("size"),
                  .last_update_time = FromSeconds(json.at("lastUpdateTime")),
                  .metadata = json.at("metadata")};
}

ordered_json Encode(const ContentConfig& content) {
  ordered_json json = {{"ignore", Encode(content.ignore)}, {"layerSelector", nullptr}};
  if (content.layer_selector) {
    json["layerSelector"] = {{"mediaType", Encode(content.layer_selector->media_type)},
                             {"operation", Encode(content.layer_selector->operation)}};
  }
  return json;
}

ContentConfig DecodeContent(const ordered_json& json) {
  ContentConfig content;
  content.ignore = DecodeOptional(json.at("ignore"));
  if (const auto& selector = json.at("layerSelector"); !selector.is_null()) {
    content.layer_selector = LayerSelector{.media_type = DecodeOptional(selector.at("mediaType")),
                                           .operation = DecodeOptional(selector.at("operation"))};
  }
  return content;
}

ordered_json Encode(const Event& event) {
  return {{"warning", event.warning},      {"reason", event.reason},
          {"message", event.message},      {"count", event.count},
          {"first", Seconds(event.first)}, {"last", Seconds(event.last)}};
}

Event DecodeEvent(const ordered_json& json) {
  return {.warning = json.at("warning"),
          .reason = json.at("reason"),
          .message = json.at("message"),
          .count = json.at("count"),
          .first = FromSeconds(json.at("first")),
          .last = FromSeconds(json.at("last"))};
}

Result<Record> Decode(const ordered_json& json) {
  if (json.at("version") != kRecordVersion) {
    return Fail(ErrorCode::kCorrupt, "the record is of another version");
  }
  Record record;
  record.api_version = json.at("apiVersion");
  record.annotations = json.at("annotations");
  record.spec = json.at("spec");
  record.previous_stem = json.at("previousStem");
  SourceStatus& status = record.status;
  status.generation = json.at("generation");
  status.created = FromSeconds(json.at("created"));
  status.observed_generation = json.at("observedGeneration");
  status.last_handled_reconcile_at = json.at("lastHandledReconcileAt");
  status.observed_content = DecodeContent(json.at("observedContent"));
  if (const auto& artifact = json.at("artifact"); !artifact.is_null()) {
    Result<Artifact> decoded = DecodeArtifact(artifact);
    if (!decoded) return tl::unexpected(decoded.error());
    status.artifact = *decoded;
  }
  for (const ordered_json& condition : json.at("conditions")) {
    status.conditions.Set(
        condition.at("type").get<std::string>(), DecodeConditionStatus(condition.at("status")),
        condition.at("reason").get<std::string>(), condition.at("message").get<std::string>(),
        condition.at("observedGeneration"), FromSeconds(condition.at("lastTransitionTime")));
  }
  for (const ordered_json& event : json.at("events")) status.events.push_back(DecodeEvent(event));
  return record;
}

}  // namespace

std::string EncodeRecord(const Record& record) {
  const SourceStatus& status = record.status;
  ordered_json json = {{"version", kRecordVersion},
                       {"apiVersion", record.api_version},
                       {"annotations", record.annotations},
                       {"spec", record.spec},
                       {"previousStem", record.previous_stem},
                       {"generation", status.generation},
                       {"created", Seconds(status.created)},
                       {"observedGeneration", status.observed_generation},
                       {"lastHandledReconcileAt", status.last_handled_reconcile_at},
                       {"observedContent", Encode(status.observed_content)},
                       {"artifact", status.artifact ? Encode(*status.artifact) : ordered_json()},
                       {"conditions", ordered_json::array()},
                       {"events", ordered_json::array()}};
  for (const Condition& condition : status.conditions.all()) {
    json["conditions"].push_back(Encode(condition));
  }
  for (const Event& event : status.events) json["events"].push_back(Encode(event));
  // Annotations may hold bytes that are not UTF-8; they must not keep the record from being kept.
  return json.dump(1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

Result<Record> DecodeRecord(const std::string& text) {
  try {
    Result<Record> record = Decode(ordered_json::parse(text));
    if (!record) return Fail(ErrorCode::kCorrupt, "{}", record.error().message);
    return record;
  } catch (const ordered_json::exception& error) {
    return Fail(ErrorCode::kCorrupt, "the record can't be read: {}", error.what());
  }
}

}  // namespace ocirepofs
