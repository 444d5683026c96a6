#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "conf/manifest/manifest.h"

namespace ocirepofs {
namespace {

using Strings = std::vector<std::string>;

std::string Manifest(std::string_view name) {
  return fmt::format(
      "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata: {{name: {}}}\n"
      "spec: {{url: 'oci://registry.example.com/a', interval: 5m}}\n",
      name);
}

class LoadConfigurationTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "manifests-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  void Write(const std::string& name, std::string_view text) const {
    std::filesystem::create_directories((directory_ / name).parent_path());
    std::ofstream(directory_ / name) << text;
  }
  std::string Path(const std::string& name) const { return directory_ / name; }

  static Strings Names(const Configuration& configuration) {
    Strings names;
    for (const auto& [key, repository] : configuration.repositories) names.push_back(key.name);
    return names;
  }
  static Strings Errors(const Configuration& configuration) {
    Strings errors;
    for (const Diagnostic& error : configuration.errors) errors.push_back(error.ToString());
    return errors;
  }

  std::filesystem::path directory_;
};

TEST_F(LoadConfigurationTest, ReadsOneFileWhateverItsName) {
  Write("repositories", Manifest("a"));
  const Result<Configuration> configuration = LoadConfiguration(Path("repositories"));
  ASSERT_TRUE(configuration.has_value()) << configuration.error().message;
  EXPECT_EQ(Names(*configuration), Strings{"a"});
  EXPECT_EQ(configuration->repositories.begin()->second.position.file, Path("repositories"));
}

TEST_F(LoadConfigurationTest, ReadsTheManifestsOfADirectory) {
  Write("a.yaml", Manifest("a"));
  Write("b.yml", Manifest("b"));
  Write("c.json", R"({"apiVersion": "v1", "kind": "Secret"})");
  Write(".hidden.yaml", "]");
  Write("README.md", "]");
  const Result<Configuration> configuration = LoadConfiguration(directory_);
  ASSERT_TRUE(configuration.has_value()) << configuration.error().message;
  EXPECT_EQ(Errors(*configuration), Strings{});
  EXPECT_EQ(Names(*configuration), (Strings{"a", "b"}));
  ASSERT_EQ(configuration->notes.size(), 1u);
  EXPECT_EQ(configuration->notes[0].ToString(), Path("c.json") + ":1:1: skipped: kind Secret");
}

TEST_F(LoadConfigurationTest, FilesAreReadInTheOrderOfTheirNames) {
  for (const char name : {'c', 'a', 'b'}) Write(fmt::format("{}.yaml", name), Manifest("same"));
  const Result<Configuration> configuration = LoadConfiguration(directory_.string() + "/");
  ASSERT_TRUE(configuration.has_value()) << configuration.error().message;
  const std::string duplicate = "duplicate of default/same at " + Path("a.yaml") + ":1:1";
  EXPECT_EQ(Errors(*configuration), (Strings{Path("b.yaml") + ":1:1: " + duplicate,
                                             Path("c.yaml") + ":1:1: " + duplicate}));
}

TEST_F(LoadConfigurationTest, FollowsTheLinksOfAConfigMap) {
  Write("..2026_01_01/a.yaml", Manifest("a"));
  std::filesystem::create_directory_symlink("..2026_01_01", directory_ / "..data");
  std::filesystem::create_symlink("..data/a.yaml", directory_ / "a.yaml");
  const Result<Configuration> configuration = LoadConfiguration(directory_);
  ASSERT_TRUE(configuration.has_value()) << configuration.error().message;
  EXPECT_EQ(Errors(*configuration), Strings{});
  EXPECT_EQ(Names(*configuration), Strings{"a"});
}

TEST_F(LoadConfigurationTest, OnlyRegularFilesAreRead) {
  ASSERT_EQ(mkfifo(Path("fifo.yaml").c_str(), 0600), 0);
  std::filesystem::create_directory(directory_ / "folder.yaml");
  std::filesystem::create_symlink("/dev/zero", directory_ / "device.yaml");
  std::filesystem::create_symlink("nowhere", directory_ / "link.yaml");
  std::filesystem::create_symlink("loop.yaml", directory_ / "loop.yaml");
  Write("z.yaml", Manifest("z"));
  const Result<Configuration> configuration = LoadConfiguration(directory_);
  ASSERT_TRUE(configuration.has_value()) << configuration.error().message;
  EXPECT_EQ(Errors(*configuration),
            (Strings{Path("device.yaml") + ": not a regular file",
                     Path("fifo.yaml") + ": not a regular file",
                     Path("folder.yaml") + ": not a regular file",
                     Path("link.yaml") + ": cannot open it: No such file or directory",
                     Path("loop.yaml") + ": cannot open it: Too many levels of symbolic links"}));
  EXPECT_EQ(Names(*configuration), Strings{"z"});
}

TEST_F(LoadConfigurationTest, TooLargeAFileIsAnError) {
  Write("a.yaml", std::string(kMaxManifestFileSize + 1, '#'));
  Write("b.yaml", std::string(kMaxManifestFileSize, '#'));
  const Result<Configuration> configuration = LoadConfiguration(directory_);
  ASSERT_TRUE(configuration.has_value()) << configuration.error().message;
  EXPECT_EQ(Errors(*configuration), Strings{Path("a.yaml") + ": larger than 4194304 bytes"});
}

TEST_F(LoadConfigurationTest, FailsWhereThePathItselfCannotBeRead) {
  const Result<Configuration> missing = LoadConfiguration(Path("missing"));
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().message, Path("missing") + ": No such file or directory");

  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  const Result<Configuration> fifo = LoadConfiguration(Path("fifo"));
  ASSERT_FALSE(fifo.has_value());
  EXPECT_EQ(fifo.error().message, Path("fifo") + ": not a regular file");
}

TEST(Examples, AreValid) {
  const Result<Configuration> configuration =
      LoadConfiguration(OCIREPOFS_TEST_DATA "/../../conf/examples");
  ASSERT_TRUE(configuration.has_value()) << configuration.error().message;
  for (const Diagnostic& error : configuration->errors) ADD_FAILURE() << error.ToString();
  EXPECT_EQ(configuration->repositories.size(), 3u);
  EXPECT_TRUE(configuration->repositories.contains({"default", "podinfo"}));
  EXPECT_TRUE(configuration->repositories.contains({"production", "deployment"}));
  EXPECT_TRUE(configuration->repositories.contains({"default", "podinfo-chart"}));
}

}  // namespace
}  // namespace ocirepofs
