#include "fetch/reconciler.h"

#include <malloc.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <set>

#include "cache/names.h"
#include "cache/stored_gzip.h"
#include "conf/reference.h"
#include "fetch/layer/pull.h"
#include "fetch/registry/tag_choice.h"

namespace ocirepofs {
namespace {

constexpr std::string_view kSucceeded = "Succeeded";
constexpr std::string_view kProgressing = "Progressing";
constexpr std::string_view kProgressingWithRetry = "ProgressingWithRetry";
constexpr std::string_view kPullFailed = "OCIArtifactPullFailed";
constexpr std::string_view kLayerOperationFailed = "OCIArtifactLayerOperationFailed";
constexpr std::string_view kCreatedAnnotation = "org.opencontainers.image.created";
constexpr std::string_view kSourceAnnotation = "org.opencontainers.image.source";
constexpr std::string_view kRevisionAnnotation = "org.opencontainers.image.revision";
constexpr std::string_view kRequestAnnotation = "reconcile.fluxcd.io/requestedAt";
constexpr std::string_view kInvalidManifest = "InvalidManifest";
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

/// What a record holds of the manifest it was made for, read like any manifest.
std::shared_ptr<const OciRepository> RepositoryFromRecord(const ObjectKey& key,
                                                          const Record& record) {
  if (record.spec.is_null()) return nullptr;
  const nlohmann::ordered_json manifest = {{"apiVersion", record.api_version},
                                           {"kind", "OCIRepository"},
                                           {"metadata",
                                            {{"name", key.name},
                                             {"namespace", key.namespace_name},
                                             {"annotations", record.annotations}}},
                                           {"spec", record.spec}};
  Configuration configuration;
  ParseManifests("record", manifest.dump(), &configuration);
  const auto found = configuration.repositories.find(key);
  if (found == configuration.repositories.end()) return nullptr;
  return std::make_shared<const OciRepository>(std::move(found->second));
}

}  // namespace

Reconciler::Reconciler(const ReconcileContext& context, std::unique_ptr<RepositoryStore> store)
    : context_(context), store_(std::move(store)) {}

void Reconciler::Load() {
  Result<std::optional<Record>> loaded = store_->LoadRecord();
  if (!loaded) {
    spdlog::warn("{}: starting over: {}", store_->key().ToString(), loaded.error().message);
  } else if (*loaded) {
    record_ = std::move(**loaded);
    saved_record_ = EncodeRecord(record_);
  }
  if (record_.status.created == Timestamp{}) record_.status.created = context_.clock->Now();
  last_good_ = RepositoryFromRecord(store_->key(), record_);

  std::shared_ptr<const Image> image;
  std::optional<Artifact>& artifact = record_.status.artifact;
  if (artifact) {
    const std::string stem = RevisionStem(artifact->source_digest, record_.status.observed_content);
    Result<std::shared_ptr<const Image>> opened = store_->OpenImage(stem);
    if (opened) {
      image = std::move(*opened);
    } else {
      AddEvent(true, "ArtifactVerificationFailed",
               "failed to verify integrity of artifact: " + opened.error().message);
      store_->Discard(stem);
      artifact.reset();
      record_.status.conditions.Remove(condition::kArtifactInStorage);
      progress_ = "building artifact: disappeared from storage";
    }
  }
  if (image == nullptr) {
    image = Image::Empty(context_.clock->Now().time_since_epoch().count());
  }
  const ApiVersion version = last_good_ ? last_good_->api_version : ApiVersion::kV1;
  snapshot_ = context_.catalog->NewSnapshot(store_->key(), std::move(image), artifact,
                                            artifact ? artifact->Revision(version) : "");
}

std::shared_ptr<const OciRepository> Reconciler::LastGood() const { return last_good_; }

bool Reconciler::Configure(std::shared_ptr<const OciRepository> repository) {
  SourceStatus& status = record_.status;
  const bool first = record_.spec.is_null();
  const bool changed = !first && record_.spec != repository->spec_as_written;
  const Condition* stalled = status.conditions.Find(condition::kStalled);
  const bool was_invalid = stalled != nullptr && stalled->reason == kInvalidManifest;
  if (changed) ++status.generation;
  if (changed || was_invalid) status.conditions.Remove(condition::kStalled);

  const auto request = repository->annotations.find(std::string(kRequestAnnotation));
  const bool requested = request != repository->annotations.end() &&
                         request->second != status.last_handled_reconcile_at;
  record_.api_version = ToString(repository->api_version);
  record_.annotations = repository->annotations;
  record_.spec = repository->spec_as_written;
  repository_ = std::move(repository);
  last_good_ = repository_;

  if (!repository_->spec.suspend) {
    if (!status.artifact) {
      SetProgress(progress_.empty() ? "building artifact" : progress_);
    } else if (status.observed_generation != status.generation) {
      SetProgress(fmt::format("processing object: new generation {} -> {}",
                              status.observed_generation, status.generation));
    }
  }
  Publish();
  return first || changed || was_invalid || requested || !status.artifact;
}

void Reconciler::MarkInvalid(const std::string& message) {
  if (repository_ == nullptr) repository_ = last_good_;
  if (repository_ == nullptr) return;
  Conditions& conditions = record_.status.conditions;
  const Timestamp now = context_.clock->Now();
  conditions.Remove(condition::kReconciling);
  conditions.Set(condition::kStalled, ConditionStatus::kTrue, kInvalidManifest, message,
                 record_.status.generation, now);
  conditions.SummarizeReady(record_.status.generation, now);
  AddEvent(true, kInvalidManifest, message);
  Publish();
}

void Reconciler::SetProgress(std::string message) {
  const Timestamp now = context_.clock->Now();
  SourceStatus& status = record_.status;
  progress_ = std::move(message);
  status.conditions.Remove(condition::kStalled);
  status.conditions.Set(condition::kReconciling, ConditionStatus::kTrue, kProgressing, progress_,
                        status.generation, now);
  status.conditions.Set(condition::kReady, ConditionStatus::kUnknown, kProgressing, progress_,
                        status.generation, now);
}

void Reconciler::AddEvent(bool warning, std::string_view reason, std::string_view message) {
  record_.status.AddEvent(warning, reason, message, context_.clock->Now());
}

void Reconciler::Publish() {
  auto publication = std::make_shared<const Publication>(
      Publication{.repository = repository_, .status = record_.status, .snapshot = snapshot_});
  const auto current = context_.catalog->Find(store_->key());
  if (current != nullptr && current->repository == publication->repository &&
      current->snapshot == publication->snapshot && current->status == publication->status) {
    return;
  }
  context_.catalog->Publish(std::move(publication));
}

void Reconciler::Save() {
  std::string text = EncodeRecord(record_);
  if (text == saved_record_) return;
  if (auto saved = store_->SaveRecord(record_); !saved) {
    spdlog::error("{}: {}", store_->key().ToString(), saved.error().message);
    return;
  }
  saved_record_ = std::move(text);
}

Reconciler::Outcome Reconciler::Reconcile(std::stop_token stop) {
  if (record_.status.artifact) progress_ = "reconciliation in progress";
  if (repository_->spec.suspend) {
    record_.status.conditions.Remove(condition::kReconciling);
    record_.status.observed_generation = record_.status.generation;
    Save();
    Publish();
    return {};
  }
  const std::optional<Failure> failure = Run(stop);
  if (failure && failure->error.code == ErrorCode::kCancelled) {
    return {.kind = Outcome::Kind::kFailure, .retry_after = std::nullopt};
  }
  Finish(failure);
  Save();
  Publish();
  if (!failure) return {};
  return {.kind = failure->stalled ? Outcome::Kind::kStalled : Outcome::Kind::kFailure,
          .retry_after = failure->error.retry_after};
}

void Reconciler::Finish(const std::optional<Failure>& failure) {
  SourceStatus& status = record_.status;
  const Timestamp now = context_.clock->Now();
  const std::string name = store_->key().ToString();
  const bool recovered = status.conditions.IsTrue(condition::kFetchFailed) ||
                         status.conditions.IsTrue(condition::kStorageOperationFailed);
  if (!failure) {
    for (const std::string_view type :
         {condition::kReconciling, condition::kStalled, condition::kFetchFailed,
          condition::kStorageOperationFailed, condition::kArtifactOutdated}) {
      status.conditions.Remove(type);
    }
    status.observed_generation = status.generation;
    if (recovered) spdlog::info("{}: recovered", name);
  } else {
    const std::string& message = failure->error.message;
    if (failure->type != condition::kFetchFailed) status.conditions.Remove(condition::kFetchFailed);
    status.conditions.Set(failure->type, ConditionStatus::kTrue, failure->reason, message,
                          status.generation, now);
    if (failure->stalled) {
      status.conditions.Remove(condition::kReconciling);
      status.conditions.Set(condition::kStalled, ConditionStatus::kTrue, failure->reason, message,
                            status.generation, now);
      status.observed_generation = status.generation;
    } else {
      status.conditions.Set(condition::kReconciling, ConditionStatus::kTrue, kProgressingWithRetry,
                            progress_, status.generation, now);
    }
    AddEvent(true, failure->reason, message);
    spdlog::warn("{}: {}: {}", name, failure->reason, message);
  }
  if (const auto handled = repository_->annotations.find(std::string(kRequestAnnotation));
      handled != repository_->annotations.end()) {
    status.last_handled_reconcile_at = handled->second;
  }
  status.conditions.SummarizeReady(status.generation, now);
}

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
    return Failure{
        condition::kFetchFailed, "URLInvalid",
        Wrap(repository.error(), fmt::format("URL validation failed for '{}'", spec.url)).value(),
        /*stalled=*/true};
  }
  const RegistryAccess access{
      .repository = *repository, .insecure = spec.insecure, .timeout = spec.timeout};
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
  const std::optional<Artifact> former = std::exchange(
      status.artifact,
      Artifact{.tag = resolved.tag,
               .source_digest = resolved.digest,
               .checksum = KeepsUnaltered() ? layer.digest : facts.image_digest,
               .path = PathOf(store_->key(), ArtifactName(stem)),
               .size = KeepsUnaltered() ? layer.size : stored_gzip::FileSize(facts.tar_size),
               .last_update_time = now,
               .metadata = annotations});
  status.observed_content = ContentConfig::Of(repository_->spec);
  status.conditions.Set(condition::kArtifactInStorage, ConditionStatus::kTrue, kSucceeded,
                        fmt::format("stored artifact for digest '{}'", resolved.revision),
                        status.generation, now);
  if (!former || former->checksum != status.artifact->checksum) {
    std::string message = fmt::format("stored artifact with revision '{}' from '{}'",
                                      resolved.revision, repository_->spec.url);
    const auto source = annotations.find(std::string(kSourceAnnotation));
    const auto revision = annotations.find(std::string(kRevisionAnnotation));
    if (source != annotations.end() && revision != annotations.end()) {
      message += fmt::format(", origin source '{}', origin revision '{}'", source->second,
                             revision->second);
    }
    AddEvent(false, "NewArtifact", message);
    spdlog::info("{}: {}", store_->key().ToString(), message);
  }
  if (auto linked = store_->SetLatest(stem); !linked) {
    AddEvent(true, "SymlinkUpdateFailed", linked.error().message);
  }
  if (const std::string& former_stem = snapshot_->image->stem(); former_stem != stem) {
    if (!former_stem.empty()) record_.previous_stem = former_stem;
    former_images_.push_back(snapshot_->image);
  }
  snapshot_ = context_.catalog->NewSnapshot(store_->key(), std::move(*image), status.artifact,
                                            resolved.revision);
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
}

void Reconciler::Discard(const std::string& stem) {
  if (snapshot_->image->stem() != stem || !record_.status.artifact) return;
  AddEvent(true, "ArtifactVerificationFailed",
           fmt::format("failed to verify integrity of artifact: {} is damaged",
                       record_.status.artifact->path));
  // Readers keep what they can still read of it until the new one is there.
  store_->Discard(stem);
  record_.status.artifact.reset();
  record_.status.conditions.Remove(condition::kArtifactInStorage);
  SetProgress("building artifact: disappeared from storage");
  Publish();
}

}  // namespace ocirepofs
