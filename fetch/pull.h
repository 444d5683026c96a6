#pragma once

#include <cstdint>
#include <stop_token>

#include "cache/image_writer.h"
#include "fetch/registry.h"

namespace ocirepofs {

/// Downloads a layer and unpacks it into `writer` at the same time, on two threads. On success the
/// layer had the digest and the size that `layer` promises; only then may the writer be finished.
/// `max_size` bounds what the layer expands to, archive headers included.
Result<void> PullLayer(RegistryClient* registry, const RegistryAccess& access,
                       const Descriptor& layer, uint64_t max_size, ImageWriter* writer,
                       std::stop_token stop);

}  // namespace ocirepofs
