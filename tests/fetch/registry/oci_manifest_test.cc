#include "fetch/registry/oci_manifest.h"

#include <gtest/gtest.h>

namespace ocirepofs {
namespace {

const std::string kDigestA = "sha256:" + std::string(64, 'a');
const std::string kDigestB = "sha256:" + std::string(64, 'b');
constexpr const char* kManifestType = "application/vnd.oci.image.manifest.v1+json";
constexpr const char* kIndexType = "application/vnd.oci.image.index.v1+json";

std::string Layer(const std::string& digest = kDigestA, const std::string& more = "") {
  return R"({"mediaType":"application/layer","digest":")" + digest + R"(","size":7)" + more + "}";
}

std::string Manifest(const std::string& layers, const std::string& more = "") {
  return R"({"schemaVersion":2,"config":)" + Layer(kDigestB) + R"(,"layers":[)" + layers + "]" +
         more + "}";
}

std::string Index(const std::string& manifests) {
  return R"({"schemaVersion":2,"manifests":[)" + manifests + "]}";
}

std::string Problem(const std::string& body, const std::string& type = kManifestType) {
  const Result<OciManifest> manifest = ParseOciManifest(body, type);
  if (manifest) return "parsed";
  EXPECT_EQ(manifest.error().code, ErrorCode::kMalformed);
  const std::string prefix = "the manifest can't be read: ";
  EXPECT_TRUE(manifest.error().message.starts_with(prefix)) << manifest.error().message;
  return manifest.error().message.substr(prefix.size());
}

TEST(OciManifest, ReadsLayersAndAnnotations) {
  const auto manifest = ParseOciManifest(
      Manifest(Layer(kDigestA, R"(,"annotations":{"k":"v"},"urls":["https://evil.example"])"),
               R"(,"annotations":{"org.opencontainers.image.revision":"main/abc"})"),
      std::string(kManifestType) + "; charset=utf-8");
  ASSERT_TRUE(manifest) << manifest.error().message;
  EXPECT_FALSE(manifest->is_index);
  EXPECT_EQ(manifest->media_type, kManifestType);
  ASSERT_EQ(manifest->layers.size(), 1u);
  EXPECT_EQ(manifest->layers[0].media_type, "application/layer");
  EXPECT_EQ(manifest->layers[0].digest.ToString(), kDigestA);
  EXPECT_EQ(manifest->layers[0].size, 7u);
  EXPECT_EQ(manifest->layers[0].annotations.at("k"), "v");
  EXPECT_EQ(manifest->annotations.at("org.opencontainers.image.revision"), "main/abc");
}

TEST(OciManifest, ReadsAnIndex) {
  const auto index = ParseOciManifest(
      Index(Layer(kDigestA, R"(,"platform":{"os":"linux","architecture":"arm64"})") + "," +
            Layer(kDigestB)),
      kIndexType);
  ASSERT_TRUE(index) << index.error().message;
  EXPECT_TRUE(index->is_index);
  ASSERT_EQ(index->manifests.size(), 2u);
  EXPECT_EQ(index->manifests[0].os, "linux");
  EXPECT_EQ(index->manifests[0].architecture, "arm64");
  EXPECT_FALSE(index->manifests[1].os);
}

TEST(OciManifest, AGenericContentTypeIsDecidedByTheBody) {
  for (const char* type : {"", "application/json", "application/octet-stream", "text/plain"}) {
    const auto by_shape = ParseOciManifest(Manifest(Layer()), type);
    ASSERT_TRUE(by_shape) << type;
    EXPECT_FALSE(by_shape->is_index);
    const auto index = ParseOciManifest(Index(Layer()), type);
    ASSERT_TRUE(index) << type;
    EXPECT_TRUE(index->is_index);
  }
}

TEST(OciManifest, ReadsDockersSchema2) {
  const std::string type = "application/vnd.docker.distribution.manifest.v2+json";
  const auto manifest =
      ParseOciManifest(Manifest(Layer(), R"(,"mediaType":")" + type + "\""), type);
  ASSERT_TRUE(manifest);
  EXPECT_EQ(manifest->media_type, type);
  const auto list =
      ParseOciManifest(Index(Layer()), "application/vnd.docker.distribution.manifest.list.v2+json");
  ASSERT_TRUE(list);
  EXPECT_TRUE(list->is_index);
}

TEST(OciManifest, R06_HostileJsonFails) {
  EXPECT_EQ(Problem(""), "it is not JSON at byte 1");
  EXPECT_EQ(Problem("[]"), "it is not a JSON object");
  EXPECT_EQ(Problem("{} {}"), "it is not JSON at byte 4");
  EXPECT_EQ(Problem(std::string(100'000, '[')), "it is nested deeper than 64 levels");
  EXPECT_EQ(Problem(R"({"a":)" + std::string(100'000, '[') + std::string(100'000, ']') + "}"),
            "it is nested deeper than 64 levels");
  EXPECT_EQ(Problem(R"({"x":1e999999})"), "it is not JSON at byte 13");
  EXPECT_EQ(Problem(R"({"x":"\ud800"})"), "it is not JSON at byte 13");
  EXPECT_EQ(Problem("\xEF\xBB\xBF" + Manifest(Layer())), "it begins with a byte order mark");
  EXPECT_EQ(Problem(Manifest(Layer()) + std::string("\0x", 2)), "it holds a NUL byte");
  EXPECT_EQ(Problem(R"({"mediaType":"a\u0000b"})"), "a string holds a NUL");
  EXPECT_EQ(Problem("{\"x\":\"\xff\"}"), "it is not JSON at byte 7");
  std::string many = "[0";
  for (int i = 0; i < 300'000; ++i) many += ",0";
  EXPECT_EQ(Problem(R"({"x":)" + many + "]}"), "it has too many values");
}

TEST(OciManifest, R06_DuplicatesOfKeysThatMatterFail) {
  EXPECT_EQ(Problem(Manifest(Layer(), R"(,"layers":[])")), "the key 'layers' appears twice");
  EXPECT_EQ(Problem(Manifest(Layer(kDigestA, R"(,"digest":")" + kDigestB + "\""))),
            "the key 'digest' appears twice");
  EXPECT_EQ(Problem(Manifest(Layer(kDigestA, R"(,"size":8)"))), "the key 'size' appears twice");
  EXPECT_EQ(Problem(Manifest(Layer(), R"(,"mediaType":"a","mediaType":"a")")),
            "the key 'mediaType' appears twice");
  EXPECT_EQ(Problem(Manifest(Layer(), R"(,"x":1,"x":2)")), "parsed");
}

TEST(OciManifest, R07_AManifestThatIsAnIndexTooFails) {
  EXPECT_EQ(Problem(Manifest(Layer(), R"(,"manifests":[])")),
            "it is a manifest and an index at once");
  EXPECT_EQ(Problem(Index(Layer())),
            "its media type is that of a manifest, its contents are an "
            "index's");
  EXPECT_EQ(Problem(Manifest(Layer()), kIndexType),
            "its media type is that of an index, its contents are a manifest's");
}

TEST(OciManifest, R07_AMediaTypeThatIsNotTheHeadersFails) {
  EXPECT_EQ(Problem(Manifest(Layer(), R"(,"mediaType":"application/vnd.oci.image.index.v1+json")")),
            "mediaType is 'application/vnd.oci.image.index.v1+json' but the Content-Type is "
            "'application/vnd.oci.image.manifest.v1+json'");
}

TEST(OciManifest, R08_Schema1Fails) {
  const std::string reason =
      "it is in Docker's schema 1, which is not supported; push the artifact again with a tool "
      "that writes OCI manifests";
  EXPECT_EQ(Problem(R"({"schemaVersion":1,"fsLayers":[]})", ""), reason);
  EXPECT_EQ(Problem("{}", "application/vnd.docker.distribution.manifest.v1+prettyjws"), reason);
}

TEST(OciManifest, R08_AnUnknownTypeFails) {
  EXPECT_EQ(Problem(Manifest(Layer()), "application/vnd.example+json"),
            "media type 'application/vnd.example+json' is not supported");
  EXPECT_EQ(Problem(R"({"hello":1})", ""), "it is neither a manifest nor an index");
  EXPECT_EQ(Problem(R"({"schemaVersion":3,"layers":[]})"), "schemaVersion is not 2");
}

TEST(OciManifest, R01_DigestsOfAnyOtherFormFail) {
  EXPECT_EQ(Problem(Manifest(Layer("sha256:../../x"))),
            "layers[0]: digest 'sha256:../../x': a sha256 digest has 64 hexadecimal digits, not 7");
  EXPECT_EQ(Problem(Manifest(Layer() + "," + Layer("md5:abc"))),
            "layers[1]: digest 'md5:abc': a digest starts with 'sha256:'");
  EXPECT_NE(Problem(Manifest(Layer("sha256:" + std::string(64, 'A')))), "parsed");
}

TEST(OciManifest, R02_SizesThatAreNoWholeNumbersFail) {
  for (const char* size :
       {"-1", "1.0", "1e3", "\"7\"", "null", "9223372036854775808", "99999999999999999999999"}) {
    const std::string layer =
        R"({"mediaType":"m","digest":")" + kDigestA + R"(","size":)" + size + "}";
    EXPECT_EQ(Problem(Manifest(layer)),
              "layers[0]: size of " + kDigestA + " is not a whole number from 0 to 2^63-1")
        << size;
  }
}

TEST(OciManifest, MembersOfTheWrongTypeFail) {
  EXPECT_EQ(Problem(R"({"layers":{}})"), "layers is not a list");
  EXPECT_EQ(Problem(R"({"layers":[1]})"), "layers[0]: a descriptor is not an object");
  EXPECT_EQ(Problem(R"({"layers":[],"annotations":{"a":1}})"), "annotation 'a' is not a string");
  EXPECT_EQ(Problem(R"({"layers":[],"annotations":[]})"), "annotations is not an object");
  EXPECT_EQ(Problem(R"({"mediaType":1})"), "mediaType is not a string");
  EXPECT_EQ(Problem(R"({"layers":null,"annotations":null})"), "parsed");
}

TEST(SelectPlatform, TakesTheFirstForLinuxAmd64) {
  const auto index = ParseOciManifest(
      Index(Layer(kDigestA, R"(,"platform":{"os":"linux","architecture":"arm64"})") + "," +
            Layer(kDigestB, R"(,"platform":{"os":"linux","architecture":"amd64"})")),
      kIndexType);
  ASSERT_TRUE(index);
  const auto child = SelectPlatform(*index);
  ASSERT_TRUE(child);
  EXPECT_EQ(child->digest.ToString(), kDigestB);
}

TEST(SelectPlatform, AChildWithoutAPlatformCountsAsLinuxAmd64) {
  const auto index = ParseOciManifest(Index(Layer()), kIndexType);
  ASSERT_TRUE(index);
  EXPECT_TRUE(SelectPlatform(*index));
}

TEST(SelectPlatform, FailsWhereNoneFits) {
  const auto index = ParseOciManifest(
      Index(Layer(kDigestA, R"(,"platform":{"os":"unknown","architecture":"unknown"})")),
      kIndexType);
  ASSERT_TRUE(index);
  const auto child = SelectPlatform(*index);
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().message, "no child with platform linux/amd64 in the index");
}

TEST(SelectLayer, TakesTheFirstOrTheFirstOfTheType) {
  OciManifest manifest;
  const Digest digest = Digest::Of("x");
  const auto layer = [&](const char* type, uint64_t size) {
    return Descriptor{type, digest, size, {}, std::nullopt, std::nullopt};
  };
  manifest.layers = {layer("a", 1), layer("b", 2), layer("b", 3)};
  EXPECT_EQ(SelectLayer(manifest, std::nullopt)->size, 1u);
  EXPECT_EQ(SelectLayer(manifest, "b")->size, 2u);
  EXPECT_EQ(SelectLayer(manifest, "c").error().message,
            "failed to find layer with media type 'c' in artifact");
}

TEST(SelectLayer, R08_ZeroLayersFail) {
  EXPECT_EQ(SelectLayer({}, std::nullopt).error().message, "no layers found in artifact");
}

}  // namespace
}  // namespace ocirepofs
