#pragma once

#include <memory>

#include "fetch/layer/byte_pipe.h"

namespace ocirepofs {

/// Whether a stream that starts so is gzip (RFC 1952).
bool LooksLikeGzip(std::span<const std::byte> start);

/// Expands a gzip stream of one or more members. Checksums and lengths are checked; a truncated or
/// damaged stream, and anything but zeros behind the last member, are kMalformed. More than
/// `max_size` expanded bytes are kLimitExceeded. After an error every Read returns that error. One
/// thread at a time.
class GzipSource {
 public:
  GzipSource(ByteSource compressed, uint64_t max_size);
  ~GzipSource();
  GzipSource(const GzipSource&) = delete;
  GzipSource& operator=(const GzipSource&) = delete;

  Result<std::span<const std::byte>> Read();

 private:
  struct State;
  Result<std::span<const std::byte>> Expand();
  Result<bool> Refill();
  Result<uint8_t> NextByte();
  Result<void> SkipText();
  Result<void> ReadHeader();
  Result<bool> NextMember();

  const ByteSource compressed_;
  const uint64_t max_size_;
  const std::unique_ptr<State> state_;
};

}  // namespace ocirepofs
