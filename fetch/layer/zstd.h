#pragma once

#include <memory>

#include "fetch/layer/byte_pipe.h"

namespace ocirepofs {

/// Whether a stream that starts so is zstd (RFC 8878), perhaps with a skippable frame in front.
bool LooksLikeZstd(std::span<const std::byte> start);

/// Expands a zstd stream of one or more frames. Checksums are checked; a truncated or damaged
/// stream, and anything but frames behind the last, are kMalformed, as is a window of more than 128
/// MiB. More than `max_size` expanded bytes are kLimitExceeded. After an error every Read returns
/// that error. One thread at a time.
class ZstdSource {
 public:
  ZstdSource(ByteSource compressed, uint64_t max_size);
  ~ZstdSource();
  ZstdSource(const ZstdSource&) = delete;
  ZstdSource& operator=(const ZstdSource&) = delete;

  Result<std::span<const std::byte>> Read();

 private:
  struct State;
  Result<std::span<const std::byte>> Expand();

  const ByteSource compressed_;
  const uint64_t max_size_;
  const std::unique_ptr<State> state_;
};

}  // namespace ocirepofs
