#include "fs/status_text.h"

#include <gtest/gtest.h>

namespace ocirepofs {
namespace {

using nlohmann::ordered_json;
using std::chrono::seconds;

constexpr Timestamp kThen{seconds(1795519416)};  // 2026-11-24T11:23:36Z
constexpr char kHex[] = "3b6cdcc7adcc9a84d3214ee1c029543789d90b5ae69debe9efa3f66e982875de";
constexpr char kTarballHex[] = "d7e924b4882e55b97627355c7b3d2e711e9b54303afa2f50c25377f4df66a83b";
constexpr char kUrl[] = "file:///var/cache/ocirepofs/";

Publication Podinfo(ApiVersion version) {
  auto repository = std::make_shared<OciRepository>();
  repository->api_version = version;
  repository->key = {"default", "podinfo"};
  repository->spec_as_written = {{"interval", "5m"},
                                 {"url", "oci://reg.lab/stefanprodan/manifests/podinfo"},
                                 {"ref", {{"tag", "latest"}}}};
  Publication publication;
  publication.repository = std::move(repository);
  return publication;
}

/// As after a pull, the way the reconciler leaves it.
Publication Pulled(ApiVersion version) {
  Publication publication = Podinfo(version);
  SourceStatus& status = publication.status;
  status.observed_generation = 1;
  status.artifact =
      Artifact{.tag = "latest",
               .source_digest = *Digest::ParseHex(kHex),
               .checksum = *Digest::ParseHex(kTarballHex),
               .path = fmt::format("ocirepository/default/podinfo/{}.tar.gz", kHex),
               .size = 1105,
               .last_update_time = kThen,
               .metadata = {{"org.opencontainers.image.revision", "6.1.8/b3b00fe35424"}}};
  const std::string revision = status.artifact->Revision(version);
  const std::string stored = fmt::format("stored artifact for digest '{}'", revision);
  status.conditions.Set(condition::kArtifactInStorage, ConditionStatus::kTrue, "Succeeded", stored,
                        1, kThen);
  status.conditions.SummarizeReady(1, kThen);
  status.AddEvent(
      false, "NewArtifact",
      fmt::format("stored artifact with revision '{}' from 'oci://reg.lab/podinfo'", revision),
      kThen);
  return publication;
}

TEST(RenderStatus, BeforeAnythingHappened) {
  EXPECT_EQ(RenderStatus(Podinfo(ApiVersion::kV1), kUrl),
            R"(apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata:
  generation: 1
  name: podinfo
  namespace: default
spec:
  interval: 5m
  url: oci://reg.lab/stefanprodan/manifests/podinfo
  ref:
    tag: latest
status:
  conditions: []
  observedGeneration: -1
events: []
)");
}

TEST(RenderStatus, WholeTextForV1Beta2) {
  Publication publication = Pulled(ApiVersion::kV1Beta2);
  publication.status.last_handled_reconcile_at = "2026-11-24T11:00:00Z";
  EXPECT_EQ(RenderStatus(publication, kUrl), R"(apiVersion: source.toolkit.fluxcd.io/v1beta2
kind: OCIRepository
metadata:
  generation: 1
  name: podinfo
  namespace: default
spec:
  interval: 5m
  url: oci://reg.lab/stefanprodan/manifests/podinfo
  ref:
    tag: latest
status:
  artifact:
    checksum: d7e924b4882e55b97627355c7b3d2e711e9b54303afa2f50c25377f4df66a83b
    lastUpdateTime: "2026-11-24T11:23:36Z"
    metadata:
      org.opencontainers.image.revision: 6.1.8/b3b00fe35424
    path: ocirepository/default/podinfo/3b6cdcc7adcc9a84d3214ee1c029543789d90b5ae69debe9efa3f66e982875de.tar.gz
    revision: latest/3b6cdcc7adcc9a84d3214ee1c029543789d90b5ae69debe9efa3f66e982875de
    size: 1105
    url: file:///var/cache/ocirepofs/ocirepository/default/podinfo/3b6cdcc7adcc9a84d3214ee1c029543789d90b5ae69debe9efa3f66e982875de.tar.gz
  conditions:
  - lastTransitionTime: "2026-11-24T11:23:36Z"
    message: stored artifact for digest 'latest/3b6cdcc7adcc9a84d3214ee1c029543789d90b5ae69debe9efa3f66e982875de'
    observedGeneration: 1
    reason: Succeeded
    status: "True"
    type: Ready
  - lastTransitionTime: "2026-11-24T11:23:36Z"
    message: stored artifact for digest 'latest/3b6cdcc7adcc9a84d3214ee1c029543789d90b5ae69debe9efa3f66e982875de'
    observedGeneration: 1
    reason: Succeeded
    status: "True"
    type: ArtifactInStorage
  contentConfigChecksum: sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
  lastHandledReconcileAt: "2026-11-24T11:00:00Z"
  observedGeneration: 1
  url: file:///var/cache/ocirepofs/ocirepository/default/podinfo/latest.tar.gz
events:
- type: Normal
  reason: NewArtifact
  message: stored artifact with revision 'latest/3b6cdcc7adcc9a84d3214ee1c029543789d90b5ae69debe9efa3f66e982875de' from 'oci://reg.lab/podinfo'
  count: 1
  firstTimestamp: "2026-11-24T11:23:36Z"
  lastTimestamp: "2026-11-24T11:23:36Z"
)");
}

TEST(RenderStatus, WholeTextForV1) {
  Publication publication = Pulled(ApiVersion::kV1);
  publication.status.observed_content = {
      .ignore = "*.md\n!README.md\n",
      .layer_selector = LayerSelector{.media_type = "application/x", .operation = "copy"}};
  const std::string text = RenderStatus(publication, kUrl);
  EXPECT_EQ(text.substr(text.find("status:\n")), R"(status:
  artifact:
    digest: sha256:d7e924b4882e55b97627355c7b3d2e711e9b54303afa2f50c25377f4df66a83b
    lastUpdateTime: "2026-11-24T11:23:36Z"
    metadata:
      org.opencontainers.image.revision: 6.1.8/b3b00fe35424
    path: ocirepository/default/podinfo/3b6cdcc7adcc9a84d3214ee1c029543789d90b5ae69debe9efa3f66e982875de.tar.gz
    revision: latest@sha256:3b6cdcc7adcc9a84d3214ee1c029543789d90b5ae69debe9efa3f66e982875de
    size: 1105
    url: file:///var/cache/ocirepofs/ocirepository/default/podinfo/3b6cdcc7adcc9a84d3214ee1c029543789d90b5ae69debe9efa3f66e982875de.tar.gz
  conditions:
  - lastTransitionTime: "2026-11-24T11:23:36Z"
    message: stored artifact for digest 'latest@sha256:3b6cdcc7adcc9a84d3214ee1c029543789d90b5ae69debe9efa3f66e982875de'
    observedGeneration: 1
    reason: Succeeded
    status: "True"
    type: Ready
  - lastTransitionTime: "2026-11-24T11:23:36Z"
    message: stored artifact for digest 'latest@sha256:3b6cdcc7adcc9a84d3214ee1c029543789d90b5ae69debe9efa3f66e982875de'
    observedGeneration: 1
    reason: Succeeded
    status: "True"
    type: ArtifactInStorage
  observedGeneration: 1
  observedIgnore: |
    *.md
    !README.md
  observedLayerSelector:
    mediaType: application/x
    operation: copy
  url: file:///var/cache/ocirepofs/ocirepository/default/podinfo/latest.tar.gz
events:
- type: Normal
  reason: NewArtifact
  message: stored artifact with revision 'latest@sha256:3b6cdcc7adcc9a84d3214ee1c029543789d90b5ae69debe9efa3f66e982875de' from 'oci://reg.lab/podinfo'
  count: 1
  firstTimestamp: "2026-11-24T11:23:36Z"
  lastTimestamp: "2026-11-24T11:23:36Z"
)");
}

TEST(RenderStatus, EventsSayWhatKindAndHowOften) {
  Publication publication = Podinfo(ApiVersion::kV1);
  publication.status.AddEvent(true, "FetchFailed", "no route", kThen);
  publication.status.AddEvent(true, "FetchFailed", "no route", kThen + seconds(4));
  const std::string text = RenderStatus(publication, kUrl);
  EXPECT_EQ(text.substr(text.find("events:")), R"(events:
- type: Warning
  reason: FetchFailed
  message: no route
  count: 2
  firstTimestamp: "2026-11-24T11:23:36Z"
  lastTimestamp: "2026-11-24T11:23:40Z"
)");
}

TEST(RenderStatus, ValuesOfOtherTypesStayWhatTheyWere) {
  Publication publication = Podinfo(ApiVersion::kV1);
  auto repository = std::make_shared<OciRepository>(*publication.repository);
  repository->spec_as_written = {{"insecure", true},
                                 {"suspend", false},
                                 {"number", 5},
                                 {"negative", -7},
                                 {"ratio", 0.5},
                                 {"map", ordered_json::object()},
                                 {"list", ordered_json::array()}};
  publication.repository = repository;
  const std::string text = RenderStatus(publication, kUrl);
  const size_t start = text.find("spec:\n");
  EXPECT_EQ(text.substr(start, text.find("status:\n") - start), R"(spec:
  insecure: true
  suspend: false
  number: 5
  negative: -7
  ratio: 0.5
  map: {}
  list: []
)");
}

}  // namespace
}  // namespace ocirepofs
