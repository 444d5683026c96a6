#include "fetch/layer/inflate.h"

#include <isa-l.h>

#include <array>
#include <optional>

namespace ocirepofs {
namespace {

constexpr size_t kOutputSize = size_t{256} << 10;

constexpr uint8_t kMagic1 = 0x1f;
constexpr uint8_t kMagic2 = 0x8b;
constexpr uint8_t kMethodDeflate = 8;
// Flags of the header (RFC 1952, 2.3.1): what follows its fixed part.
constexpr uint8_t kHasChecksum = 2;
constexpr uint8_t kHasExtra = 4;
constexpr uint8_t kHasName = 8;
constexpr uint8_t kHasComment = 16;
constexpr uint8_t kReserved = 0xe0;
constexpr int kTimeSystemSize = 6;  // modification time, extra flags, operating system

}  // namespace

bool LooksLikeGzip(std::span<const std::byte> start) {
  return start.size() >= 2 && start[0] == std::byte{kMagic1} && start[1] == std::byte{kMagic2};
}

struct GzipSource::State {
  inflate_state inflate;
  std::array<std::byte, kOutputSize> output;
  uint64_t expanded = 0;
  bool in_member = false;
  bool first_member = true;
  bool ended = false;
  std::optional<Error> error;
};

GzipSource::GzipSource(ByteSource compressed, uint64_t max_size)
    : compressed_(std::move(compressed)), max_size_(max_size), state_(std::make_unique<State>()) {
  isal_inflate_init(&state_->inflate);
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

Result<uint8_t> GzipSource::NextByte() {
  inflate_state& inflate = state_->inflate;
  while (inflate.avail_in == 0) {
    Result<bool> more = Refill();
    if (!more) return tl::unexpected(more.error());
    if (!*more) return Fail(ErrorCode::kMalformed, "gzip: unexpected EOF");
  }
  --inflate.avail_in;
  return *inflate.next_in++;
}

Result<void> GzipSource::SkipText() {
  for (;;) {
    Result<uint8_t> byte = NextByte();
    if (!byte) return tl::unexpected(byte.error());
    if (*byte == 0) return {};
  }
}

/// Reads a member's header, but for its first byte. It is read here and not by ISA-L, which loses
/// its place in one that comes in pieces.
Result<void> GzipSource::ReadHeader() {
  std::array<uint8_t, 3> start{};  // the magic's second byte, method, flags
  for (uint8_t& byte : start) {
    Result<uint8_t> next = NextByte();
    if (!next) return tl::unexpected(next.error());
    byte = *next;
  }
  const uint8_t flags = start[2];
  if (start[0] != kMagic2 || start[1] != kMethodDeflate || (flags & kReserved) != 0) {
    return Fail(ErrorCode::kMalformed, "gzip: invalid header");
  }
  const auto skip = [this](int count) -> Result<void> {
    for (int i = 0; i < count; ++i) {
      if (Result<uint8_t> byte = NextByte(); !byte) return tl::unexpected(byte.error());
    }
    return {};
  };
  if (auto skipped = skip(kTimeSystemSize); !skipped) return skipped;
  if ((flags & kHasExtra) != 0) {
    Result<uint8_t> low = NextByte();
    Result<uint8_t> high = low ? NextByte() : low;
    if (!high) return tl::unexpected(high.error());
    if (auto skipped = skip(*low | *high << 8); !skipped) return skipped;
  }
  for (const uint8_t text : {kHasName, kHasComment}) {
    if ((flags & text) == 0) continue;
    if (auto skipped = SkipText(); !skipped) return skipped;
  }
  return skip((flags & kHasChecksum) != 0 ? 2 : 0);
}

/// Looks for another member, behind the one that ended or at the start. False at the end of the
/// stream.
Result<bool> GzipSource::NextMember() {
  inflate_state& inflate = state_->inflate;
  bool padded = false;
  for (;;) {
    while (!state_->first_member && inflate.avail_in > 0 && *inflate.next_in == 0) {
      ++inflate.next_in;
      --inflate.avail_in;
      padded = true;
    }
    if (inflate.avail_in > 0) break;
    Result<bool> more = Refill();
    if (!more || !*more) return more;
  }
  Result<uint8_t> magic = NextByte();
  if (!magic) return tl::unexpected(magic.error());
  if (padded || *magic != kMagic1) {
    return Fail(ErrorCode::kMalformed, "{}",
                state_->first_member ? "gzip: invalid header"
                                     : "gzip: garbage behind the end of the stream");
  }
  if (auto header = ReadHeader(); !header) return tl::unexpected(header.error());
  state_->first_member = false;
  state_->in_member = true;
  uint8_t* const next_in = inflate.next_in;
  const uint32_t avail_in = inflate.avail_in;
  isal_inflate_reset(&inflate);
  inflate.next_in = next_in;
  inflate.avail_in = avail_in;
  inflate.crc_flag = ISAL_GZIP_NO_HDR_VER;
  return true;
}

Result<std::span<const std::byte>> GzipSource::Read() {
  if (state_->error) return tl::unexpected(*state_->error);
  Result<std::span<const std::byte>> piece = Expand();
  if (!piece) state_->error = piece.error();
  return piece;
}

Result<std::span<const std::byte>> GzipSource::Expand() {
  State& state = *state_;
  while (!state.ended) {
    if (!state.in_member) {
      Result<bool> next = NextMember();
      if (!next) return tl::unexpected(next.error());
      if (!*next) {
        if (state.first_member) return Fail(ErrorCode::kMalformed, "gzip: unexpected EOF");
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
