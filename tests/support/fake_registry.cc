#include "tests/support/fake_registry.h"

#include <nlohmann/json.hpp>

namespace ocirepofs {
namespace {

using nlohmann::ordered_json;

constexpr const char* kBase = "https://r.example/v2/app";
constexpr const char* kManifestType = "application/vnd.oci.image.manifest.v1+json";
constexpr const char* kIndexType = "application/vnd.oci.image.index.v1+json";

ordered_json Describe(const std::string& media_type, const Digest& digest, size_t size) {
  return {{"mediaType", media_type}, {"digest", digest.ToString()}, {"size", size}};
}

}  // namespace

FakeRegistry::FakeRegistry(FakeTransport* net) : net_(net) { ServeTags(); }

std::string FakeRegistry::Head(const std::string& tag) {
  return fmt::format("HEAD {}/manifests/{}", kBase, tag);
}
std::string FakeRegistry::Get(const std::string& reference) {
  return fmt::format("GET {}/manifests/{}", kBase, reference);
}
std::string FakeRegistry::Blob(const std::string& bytes) {
  return fmt::format("GET {}/blobs/{}", kBase, Digest::Of(bytes).ToString());
}
std::string FakeRegistry::Tags() { return fmt::format("GET {}/tags/list?n=1000", kBase); }

Digest FakeRegistry::Push(const std::string& tag, const std::vector<Layer>& layers,
                          const std::map<std::string, std::string>& annotations) {
  ordered_json manifest = {
      {"schemaVersion", 2},
      {"mediaType", kManifestType},
      {"config", Describe("application/vnd.cncf.flux.config.v1+json", Digest::Of("{}"), 2)},
      {"layers", ordered_json::array()}};
  if (!annotations.empty()) manifest["annotations"] = annotations;
  for (const Layer& layer : layers) {
    const Digest digest = Digest::Of(layer.bytes);
    ordered_json descriptor = Describe(layer.media_type, digest, layer.bytes.size());
    if (!layer.annotations.empty()) descriptor["annotations"] = layer.annotations;
    manifest["layers"].push_back(descriptor);
    net_->On(Blob(layer.bytes), {{.body = layer.bytes}});
  }
  return PushManifest(tag, manifest.dump(), kManifestType);
}

Digest FakeRegistry::PushIndex(const std::string& tag, const std::vector<Child>& children) {
  ordered_json index = {
      {"schemaVersion", 2}, {"mediaType", kIndexType}, {"manifests", ordered_json::array()}};
  for (const Child& child : children) {
    const Manifest& manifest = manifests_.at(child.digest);
    ordered_json descriptor = Describe(manifest.media_type, child.digest, manifest.body.size());
    if (const size_t slash = child.platform.find('/'); slash != std::string::npos) {
      descriptor["platform"] = {{"os", child.platform.substr(0, slash)},
                                {"architecture", child.platform.substr(slash + 1)}};
    }
    index["manifests"].push_back(descriptor);
  }
  return PushManifest(tag, index.dump(), kIndexType);
}

Digest FakeRegistry::PushManifest(const std::string& tag, const std::string& body,
                                  const std::string& media_type) {
  const Digest digest = Digest::Of(body);
  manifests_[digest] = {body, media_type};
  net_->On(Get(digest.ToString()), {{.headers = {{"content-type", media_type}}, .body = body}});
  if (!tag.empty()) Tag(tag, digest);
  return digest;
}

void FakeRegistry::Tag(const std::string& tag, const Digest& digest) {
  tags_.insert_or_assign(tag, digest);
  Serve(tag);
  ServeTags();
}

void FakeRegistry::Serve(const std::string& tag) {
  const Digest& digest = tags_.at(tag);
  const Manifest& manifest = manifests_.at(digest);
  const FakeTransport::Answer answer{
      .headers = {{"content-type", manifest.media_type},
                  {"content-length", std::to_string(manifest.body.size())},
                  {"docker-content-digest", digest.ToString()}},
      .body = manifest.body};
  net_->On(Head(tag), {answer});
  net_->On(Get(tag), {answer});
}

void FakeRegistry::ServeTags() {
  ordered_json list = {{"name", "app"}, {"tags", ordered_json::array()}};
  for (const auto& [tag, digest] : tags_) list["tags"].push_back(tag);
  net_->On(Tags(), {{.body = list.dump()}});
}

void FakeRegistry::Untag(const std::string& tag) {
  tags_.erase(tag);
  ServeTags();
  Break(tag, {.status = 404,
              .body = R"({"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]})"});
}

void FakeRegistry::Break(const std::string& tag, const FakeTransport::Answer& answer) {
  net_->On(Head(tag), {answer});
  net_->On(Get(tag), {answer});
}

void FakeRegistry::BreakBlob(const Digest& digest, const FakeTransport::Answer& answer) {
  net_->On(fmt::format("GET {}/blobs/{}", kBase, digest.ToString()), {answer});
}

void FakeRegistry::BreakManifest(const Digest& digest, const FakeTransport::Answer& answer) {
  net_->On(Get(digest.ToString()), {answer});
}

std::vector<std::string> FakeRegistry::TakeLog() {
  const std::vector<std::string> all = net_->log();
  std::vector<std::string> taken(all.begin() + static_cast<ptrdiff_t>(taken_), all.end());
  taken_ = all.size();
  return taken;
}

}  // namespace ocirepofs
