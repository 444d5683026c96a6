#include "tests/support/reconciler_fixture.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace ocirepofs {
namespace {

const ObjectKey kKey{"default", "app"};

/// What kstatus, of Kubernetes cli-utils, makes of an object.
std::string KStatus(const SourceStatus& status) {
  const auto is = [&status](std::string_view type, ConditionStatus wanted) {
    const Condition* found = status.conditions.Find(type);
    return found != nullptr && found->status == wanted;
  };
  if (status.observed_generation != status.generation) return "InProgress";
  if (is(condition::kReconciling, ConditionStatus::kTrue)) return "InProgress";
  if (is(condition::kStalled, ConditionStatus::kTrue)) return "Failed";
  if (is(condition::kReady, ConditionStatus::kTrue)) return "Current";
  if (status.conditions.Find(condition::kReady) != nullptr) return "InProgress";
  return "Current";
}

}  // namespace

void ReconcilerTest::Start() {
  catalog_ = std::make_unique<Catalog>();
  catalog_->SetListener(
      [this](const ObjectKey& key, Catalog::Change change) { Record(key, change); });
  Result<std::unique_ptr<Store>> store = Store::Open(cache_path_, "a test");
  ASSERT_TRUE(store) << store.error().message;
  store_ = std::move(*store);
  Result<std::unique_ptr<RepositoryStore>> repository = store_->OpenRepository(kKey);
  ASSERT_TRUE(repository) << repository.error().message;
  ReconcileContext context;
  context.registry = &client_;
  context.clock = &clock_;
  context.catalog = catalog_.get();
  context.max_size = max_size_;
  context.max_files = max_files_;
  reconciler_ = std::make_unique<Reconciler>(context, std::move(*repository));
  reconciler_->Load();
}

void ReconcilerTest::Restart() {
  reconciler_.reset();
  store_.reset();
  catalog_.reset();
  moments_.clear();
  Start();
}

std::shared_ptr<const OciRepository> ReconcilerTest::Manifest(
    const nlohmann::ordered_json& spec) const {
  nlohmann::ordered_json whole = {{"interval", "1m"}, {"url", "oci://r.example/app"}};
  whole.merge_patch(spec);
  const nlohmann::ordered_json manifest = {
      {"apiVersion", api_version_},
      {"kind", "OCIRepository"},
      {"metadata",
       {{"name", kKey.name}, {"namespace", kKey.namespace_name}, {"annotations", annotations_}}},
      {"spec", whole}};
  Configuration configuration;
  ParseManifests("app.yaml", manifest.dump(), &configuration);
  for (const Diagnostic& error : configuration.errors) ADD_FAILURE() << error.ToString();
  return std::make_shared<const OciRepository>(configuration.repositories.at(kKey));
}

bool ReconcilerTest::Configure(const nlohmann::ordered_json& spec) {
  if (reconciler_ == nullptr) Start();
  return reconciler_->Configure(Manifest(spec));
}

ReconcilerTest::Outcome ReconcilerTest::Reconcile() {
  reconciled_generations_.insert(status().generation);
  const Reconciler::Outcome outcome = reconciler_->Reconcile(stop_.get_token());
  retry_after_ = outcome.retry_after;
  return outcome.kind;
}

ReconcilerTest::Outcome ReconcilerTest::Sync(const nlohmann::ordered_json& spec) {
  Configure(spec);
  return Reconcile();
}

std::shared_ptr<const Publication> ReconcilerTest::Current() const { return catalog_->Find(kKey); }

std::string ReconcilerTest::Text(std::string_view condition_type) const {
  const Condition* found = status().conditions.Find(condition_type);
  if (found == nullptr) return {};
  return fmt::format("{} {}: {}", ToString(found->status), found->reason, found->message);
}

std::vector<std::string> ReconcilerTest::Events() const {
  std::vector<std::string> events;
  for (const Event& event : status().events) {
    events.push_back(fmt::format("{} {}: {}{}", event.warning ? "Warning" : "Normal", event.reason,
                                 event.message,
                                 event.count > 1 ? fmt::format(" x{}", event.count) : ""));
  }
  return events;
}

std::string ReconcilerTest::Revision() const {
  const auto& artifact = status().artifact;
  return artifact ? artifact->Revision(Current()->repository->api_version) : "";
}

std::map<std::string, std::string> ReconcilerTest::Disk() const {
  std::map<std::string, std::string> disk;
  const auto add = [&disk](const std::filesystem::path& path) {
    struct stat info {};
    EXPECT_EQ(lstat(path.c_str(), &info), 0) << path;
    disk[path.filename()] = fmt::format(
        "inode {} size {} modified {}.{} changed {}.{}", info.st_ino, info.st_size,
        info.st_mtim.tv_sec, info.st_mtim.tv_nsec, info.st_ctim.tv_sec, info.st_ctim.tv_nsec);
  };
  add(RepositoryPath());
  for (const auto& entry : std::filesystem::directory_iterator(RepositoryPath())) add(entry.path());
  return disk;
}

std::set<std::string> ReconcilerTest::FileNames() const {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(RepositoryPath())) {
    names.insert(entry.path().filename());
  }
  return names;
}

std::string ReconcilerTest::ReadCached(const std::string& path_below_cache) const {
  std::ifstream file(cache_path_ + "/" + path_below_cache, std::ios::binary);
  EXPECT_TRUE(file) << path_below_cache;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string ReconcilerTest::Tarball(const std::map<std::string, std::string>& files) {
  TarBuilder tar;
  for (const auto& [name, contents] : files) tar.File(name, contents);
  return tar.Archive();
}

void ReconcilerTest::Record(const ObjectKey& key, Catalog::Change change) {
  moments_.push_back({change, catalog_->Find(key)});
  if (moments_.back().publication != nullptr) CheckMoment(*moments_.back().publication);
}

void ReconcilerTest::CheckMoment(const Publication& publication) const {
  const SourceStatus& status = publication.status;
  const Conditions& conditions = status.conditions;
  const std::string now = testing::PrintToString(moments_.size()) + "th publication";
  ASSERT_NE(publication.repository, nullptr) << now;
  ASSERT_NE(publication.snapshot, nullptr) << now;
  const bool suspended = publication.repository->spec.suspend;
  if (KStatus(status) == "Current" && !suspended) {
    EXPECT_TRUE(reconciled_generations_.contains(status.generation)) << now;
    EXPECT_TRUE(status.artifact) << now;
  }
  const Condition* ready = conditions.Find(condition::kReady);
  if (ready != nullptr && ready->status == ConditionStatus::kTrue) {
    EXPECT_TRUE(reconciled_generations_.contains(ready->observed_generation)) << now;
    for (const std::string_view bad :
         {condition::kReconciling, condition::kStalled, condition::kFetchFailed,
          condition::kStorageOperationFailed, condition::kArtifactOutdated}) {
      EXPECT_EQ(conditions.Find(bad), nullptr) << now << ": Ready and " << bad;
    }
  }
  EXPECT_FALSE(conditions.IsTrue(condition::kStalled) && conditions.IsTrue(condition::kReconciling))
      << now;
  // What the status tells of is what the directory shows.
  if (status.artifact) {
    EXPECT_EQ(publication.snapshot->artifact, status.artifact) << now;
  }
  EXPECT_EQ(conditions.IsTrue(condition::kArtifactInStorage), status.artifact.has_value()) << now;
}

}  // namespace ocirepofs
