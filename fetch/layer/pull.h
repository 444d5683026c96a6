#pragma once

#include <cstdint>
#include <stop_token>
#include <string>

#include "cache/image_writer.h"
#include "fetch/registry/registry.h"

namespace ocirepofs {

/// Downloads a layer and unpacks it into `writer` at the same time, on two threads. On success the
/// layer had the digest and the size that `layer` promises; only then may the writer be finished.
/// `max_size` bounds what the layer expands to, archive headers included.
Result<void> PullLayer(RegistryClient* registry, const RegistryAccess& access,
                       const Descriptor& layer, uint64_t max_size, ImageWriter* writer,
                       std::stop_token stop);

/// As PullLayer, for a layer whose bytes are the artifact: they are kept in the file `name` of the
/// directory, complete and synced. `writer` gets what is shown of it: the contents of an archive,
/// or else the layer as one file, named by its title or by its digest.
Result<void> PullUnaltered(RegistryClient* registry, const RegistryAccess& access,
                           const Descriptor& layer, uint64_t max_size, int directory_fd,
                           const std::string& name, ImageWriter* writer, std::stop_token stop);

}  // namespace ocirepofs
