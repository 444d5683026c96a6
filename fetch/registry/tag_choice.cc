#include "fetch/registry/tag_choice.h"

#include <re2/re2.h>

#include "conf/semver.h"

namespace ocirepofs {
namespace {

/// Helm writes the `+` of a version as `_`, since a tag can't hold a plus.
constexpr std::string_view kHelmChartMediaType =
    "application/vnd.cncf.helm.chart.content.v1.tar+gzip";

}  // namespace

Result<std::string> ChooseTag(RegistryClient* registry, const RegistryAccess& access,
                              const OciRepositorySpec& spec, std::stop_token stop) {
  Result<std::vector<std::string>> tags = registry->ListTags(access, std::move(stop));
  if (!tags) return tl::unexpected(tags.error());
  if (!spec.ref.semver_filter.empty()) {
    RE2::Options options;
    options.set_log_errors(false);
    const RE2 filter(spec.ref.semver_filter, options);
    if (!filter.ok()) {
      return Fail(ErrorCode::kInvalid, "failed to compile semver filter regex '{}': {}",
                  spec.ref.semver_filter, filter.error());
    }
    std::erase_if(*tags,
                  [&filter](const std::string& tag) { return !RE2::PartialMatch(tag, filter); });
  }
  Result<VersionRange> range = VersionRange::Parse(spec.ref.semver);
  if (!range) {
    return Fail(ErrorCode::kInvalid, "semver '{}' parse error: {}", spec.ref.semver,
                range.error().message);
  }
  const bool helm =
      spec.layer_selector && spec.layer_selector->media_type == std::string(kHelmChartMediaType);
  std::optional<std::string> tag = PickTag(*range, *tags, helm);
  if (!tag) {
    return Fail(ErrorCode::kNotFound, "no match found for semver: {}", spec.ref.semver);
  }
  return *tag;
}

}  // namespace ocirepofs
