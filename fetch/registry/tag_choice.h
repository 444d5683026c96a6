#pragma once

#include <stop_token>
#include <string>

#include "conf/manifest/manifest.h"
#include "fetch/registry/registry.h"

namespace ocirepofs {

/// The tag that spec.ref.semver picks among the repository's tags, spec.ref.semverFilter (a regular
/// expression of RE2, not anchored) having thinned them first. REQUIRES: spec.ref.semver is set.
Result<std::string> ChooseTag(RegistryClient* registry, const RegistryAccess& access,
                              const OciRepositorySpec& spec, std::stop_token stop);

}  // namespace ocirepofs
