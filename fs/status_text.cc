#include "fs/status_text.h"

#include "fs/yaml_writer.h"

namespace ocirepofs {
namespace {

using nlohmann::ordered_json;

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

  return WriteYaml(document);
}

}  // namespace ocirepofs
