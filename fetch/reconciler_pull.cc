#include <malloc.h>

#include <cstdio>
#include <cstring>
#include <ctime>
#include <set>

#include "cache/names.h"
#include "cache/stored_gzip.h"
#include "conf/reference.h"
#include "fetch/layer/pull.h"
#include "fetch/reconciler.h"
#include "fetch/registry/tag_choice.h"

/// The half of the reconciler that resolves, pulls and stores.

namespace ocirepofs {
namespace {

constexpr std::string_view kPullFailed = "OCIArtifactPullFailed";
constexpr std::string_view kLayerOperationFailed = "OCIArtifactLayerOperationFailed";
constexpr std::string_view kCreatedAnnotation = "org.opencontainers.image.created";
/// An entry's share of the layer's expanded size beside its contents: headers and padding.
constexpr uint64_t kEntryOverhead = 8192;

/// RFC 3339; nothing where it can't be read, or lies in the future, where no file's time may lie.
std::optional<int64_t> ParseCreated(const std::map<std::string, std::string>& annotations,
                                    int64_t now) {
  const auto found = annotations.find(std::string(kCreatedAnnotation));
  if (found == annotations.end()) return std::nullopt;
  std::tm time{};
  const char* rest = strptime(found->second.c_str(), "%Y-%m-%dT%H:%M:%S", &time);
  if (rest == nullptr) return std::nullopt;
  if (*rest == '.') rest += 1 + std::strspn(rest + 1, "0123456789");
  int64_t offset = 0;
  if (*rest == '+' || *rest == '-') {
    int hours = 0;
    int minutes = 0;
    if (std::sscanf(rest + 1, "%2d:%2d", &hours, &minutes) != 2) return std::nullopt;
    offset = (*rest == '-' ? -60 : 60) * (int64_t{hours} * 60 + minutes);
  } else if (*rest != 'Z') {
    return std::nullopt;
  }
  return std::min(int64_t{timegm(&time)} - offset, now);
}

}  // namespace

std::optional<Reconciler::Failure> Reconciler::Resolve(const RegistryAccess& access,
                                                       std::stop_token stop,
                                                       std::optional<Resolved>* resolved) {
  const OciRepositorySpec& spec = repository_->spec;
  const auto pull_failure = [](const Error& error) {
    return Failure{condition::kFetchFailed, kPullFailed,
                   Wrap(error, "failed to determine artifact digest").value()};
  };
  std::string tag = spec.ref.tag.empty() ? "latest" : spec.ref.tag;
  std::optional<Digest> digest;
  if (!spec.ref.digest.empty()) {
    tag.clear();
    Result<Digest> parsed = Digest::Parse(spec.ref.digest);
    if (!parsed) return pull_failure(parsed.error());
    digest = *parsed;
  } else if (!spec.ref.semver.empty()) {
    Result<std::string> picked = ChooseTag(context_.registry, access, spec, stop);
    if (!picked) {
      return Failure{condition::kFetchFailed, "ReadOperationFailed",
                     Wrap(picked.error(), fmt::format("failed to determine the artifact tag for "
                                                      "'{}'",
                                                      spec.url))
                         .value()};
    }
    tag = *picked;
  }
  if (!digest) {
    Result<Digest> found = context_.registry->ResolveTag(access, tag, stop);
    if (!found) return pull_failure(found.error());
    digest = *found;
  }
  const std::string name = access.repository.ToString();
  resolved->emplace(
      Resolved{.tag = tag,
               .digest = *digest,
               .revision = FormatRevision(repository_->api_version, tag, *digest),
               .reference = tag.empty() ? name + "@" + digest->ToString() : name + ":" + tag});
  return std::nullopt;
}

std::optional<Reconciler::Failure> Reconciler::Run(std::stop_token stop) {
  const OciRepositorySpec& spec = repository_->spec;
  Result<Repository> repository = ParseOciUrl(spec.url);
  if (!repository) {
    return Failure{condition::kFetchFailed, "URLInvalid",
                   Wrap(repository.error(),
                        fmt::format("URL validation failed for '{}'", WithoutUserInfo(spec.url)))
                       .value(),
                   /*stalled=*/true};
  }
  const RegistryAccess access{
      .repository = *repository, .insecure = spec.insecure, .timeout = spec.timeout};
  if (record_.status.artifact && !store_->HasImage(snapshot_->image->stem())) LoseArtifact();
  std::optional<Resolved> resolved;
  if (auto failure = Resolve(access, stop, &resolved)) return failure;

  const std::optional<Artifact>& artifact = record_.status.artifact;
  if (artifact && artifact->Revision(repository_->api_version) == resolved->revision &&
      record_.status.observed_content == ContentConfig::Of(spec)) {
    return std::nullopt;
  }
  return Build(access, *resolved, stop);
}

std::optional<Reconciler::Failure> Reconciler::Build(const RegistryAccess& access,
                                                     const Resolved& resolved,
                                                     std::stop_token stop) {
  const OciRepositorySpec& spec = repository_->spec;
  SourceStatus& status = record_.status;
  const bool is_new =
      !status.artifact || status.artifact->Revision(repository_->api_version) != resolved.revision;
  if (is_new) {
    const std::string change =
        fmt::format("new revision '{}' for '{}'", resolved.revision, resolved.reference);
    if (status.artifact) {
      status.conditions.Set(condition::kArtifactOutdated, ConditionStatus::kTrue, "NewRevision",
                            change, status.generation, context_.clock->Now());
    }
    SetProgress("building artifact: " + change);
    Publish();
  }

  const auto pull_failure = [&spec](const Error& error) {
    return Failure{condition::kFetchFailed, kPullFailed,
                   Wrap(error, fmt::format("failed to pull artifact from '{}'", spec.url)).value()};
  };
  Result<OciManifest> manifest = context_.registry->FetchManifest(access, resolved.digest, stop);
  if (manifest && manifest->is_index) {
    Result<Descriptor> child = SelectPlatform(*manifest);
    if (!child) return pull_failure(child.error());
    manifest = context_.registry->FetchManifest(access, child->digest, stop);
    if (manifest && manifest->is_index) {
      return pull_failure({ErrorCode::kMalformed, "an index within an index"});
    }
  }
  if (!manifest) return pull_failure(manifest.error());

  const std::string stem = RevisionStem(resolved.digest, ContentConfig::Of(spec));
  Result<Descriptor> layer =
      SelectLayer(*manifest, spec.layer_selector ? spec.layer_selector->media_type : std::nullopt);
  if (!layer) return Failure{condition::kFetchFailed, kLayerOperationFailed, layer.error()};
  if (!store_->HasImage(stem)) {
    const int64_t now = context_.clock->Now().time_since_epoch().count();
    const int64_t modification_time = ParseCreated(manifest->annotations, now).value_or(now);
    if (auto failure = Pull(access, *layer, stem, modification_time, stop)) return failure;
  }
  return Adopt(resolved, stem, *layer, manifest->annotations);
}

std::optional<Reconciler::Failure> Reconciler::Pull(const RegistryAccess& access,
                                                    const Descriptor& layer,
                                                    const std::string& stem,
                                                    int64_t modification_time,
                                                    std::stop_token stop) {
  const bool unaltered = KeepsUnaltered();
  const auto classify = [unaltered](const Error& error) {
    if (error.code == ErrorCode::kStorage || error.code == ErrorCode::kCorrupt) {
      return Failure{condition::kStorageOperationFailed, "ArchiveOperationFailed",
                     Wrap(error, unaltered ? "unable to copy artifact to storage"
                                           : "unable to archive artifact to storage")
                         .value()};
    }
    return Failure{condition::kFetchFailed, kLayerOperationFailed,
                   Wrap(error, unaltered ? "failed to copy layer from artifact"
                                         : "failed to extract layer contents from artifact")
                       .value()};
  };
  Result<std::unique_ptr<ImageWriter>> writer =
      store_->NewImage(stem, {.ignore = repository_->spec.ignore,
                              .filter = !unaltered,
                              .beside_artifact = unaltered,
                              .max_size = context_.max_size,
                              .max_files = context_.max_files});
  if (!writer) return classify(writer.error());
  const uint64_t headers = context_.max_files * kEntryOverhead;
  const uint64_t max_expanded =
      context_.max_size > UINT64_MAX - headers ? UINT64_MAX : context_.max_size + headers;
  const std::string artifact = ArtifactName(stem);
  const RemoveOnExit unaltered_file(store_->directory_fd(), TemporaryName(artifact));
  const Result<void> pulled =
      unaltered
          ? PullUnaltered(context_.registry, access, layer, max_expanded, store_->directory_fd(),
                          TemporaryName(artifact), writer->get(), stop)
          : PullLayer(context_.registry, access, layer, max_expanded, writer->get(), stop);
  if (!pulled) return classify(pulled.error());
  Result<ImageWriter::Summary> summary = (*writer)->Finish(modification_time);
  if (!summary) return classify(summary.error());
  Result<void> committed = (*writer)->Commit();
  if (committed && unaltered) {
    committed = CommitAt(store_->directory_fd(), TemporaryName(artifact), artifact);
  }
  if (!committed) return classify(committed.error());
  if (summary->skipped_links > 0) {
    AddEvent(false, "SymlinksSkipped",
             fmt::format("skipped {} symbolic links that lead out of the artifact",
                         summary->skipped_links));
  }
  if (summary->hides_status) {
    AddEvent(true, "StatusFileHidden",
             "the artifact's own .status is hidden by the one that tells its state");
  }
  writer->reset();
  // An archive of many entries leaves a heap that is mostly holes.
  malloc_trim(0);
  return std::nullopt;
}

std::optional<Reconciler::Failure> Reconciler::Adopt(
    const Resolved& resolved, const std::string& stem, const Descriptor& layer,
    const std::map<std::string, std::string>& annotations) {
  Result<std::shared_ptr<const Image>> image = store_->OpenImage(stem);
  if (!image) {
    store_->Discard(stem);
    return Failure{condition::kStorageOperationFailed, "StatOperationFailed",
                   Wrap(image.error(), "unable to open the stored artifact").value()};
  }
  const Timestamp now = context_.clock->Now();
  SourceStatus& status = record_.status;
  const IndexFacts& facts = (*image)->index().facts();
  status.artifact =
      Artifact{.tag = resolved.tag,
               .source_digest = resolved.digest,
               .checksum = KeepsUnaltered() ? layer.digest : facts.image_digest,
               .path = PathOf(store_->key(), ArtifactName(stem)),
               .size = KeepsUnaltered() ? layer.size : stored_gzip::FileSize(facts.tar_size),
               .last_update_time = now,
               .metadata = annotations};
  status.observed_content = ContentConfig::Of(repository_->spec);
  if (auto linked = store_->SetLatest(stem); !linked) {
    AddEvent(true, "SymlinkUpdateFailed", linked.error().message);
  }
  if (const std::string& former_stem = snapshot_->image->stem(); former_stem != stem) {
    if (!former_stem.empty()) record_.previous_stem = former_stem;
    former_images_.push_back(snapshot_->image);
  }
  snapshot_ = context_.catalog->NewSnapshot(store_->key(), std::move(*image), status.artifact);
  CollectRevisions();
  return std::nullopt;
}

/// spec.layerSelector.operation: copy
bool Reconciler::KeepsUnaltered() const {
  const auto& selector = repository_->spec.layer_selector;
  return selector && selector->operation == "copy";
}

void Reconciler::CollectRevisions() {
  std::set<std::string> kept = {snapshot_->image->stem(), record_.previous_stem};
  std::erase_if(former_images_, [&kept](const std::weak_ptr<const Image>& former) {
    const std::shared_ptr<const Image> image = former.lock();
    if (image != nullptr) kept.insert(image->stem());
    return image == nullptr;
  });
  store_->CollectExcept(kept);
  if (context_.cache_size) context_.store->CollectBeyond(*context_.cache_size);
}

}  // namespace ocirepofs
