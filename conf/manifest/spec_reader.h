#pragma once

#include <nlohmann/json.hpp>

#include "conf/manifest/manifest.h"
#include "conf/manifest/yaml_fields.h"

namespace ocirepofs {

/// Reads and validates `spec`, the way the custom resource definition of source-controller does at
/// admission. What only a reconcile can tell (a URL without a repository, a range that is none) is
/// not an error here. The result is meaningful only if the fields' list of errors did not grow.
OciRepositorySpec ReadSpec(const YamlFields& fields);

/// The spec as it is written, with absent (null) fields left out.
/// REQUIRES: ReadSpec found no error in it.
nlohmann::ordered_json SpecAsWritten(const YamlNode& node);

}  // namespace ocirepofs
