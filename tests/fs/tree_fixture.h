#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cache/catalog.h"
#include "cache/image_writer.h"
#include "fs/tree.h"

namespace ocirepofs {

/// A clock that stands where it was put.
class StandingClock final : public Clock {
 public:
  std::chrono::system_clock::time_point WallNow() const override { return now; }
  std::chrono::steady_clock::time_point SteadyNow() const override { return {}; }

  std::chrono::system_clock::time_point now{std::chrono::seconds(1795519416)};
};

/// A tree over a catalog that tests fill by hand with small images in a directory of their own.
class TreeTest : public testing::Test {
 protected:
  static constexpr int64_t kCreated = 1683356889;  // modification time of every image

  /// A file, or with a target a symbolic link; a path that ends in '/' is a directory.
  struct Item {
    std::string path;
    std::string contents = {};
    bool executable = false;
    std::string target = {};
  };

  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "tree_test.XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    directory_fd_ = UniqueFd(open(pattern.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(directory_fd_.valid());
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::shared_ptr<const Image> MakeImage(const std::vector<Item>& items) {
    const std::string stem = fmt::format("{:064}", ++images_);
    auto writer = ImageWriter::Create(directory_fd_.get(), stem, {.ignore = {}, .filter = false});
    Require(writer);
    for (const Item& item : items) Add(writer->get(), item);
    Require((*writer)->Finish(kCreated));
    Require((*writer)->Commit());
    auto image = Image::Open(directory_fd_.get(), stem);
    Require(image);
    return *image;
  }

  std::filesystem::path FileOf(const Image& image) const {
    return directory_ / (image.stem() + ".tar.gz");
  }

  /// Makes `image` current for `key`; the first time, the repository comes into being.
  std::shared_ptr<const Snapshot> Publish(Tree* tree, const ObjectKey& key,
                                          std::shared_ptr<const Image> image,
                                          std::optional<Artifact> artifact = {}) {
    auto snapshot = catalog_.NewSnapshot(key, std::move(image), std::move(artifact));
    PublishStatus(key, snapshot, "stored artifact");
    tree->AddRepository(key);
    return snapshot;
  }

  /// A new status over contents that stay.
  void PublishStatus(const ObjectKey& key, std::shared_ptr<const Snapshot> snapshot,
                     std::string_view message) {
    auto repository = std::make_shared<OciRepository>();
    repository->key = key;
    repository->spec.url = "oci://registry.example.com/" + key.name;
    repository->spec_as_written = {{"url", repository->spec.url}};
    auto publication = std::make_shared<Publication>();
    publication->repository = std::move(repository);
    publication->status.created = clock_.Now();
    publication->status.conditions.Set(condition::kReady, ConditionStatus::kTrue, "Succeeded",
                                       message, 1, clock_.Now());
    publication->snapshot = std::move(snapshot);
    catalog_.Publish(std::move(publication));
  }

  void Withdraw(Tree* tree, const ObjectKey& key) {
    catalog_.Remove(key);
    tree->RemoveRepository(key);
  }

  /// Walks `path` from `start`, counting each step. The node, or 0 where a step failed.
  static Tree::Node Walk(Tree* tree, const std::string& path, Tree::Node start = Tree::kRoot) {
    Tree::Node node = start;
    for (const auto& name : std::filesystem::path(path)) {
      Tree::Entry entry;
      if (tree->Lookup(node, name.string(), &entry) != 0) return 0;
      node = entry.node;
    }
    return node;
  }

  static int LookupError(Tree* tree, Tree::Node parent, std::string_view name) {
    Tree::Entry entry;
    return tree->Lookup(parent, name, &entry);
  }

  static std::string ReadAll(Tree* tree, Tree::Node node, off_t offset = 0, size_t size = 1 << 20) {
    Tree::ReadBuffer buffer;
    const int error = tree->Read(node, offset, size, &buffer);
    if (error != 0) return fmt::format("errno {}", error);
    std::string text;
    for (const iovec& piece : buffer.pieces) {
      text.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
    }
    return text;
  }

  static struct stat Stat(Tree* tree, Tree::Node node) {
    struct stat attributes {};
    Tree::Lifetime lifetime{};
    EXPECT_EQ(tree->GetAttributes(node, &attributes, &lifetime), 0) << "node " << node;
    return attributes;
  }

  static int StatError(Tree* tree, Tree::Node node) {
    struct stat attributes {};
    Tree::Lifetime lifetime{};
    return tree->GetAttributes(node, &attributes, &lifetime);
  }

  struct Listed {
    std::string name;
    Tree::Entry entry;
    off_t cookie;
  };

  /// At most `limit` entries from `cookie` on.
  static std::vector<Listed> ListFrom(Tree* tree, Tree::Node node, off_t cookie, size_t limit,
                                      Tree::WithNodes with_nodes = Tree::WithNodes::kNone) {
    std::vector<Listed> listed;
    const int error = tree->List(node, cookie, with_nodes,
                                 [&](std::string_view name, const Tree::Entry& entry, off_t next) {
                                   if (listed.size() == limit) return false;
                                   listed.push_back({std::string(name), entry, next});
                                   return true;
                                 });
    EXPECT_EQ(error, 0);
    return listed;
  }

  static std::vector<std::string> Names(Tree* tree, Tree::Node node) {
    std::vector<std::string> names;
    for (const Listed& listed : ListFrom(tree, node, 0, SIZE_MAX)) names.push_back(listed.name);
    return names;
  }

  std::filesystem::path directory_;
  UniqueFd directory_fd_;
  Catalog catalog_;
  StandingClock clock_;

 private:
  template <class T>
  static void Require(const Result<T>& result) {
    if (!result) {
      ADD_FAILURE() << result.error().message;
      std::abort();
    }
  }

  static void Add(ImageWriter* writer, const Item& item) {
    if (!item.target.empty()) return Require(writer->AddSymlink(item.path, item.target));
    if (item.path.ends_with('/')) {
      return Require(writer->AddDirectory(item.path.substr(0, item.path.size() - 1)));
    }
    Require(writer->AddFile(item.path, item.executable, item.contents.size()));
    Require(writer->AppendContents(
        std::as_bytes(std::span(item.contents.data(), item.contents.size()))));
  }

  int images_ = 0;
};

}  // namespace ocirepofs
