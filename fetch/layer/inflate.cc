#include "fetch/layer/inflate.h"

#include <isa-l.h>

#include <algorithm>
#include <array>

namespace ocirepofs {
namespace {

constexpr size_t kOutputSize = size_t{256} << 10;

bool StartsWith(std::span<const std::byte> data, std::initializer_list<uint8_t> magic) {
  return data.size() >= magic.size() &&
         std::equal(magic.begin(), magic.end(), data.begin(),
                    [](uint8_t a, std::byte b) { return std::byte{a} == b; });
}

}  // namespace

bool LooksLikeGzip(std::span<const std::byte> start) { return StartsWith(start, {0x1f, 0x8b}); }
bool LooksLikeZstd(std::span<const std::byte> start) {
  return StartsWith(start, {0x28, 0xb5, 0x2f, 0xfd});
}

struct GzipSource::State {
  inflate_state inflate;
  std::array<std::byte, kOutputSize> output;
  uint64_t expanded = 0;
  bool in_member = true;  // the first member's header is read by ISA-L itself
  bool ended = false;

  void StartMember() {
    isal_inflate_reset(&inflate);
    inflate.crc_flag = ISAL_GZIP;
    in_member = true;
  }
};

GzipSource::GzipSource(ByteSource compressed, uint64_t max_size)
    : compressed_(std::move(compressed)), max_size_(max_size), state_(std::make_unique<State>()) {
  isal_inflate_init(&state_->inflate);
  state_->inflate.crc_flag = ISAL_GZIP;
}

GzipSource::~GzipSource() = default;

/// False at the end of the compressed stream.
Result<bool> GzipSource::Refill() {
  Result<std::span<const std::byte>> piece = compressed_();
  if (!piece) return tl::unexpected(piece.error());
  // ISA-L takes a non-const pointer, and changes nothing.
  state_->inflate.next_in = reinterpret_cast<uint8_t*>(const_cast<std::byte*>(piece->data()));
  state_->inflate.avail_in = static_cast<uint32_t>(piece->size());
  return !piece->empty();
}

/// Looks for another member behind the one that ended. False at the end of the stream.
Result<bool> GzipSource::NextMember() {
  inflate_state& inflate = state_->inflate;
  bool padded = false;
  for (;;) {
    while (inflate.avail_in > 0 && *inflate.next_in == 0) {
      ++inflate.next_in;
      --inflate.avail_in;
      padded = true;
    }
    if (inflate.avail_in > 0) break;
    Result<bool> more = Refill();
    if (!more || !*more) return more;
  }
  if (padded || *inflate.next_in != 0x1f) {
    return Fail(ErrorCode::kMalformed, "gzip: garbage behind the end of the stream");
  }
  state_->StartMember();
  return true;
}

Result<std::span<const std::byte>> GzipSource::Read() {
  State& state = *state_;
  while (!state.ended) {
    if (!state.in_member) {
      Result<bool> next = NextMember();
      if (!next) return tl::unexpected(next.error());
      if (!*next) {
        state.ended = true;
        break;
      }
    }
    if (state.inflate.avail_in == 0) {
      Result<bool> more = Refill();
      if (!more) return tl::unexpected(more.error());
      // ISA-L may hold bits of the input, but a stream that is whole ends before its input does.
      if (!*more) return Fail(ErrorCode::kMalformed, "gzip: unexpected EOF");
    }
    state.inflate.next_out = reinterpret_cast<uint8_t*>(state.output.data());
    state.inflate.avail_out = static_cast<uint32_t>(state.output.size());
    const int result = isal_inflate(&state.inflate);
    if (result != ISAL_DECOMP_OK && result != ISAL_END_INPUT) {
      return Fail(
          ErrorCode::kMalformed, "{}",
          result == ISAL_INCORRECT_CHECKSUM ? "gzip: invalid checksum" : "gzip: invalid data");
    }
    if (state.inflate.block_state == ISAL_BLOCK_FINISH) state.in_member = false;
    const size_t produced = state.output.size() - state.inflate.avail_out;
    if (produced == 0) continue;
    state.expanded += produced;
    if (state.expanded > max_size_) {
      return Fail(ErrorCode::kLimitExceeded,
                  "the layer expands to more than {} bytes (mount option max_size)", max_size_);
    }
    return std::span<const std::byte>(state.output).first(produced);
  }
  return std::span<const std::byte>();
}

}  // namespace ocirepofs
