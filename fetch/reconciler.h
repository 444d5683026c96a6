#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "cache/catalog.h"
#include "cache/store.h"
#include "conf/clock.h"
#include "conf/manifest/manifest.h"
#include "fetch/registry/registry.h"

namespace ocirepofs {

/// What every reconciler works with. All of it outlives them.
struct ReconcileContext {
  RegistryClient* registry = nullptr;
  const Clock* clock = nullptr;
  Catalog* catalog = nullptr;
  Store* store = nullptr;
  std::optional<uint64_t> cache_size = std::nullopt;  // bytes; see Store::CollectBeyond
  uint64_t max_size = UINT64_MAX;                     // bytes of an artifact's contents
  uint64_t max_files = UINT32_MAX;                    // entries of an artifact
};

/// Brings one repository up to date: resolves its reference, and where that leads to something new,
/// pulls, stores and publishes it. Keeps its status the way Flux's source-controller does. Owns the
/// repository's directory in the cache and its record. One thread at a time.
///
/// Whatever fails, what was published last stays published.
class Reconciler {
 public:
  struct Outcome {
    enum class Kind { kSuccess, kFailure, kStalled };
    Kind kind = Kind::kSuccess;
    std::optional<std::chrono::seconds> retry_after;  // of a failure, where the registry said it
  };

  Reconciler(const ReconcileContext& context, std::unique_ptr<RepositoryStore> store);

  /// Takes up what the cache has: record and image; nothing of it is an error that keeps from
  /// starting. REQUIRES: called once, before anything else.
  void Load();

  /// The manifest as last accepted, from the record; null where there is none. It is what a
  /// manifest that has become unreadable is held to.
  std::shared_ptr<const OciRepository> LastGood() const;

  /// Takes a manifest: publishes it with what is there, and counts the generation up if the spec is
  /// another one than before. True if a reconcile is due because of it.
  bool Configure(std::shared_ptr<const OciRepository> repository);

  /// The manifest in CONFIG can't be accepted: what is mounted stays, and the status says why.
  void MarkInvalid(const std::string& message);

  /// REQUIRES: Configure was called.
  Outcome Reconcile(std::stop_token stop);

  /// The bytes in the cache of the snapshot with that serial are not what was written. If it is
  /// still the current one it is given up, for the next Reconcile to pull it again.
  void Discard(uint32_t serial);

 private:
  struct Resolved {
    std::string tag;
    Digest digest;
    std::string revision;   // in the manifest's dialect
    std::string reference;  // "host/path:tag" or "host/path@sha256:…"
  };
  /// Where a reconcile stopped, and what its condition says.
  struct Failure {
    std::string_view type;  // condition type
    std::string_view reason;
    Error error;
    bool stalled = false;
  };

  std::optional<Failure> Run(std::stop_token stop);
  std::optional<Failure> Resolve(const RegistryAccess& access, std::stop_token stop,
                                 std::optional<Resolved>* resolved);
  std::optional<Failure> Build(const RegistryAccess& access, const Resolved& resolved,
                               std::stop_token stop);
  std::optional<Failure> Pull(const RegistryAccess& access, const Descriptor& layer,
                              const std::string& stem, int64_t modification_time,
                              std::stop_token stop);
  std::optional<Failure> Adopt(const Resolved& resolved, const std::string& stem,
                               const Descriptor& layer,
                               const std::map<std::string, std::string>& annotations);
  bool KeepsUnaltered() const;

  /// Reconciling=True and Ready=Unknown, with that message.
  void SetProgress(std::string message);
  void AddEvent(bool warning, std::string_view reason, std::string_view message);
  /// `before`: the artifact's checksum when the reconcile began.
  void Finish(const std::optional<Failure>& failure, const std::optional<Digest>& before);
  std::optional<Digest> Checksum() const;
  std::string StoredMessage() const;
  bool IsRequested() const;
  void NoteRequestHandled();
  void LoseArtifact();
  void Publish();
  void Save();
  void CollectRevisions();

  const ReconcileContext context_;
  const std::unique_ptr<RepositoryStore> store_;
  std::shared_ptr<const OciRepository> repository_;
  std::shared_ptr<const OciRepository> last_good_;
  Record record_;
  std::string saved_record_;  // as on disk
  std::shared_ptr<const Snapshot> snapshot_;
  std::vector<std::weak_ptr<const Image>> former_images_;  // perhaps still read from
  std::string progress_;
};

}  // namespace ocirepofs
