#include "fs/status_text.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <cctype>

namespace ocirepofs {
namespace {

using nlohmann::ordered_json;

/// Whether a plain scalar would be read back as something else than a string. Wider than YAML 1.2
/// asks for: readers of YAML 1.1 take more words and times for values of their own.
bool NeedsQuotes(const std::string& text) {
  static constexpr std::array<std::string_view, 12> kWords = {
      "true", "false", "null", "~", "yes", "no", "on", "off", "y", "n", "=", "<<"};
  std::string lower = text;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (std::find(kWords.begin(), kWords.end(), lower) != kWords.end()) return true;
  const bool starts_like_number =
      !text.empty() && (std::isdigit(static_cast<unsigned char>(text[0])) != 0 || text[0] == '-' ||
                        text[0] == '+' || text[0] == '.');
  return starts_like_number &&
         text.find_first_not_of("0123456789.+-:eExXoOaAbBcCdDfF_TZ") == std::string::npos;
}

/// Whether a literal block says exactly this text: several lines that end in one newline, and
/// nothing in them that YAML takes for a line break or an indentation of its own.
bool FitsLiteralBlock(const std::string& text) {
  const size_t last = text.find_last_not_of('\n');
  if (last == std::string::npos || text.size() - last != 2) return false;
  if (text.front() == ' ' || text.front() == '\n') return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return c == '\n' || (byte >= 0x20 && byte < 0x7f);
  });
}

bool HasControl(const std::string& text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
}

void EmitString(YAML::Emitter* out, const std::string& text) {
  if (FitsLiteralBlock(text)) {
    *out << YAML::Literal << text;
  } else if (HasControl(text) || NeedsQuotes(text)) {
    *out << YAML::DoubleQuoted << text;
  } else {
    *out << text;
  }
}

void Emit(YAML::Emitter* out, const ordered_json& json) {
  if (json.is_object()) {
    *out << (json.empty() ? YAML::Flow : YAML::Block) << YAML::BeginMap;
    for (const auto& [key, value] : json.items()) {
      *out << YAML::Key;
      EmitString(out, key);
      *out << YAML::Value;
      Emit(out, value);
    }
    *out << YAML::EndMap;
  } else if (json.is_array()) {
    *out << (json.empty() ? YAML::Flow : YAML::Block) << YAML::BeginSeq;
    for (const auto& value : json) Emit(out, value);
    *out << YAML::EndSeq;
  } else if (json.is_string()) {
    EmitString(out, json.get_ref<const std::string&>());
  } else {
    *out << json.dump();
  }
}

ordered_json ArtifactOf(const Artifact& artifact, ApiVersion version) {
  ordered_json json;
  // In order of their names, as kubectl prints them.
  if (version == ApiVersion::kV1Beta2) {
    json["checksum"] = artifact.checksum.Hex();
  } else {
    json["digest"] = artifact.checksum.ToString();
  }
  json["lastUpdateTime"] = FormatTimestamp(artifact.last_update_time);
  if (!artifact.metadata.empty()) json["metadata"] = artifact.metadata;
  json["path"] = artifact.path;
  json["revision"] = artifact.Revision(version);
  json["size"] = artifact.size;
  return json;
}

ordered_json ConditionsOf(const Conditions& conditions) {
  ordered_json list = ordered_json::array();
  for (const Condition& condition : conditions.Sorted()) {
    list.push_back({{"lastTransitionTime", FormatTimestamp(condition.last_transition_time)},
                    {"message", condition.message},
                    {"observedGeneration", condition.observed_generation},
                    {"reason", condition.reason},
                    {"status", ToString(condition.status)},
                    {"type", condition.type}});
  }
  return list;
}

ordered_json StatusOf(const SourceStatus& status, ApiVersion version,
                      const std::string& cache_url) {
  ordered_json json;
  if (status.artifact) {
    json["artifact"] = ArtifactOf(*status.artifact, version);
    json["artifact"]["url"] = cache_url + status.artifact->path;
  }
  json["conditions"] = ConditionsOf(status.conditions);
  if (version == ApiVersion::kV1Beta2 && status.artifact) {
    json["contentConfigChecksum"] = status.observed_content.LegacyChecksum();
  }
  if (!status.last_handled_reconcile_at.empty()) {
    json["lastHandledReconcileAt"] = status.last_handled_reconcile_at;
  }
  json["observedGeneration"] = status.observed_generation;
  if (version == ApiVersion::kV1) {
    if (status.observed_content.ignore) json["observedIgnore"] = *status.observed_content.ignore;
    if (const auto& selector = status.observed_content.layer_selector) {
      ordered_json& observed = json["observedLayerSelector"] = ordered_json::object();
      if (selector->media_type) observed["mediaType"] = *selector->media_type;
      if (selector->operation) observed["operation"] = *selector->operation;
    }
  }
  if (status.artifact) {
    const std::string& path = status.artifact->path;
    json["url"] = cache_url + path.substr(0, path.rfind('/') + 1) + "latest.tar.gz";
  }
  return json;
}

ordered_json EventsOf(const std::vector<Event>& events) {
  ordered_json list = ordered_json::array();
  for (const Event& event : events) {
    list.push_back({{"type", event.warning ? "Warning" : "Normal"},
                    {"reason", event.reason},
                    {"message", event.message},
                    {"count", event.count},
                    {"firstTimestamp", FormatTimestamp(event.first)},
                    {"lastTimestamp", FormatTimestamp(event.last)}});
  }
  return list;
}

}  // namespace

std::string RenderStatus(const Publication& publication, const std::string& cache_url) {
  const OciRepository& repository = *publication.repository;
  ordered_json metadata;
  if (!repository.annotations.empty()) metadata["annotations"] = repository.annotations;
  metadata["generation"] = publication.status.generation;
  metadata["name"] = repository.key.name;
  metadata["namespace"] = repository.key.namespace_name;

  ordered_json document = {
      {"apiVersion", ToString(repository.api_version)},
      {"kind", "OCIRepository"},
      {"metadata", metadata},
      {"spec", repository.spec_as_written},
      {"status", StatusOf(publication.status, repository.api_version, cache_url)},
      {"events", EventsOf(publication.status.events)}};

  YAML::Emitter out;
  Emit(&out, document);
  return std::string(out.c_str(), out.size()) + "\n";
}

}  // namespace ocirepofs
