#pragma once

#include <string>

#include "cache/catalog.h"

namespace ocirepofs {

/// The text of a repository's `.status`: one YAML document, what `kubectl get -o yaml` would show
/// of it in the dialect of its manifest, with its recent events. `cache_url` is the cache directory
/// as `file:///…/`, with the slash at its end. A pure function.
std::string RenderStatus(const Publication& publication, const std::string& cache_url);

}  // namespace ocirepofs
