#include "conf/manifest/reload.h"

#include <gtest/gtest.h>

namespace ocirepofs {
namespace {

std::string ManifestOf(const std::string& name, const std::string& space = "default") {
  return fmt::format(
      "apiVersion: source.toolkit.fluxcd.io/v1\n"
      "kind: OCIRepository\n"
      "metadata:\n"
      "  name: {}\n"
      "  namespace: {}\n"
      "spec:\n"
      "  url: oci://registry.example.com/{}\n"
      "  interval: 5m\n",
      name, space, name);
}

Configuration Parse(std::initializer_list<std::pair<std::string, std::string>> files) {
  Configuration configuration;
  for (const auto& [name, text] : files) ParseManifests(name, text, &configuration);
  return configuration;
}

const ObjectKey kOne{"default", "one"};
const ObjectKey kTwo{"default", "two"};

TEST(CarryOver, AFileThatCantBeReadKeepsItsRepositories) {
  const Configuration last = Parse({{"a.yaml", ManifestOf("one")}, {"b.yaml", ManifestOf("two")}});
  Configuration next = Parse({{"a.yaml", "kind: [\n"}, {"b.yaml", ManifestOf("two")}});
  ASSERT_EQ(next.errors.size(), 1u);
  const std::string message = next.errors[0].message;

  const Configuration kept = CarryOver(last, &next);
  ASSERT_EQ(next.errors.size(), 2u);
  EXPECT_EQ(next.errors[1].object, kOne);
  EXPECT_EQ(next.errors[1].message, message);
  EXPECT_EQ(next.errors[1].position.file, "a.yaml");
  EXPECT_EQ(kept.repositories.size(), 2u);
  EXPECT_TRUE(kept.repositories.contains(kOne));
  EXPECT_FALSE(next.repositories.contains(kOne));
}

TEST(CarryOver, ItIsKeptThroughManyBadReadings) {
  Configuration last = Parse({{"a.yaml", ManifestOf("one")}});
  for (int i = 0; i < 3; ++i) {
    Configuration next = Parse({{"a.yaml", "- [\n"}});
    last = CarryOver(last, &next);
    ASSERT_FALSE(next.errors.empty());
    EXPECT_EQ(next.errors.back().object, kOne);
  }
}

TEST(CarryOver, ARepositoryTakenOutOfAGoodFileIsGone) {
  const Configuration last = Parse({{"a.yaml", ManifestOf("one")}, {"b.yaml", ManifestOf("two")}});
  Configuration next = Parse({{"b.yaml", ManifestOf("two")}});
  const Configuration kept = CarryOver(last, &next);
  EXPECT_TRUE(next.errors.empty());
  EXPECT_FALSE(kept.repositories.contains(kOne));
}

TEST(CarryOver, AnErrorThatNamesTheRepositoryIsNotSaidTwice) {
  const Configuration last = Parse({{"a.yaml", ManifestOf("one")}});
  Configuration next = Parse({{"a.yaml", ManifestOf("one") + "  provider: nowhere\n"}});
  ASSERT_EQ(next.errors.size(), 1u);
  ASSERT_EQ(next.errors[0].object, kOne);
  const Configuration kept = CarryOver(last, &next);
  EXPECT_EQ(next.errors.size(), 1u);
  EXPECT_TRUE(kept.repositories.contains(kOne));
}

TEST(RefuseNameClashes, TheLaterManifestNamesTheFirst) {
  Configuration configuration =
      Parse({{"a.yaml", ManifestOf("one", "prod")}, {"b.yaml", ManifestOf("one")}});
  RefuseNameClashes(&configuration);
  ASSERT_EQ(configuration.errors.size(), 1u);
  EXPECT_EQ(configuration.errors[0].ToString(),
            "b.yaml:1:1: default/one and prod/one (a.yaml:1) both want the directory one: mount "
            "with -o layout=namespaced, or rename one");
  EXPECT_FALSE(configuration.errors[0].object.has_value());
  EXPECT_TRUE(configuration.repositories.contains({"prod", "one"}));
  EXPECT_FALSE(configuration.repositories.contains(kOne));
}

TEST(RefuseNameClashes, DifferentNamesAreNoClash) {
  Configuration configuration =
      Parse({{"a.yaml", ManifestOf("one", "prod")}, {"b.yaml", ManifestOf("two")}});
  RefuseNameClashes(&configuration);
  EXPECT_TRUE(configuration.errors.empty());
  EXPECT_EQ(configuration.repositories.size(), 2u);
  EXPECT_TRUE(configuration.repositories.contains(kTwo));
}

}  // namespace
}  // namespace ocirepofs
