#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "fetch/reconciler.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_registry.h"
#include "tests/support/image_contents.h"
#include "tests/support/tar_builder.h"
#include "tests/support/temporary_directory.h"

namespace ocirepofs {

/// One reconciler, default/app, between a fake registry and a real cache. Whatever it publishes is
/// recorded, and checked against what kstatus makes of it.
class ReconcilerTest : public testing::Test {
 protected:
  struct Moment {
    Catalog::Change change;
    std::shared_ptr<const Publication> publication;  // null: removed
  };
  using Outcome = Reconciler::Outcome::Kind;
  using Log = std::vector<std::string>;

  /// Opens the cache and takes up what it has. Tests may change `cache_path_` and limits before.
  void Start();
  /// As if the program ended and began again; the recorded moments are of the new one.
  void Restart();

  /// The manifest with that spec on top of url and interval; members that are null are left out.
  std::shared_ptr<const OciRepository> Manifest(const nlohmann::ordered_json& spec) const;
  /// Starts where that has not been done. True if a reconcile is due.
  bool Configure(const nlohmann::ordered_json& spec);
  Outcome Reconcile();
  /// Configure and Reconcile.
  Outcome Sync(const nlohmann::ordered_json& spec);

  std::shared_ptr<const Publication> Current() const;
  const SourceStatus& status() const { return Current()->status; }
  ImageContents Contents() const { return ContentsOf(Current()->snapshot->image); }
  /// "True Succeeded: message"; empty where there is no such condition.
  std::string Text(std::string_view condition_type) const;
  /// The events as "Normal NewArtifact: message" or "Warning …", with " x2" where counted.
  std::vector<std::string> Events() const;
  std::string Revision() const;

  /// Every file of the repository's directory and the directory itself, with what tells a write.
  std::map<std::string, std::string> Disk() const;
  std::string RepositoryPath() const { return cache_path_ + "/ocirepository/default/app"; }
  std::set<std::string> FileNames() const;
  std::string ReadCached(const std::string& path_below_cache) const;

  static std::string Tarball(const std::map<std::string, std::string>& files);
  static std::string Layer(const std::map<std::string, std::string>& files) {
    return Gzip(Tarball(files));
  }

  FakeClock clock_;
  FakeTransport net_;
  FakeRegistry registry_{&net_};
  RegistryClient client_{&net_, &clock_,
                         [](std::chrono::nanoseconds, std::stop_token) { return true; }};
  TemporaryDirectory directory_;
  std::string cache_path_ = directory_.path() + "/cache";
  std::string api_version_ = "source.toolkit.fluxcd.io/v1";
  std::map<std::string, std::string> annotations_;
  uint64_t max_size_ = UINT64_MAX;
  uint64_t max_files_ = 200'000;
  std::stop_source stop_;
  std::optional<std::chrono::seconds> retry_after_;  // of the last reconcile

  std::vector<Moment> moments_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Reconciler> reconciler_;

 private:
  void Record(const ObjectKey& key, Catalog::Change change);
  void CheckMoment(const Publication& publication) const;

  std::set<int64_t> reconciled_generations_;
};

}  // namespace ocirepofs
