#include "fetch/reconciler.h"

#include <spdlog/spdlog.h>

#include "cache/names.h"

namespace ocirepofs {
namespace {

constexpr std::string_view kSucceeded = "Succeeded";
constexpr std::string_view kProgressing = "Progressing";
constexpr std::string_view kProgressingWithRetry = "ProgressingWithRetry";
constexpr std::string_view kSourceAnnotation = "org.opencontainers.image.source";
constexpr std::string_view kRevisionAnnotation = "org.opencontainers.image.revision";
constexpr std::string_view kRequestAnnotation = "reconcile.fluxcd.io/requestedAt";
constexpr std::string_view kInvalidManifest = "InvalidManifest";

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
  snapshot_ = context_.catalog->NewSnapshot(store_->key(), std::move(image), artifact);
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
  return first || changed || was_invalid || IsRequested() || !status.artifact;
}

/// Whether the annotation that asks for a reconcile asks for one that was not made yet.
bool Reconciler::IsRequested() const {
  const auto request = repository_->annotations.find(std::string(kRequestAnnotation));
  return request != repository_->annotations.end() &&
         request->second != record_.status.last_handled_reconcile_at;
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
    NoteRequestHandled();
    record_.status.conditions.SummarizeReady(record_.status.generation, context_.clock->Now());
    Save();
    Publish();
    return {};
  }
  const std::optional<Digest> before = Checksum();
  const std::optional<Failure> failure = Run(stop);
  if (failure && failure->error.code == ErrorCode::kCancelled) {
    return {.kind = Outcome::Kind::kFailure, .retry_after = std::nullopt};
  }
  Finish(failure, before);
  Save();
  Publish();
  if (!failure) return {};
  return {.kind = failure->stalled ? Outcome::Kind::kStalled : Outcome::Kind::kFailure,
          .retry_after = failure->error.retry_after};
}

void Reconciler::NoteRequestHandled() {
  const auto request = repository_->annotations.find(std::string(kRequestAnnotation));
  if (request == repository_->annotations.end()) return;
  record_.status.last_handled_reconcile_at = request->second;
}

std::optional<Digest> Reconciler::Checksum() const {
  if (!record_.status.artifact) return std::nullopt;
  return record_.status.artifact->checksum;
}

/// "stored artifact with revision '…' from '…'", and where it came from before that.
std::string Reconciler::StoredMessage() const {
  const Artifact& artifact = *record_.status.artifact;
  std::string message =
      fmt::format("stored artifact with revision '{}' from '{}'",
                  artifact.Revision(repository_->api_version), repository_->spec.url);
  const auto source = artifact.metadata.find(std::string(kSourceAnnotation));
  const auto revision = artifact.metadata.find(std::string(kRevisionAnnotation));
  if (source != artifact.metadata.end() && revision != artifact.metadata.end()) {
    message +=
        fmt::format(", origin source '{}', origin revision '{}'", source->second, revision->second);
  }
  return message;
}

void Reconciler::Finish(const std::optional<Failure>& failure,
                        const std::optional<Digest>& before) {
  SourceStatus& status = record_.status;
  const Timestamp now = context_.clock->Now();
  const std::string name = store_->key().ToString();
  const bool recovered = status.conditions.IsTrue(condition::kFetchFailed) ||
                         status.conditions.IsTrue(condition::kStorageOperationFailed);
  const bool requested = IsRequested();
  if (!failure) {
    for (const std::string_view type :
         {condition::kReconciling, condition::kStalled, condition::kFetchFailed,
          condition::kStorageOperationFailed, condition::kArtifactOutdated}) {
      status.conditions.Remove(type);
    }
    status.observed_generation = status.generation;
    // Said anew each time: for the generation, or in the dialect, that the manifest has now.
    status.conditions.Set(condition::kArtifactInStorage, ConditionStatus::kTrue, kSucceeded,
                          fmt::format("stored artifact for digest '{}'",
                                      status.artifact->Revision(repository_->api_version)),
                          status.generation, now);
    if (Checksum() != before) {
      AddEvent(false, "NewArtifact", StoredMessage());
      spdlog::info("{}: {}", name, StoredMessage());
    } else if (recovered) {
      AddEvent(false, kSucceeded, StoredMessage());
      spdlog::info("{}: recovered; {}", name, StoredMessage());
    } else if (requested) {
      AddEvent(false, "ArtifactUpToDate",
               fmt::format("artifact up-to-date with remote revision: '{}'",
                           status.artifact->Revision(repository_->api_version)));
    }
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
  NoteRequestHandled();
  status.conditions.SummarizeReady(status.generation, now);
}

void Reconciler::Discard(uint32_t serial) {
  if (snapshot_->serial != serial || !record_.status.artifact) return;
  AddEvent(true, "ArtifactVerificationFailed",
           fmt::format("failed to verify integrity of artifact: {} is damaged",
                       record_.status.artifact->path));
  // Readers keep what they can still read of it until the new one is there.
  store_->Discard(snapshot_->image->stem());
  LoseArtifact();
}

/// The artifact is no longer in the cache, though what is mounted may still hold it open.
void Reconciler::LoseArtifact() {
  record_.status.artifact.reset();
  record_.status.conditions.Remove(condition::kArtifactInStorage);
  SetProgress("building artifact: disappeared from storage");
  Publish();
}

}  // namespace ocirepofs
