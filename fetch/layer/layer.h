#pragma once

#include "cache/image_writer.h"
#include "fetch/layer/byte_pipe.h"

namespace ocirepofs {

/// Unpacks a layer, a tar archive that is plain or compressed by gzip or zstd (told apart by its
/// bytes, not by its media type), into `writer`, and reads `layer` to its end. A stream that is no
/// archive, holds what no artifact may hold, or breaks off, is kMalformed; one that expands to more
/// than `max_size` bytes, archive headers included, is kLimitExceeded.
Result<void> UnpackLayer(const ByteSource& layer, uint64_t max_size, ImageWriter* writer);

}  // namespace ocirepofs
