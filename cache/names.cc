#include "cache/names.h"

namespace ocirepofs {
namespace {

constexpr std::string_view kTemporarySuffix = ".tmp";
constexpr std::string_view kArtifactSuffix = ".tar.gz";
constexpr std::string_view kImageSuffix = ".image.tar.gz";
constexpr std::string_view kIndexSuffix = ".idx";
constexpr size_t kDigestDigits = 2 * Digest::kSize;
constexpr size_t kContentDigits = 16;

bool IsStem(std::string_view stem) {
  return stem.size() == kDigestDigits ||
         (stem.size() == kDigestDigits + 1 + kContentDigits && stem[kDigestDigits] == '-');
}

}  // namespace

std::string RevisionStem(const Digest& digest, const ContentConfig& content) {
  std::string stem = digest.Hex();
  if (content == ContentConfig{}) return stem;
  // Absent and empty fields are different configurations, so both presence and value are hashed.
  std::string config;
  const auto add = [&config](const std::optional<std::string>& field) {
    config += field ? fmt::format("{}:{}", field->size(), *field) : std::string("-");
  };
  add(content.ignore);
  if (content.layer_selector) {
    add(content.layer_selector->media_type);
    add(content.layer_selector->operation);
  }
  return stem + "-" + Digest::Of(config).Hex().substr(0, kContentDigits);
}

std::string ArtifactName(std::string_view stem) {
  return std::string(stem).append(kArtifactSuffix);
}
std::string ImageName(std::string_view stem) { return std::string(stem).append(kImageSuffix); }
std::string IndexName(std::string_view stem) { return std::string(stem).append(kIndexSuffix); }

std::string_view StemOf(std::string_view name) {
  for (const std::string_view suffix : {kImageSuffix, kArtifactSuffix, kIndexSuffix}) {
    if (!name.ends_with(suffix)) continue;
    const std::string_view stem = name.substr(0, name.size() - suffix.size());
    return IsStem(stem) ? stem : std::string_view();
  }
  return {};
}

std::string TemporaryName(std::string_view name) {
  return std::string(name).append(kTemporarySuffix);
}

bool IsTemporaryName(std::string_view name) { return name.ends_with(kTemporarySuffix); }

std::string PathOf(const ObjectKey& key, std::string_view file) {
  return fmt::format("{}/{}/{}/{}", kRepositoriesDirectory, key.namespace_name, key.name, file);
}

}  // namespace ocirepofs
