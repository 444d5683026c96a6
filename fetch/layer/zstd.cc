#include "fetch/layer/zstd.h"

#include <zstd.h>

#include <array>
#include <new>
#include <optional>

namespace ocirepofs {
namespace {

constexpr size_t kOutputSize = size_t{256} << 10;
constexpr int kMaxWindowLog = 27;
constexpr uint32_t kFrameMagic = 0xfd2fb528;
constexpr uint32_t kSkippableMagic = 0x184d2a50;  // and the fifteen that follow it

}  // namespace

bool LooksLikeZstd(std::span<const std::byte> start) {
  if (start.size() < 4) return false;
  uint32_t magic = 0;
  for (int i = 3; i >= 0; --i)
    magic = magic << 8 | std::to_integer<uint32_t>(start[static_cast<size_t>(i)]);
  return magic == kFrameMagic || (magic & 0xfffffff0) == kSkippableMagic;
}

struct ZstdSource::State {
  std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context{ZSTD_createDCtx(), ZSTD_freeDCtx};
  ZSTD_inBuffer input{nullptr, 0, 0};
  std::array<std::byte, kOutputSize> output;
  uint64_t expanded = 0;
  bool in_frame = false;
  bool flushing = false;  // the output was full: there may be more without more input
  bool any_frame = false;
  std::optional<Error> error;
};

ZstdSource::ZstdSource(ByteSource compressed, uint64_t max_size)
    : compressed_(std::move(compressed)), max_size_(max_size), state_(std::make_unique<State>()) {
  if (state_->context == nullptr) throw std::bad_alloc();
  ZSTD_DCtx_setParameter(state_->context.get(), ZSTD_d_windowLogMax, kMaxWindowLog);
}

ZstdSource::~ZstdSource() = default;

Result<std::span<const std::byte>> ZstdSource::Read() {
  if (state_->error) return tl::unexpected(*state_->error);
  Result<std::span<const std::byte>> piece = Expand();
  if (!piece) state_->error = piece.error();
  return piece;
}

Result<std::span<const std::byte>> ZstdSource::Expand() {
  State& state = *state_;
  for (;;) {
    if (state.input.pos == state.input.size && !state.flushing) {
      Result<std::span<const std::byte>> piece = compressed_();
      if (!piece) return piece;
      if (piece->empty()) {
        if (state.in_frame || !state.any_frame) {
          return Fail(ErrorCode::kMalformed, "zstd: unexpected EOF");
        }
        return std::span<const std::byte>();
      }
      state.input = {piece->data(), piece->size(), 0};
    }
    ZSTD_outBuffer output{state.output.data(), state.output.size(), 0};
    const size_t left = ZSTD_decompressStream(state.context.get(), &output, &state.input);
    if (ZSTD_isError(left) != 0) {
      return Fail(ErrorCode::kMalformed, "zstd: {}", ZSTD_getErrorName(left));
    }
    state.in_frame = left != 0;
    state.any_frame = state.any_frame || left == 0;
    state.flushing = output.pos == output.size;
    if (output.pos == 0) continue;
    state.expanded += output.pos;
    if (state.expanded > max_size_) {
      return Fail(ErrorCode::kLimitExceeded,
                  "the layer expands to more than {} bytes (mount option max_size)", max_size_);
    }
    return std::span<const std::byte>(state.output).first(output.pos);
  }
}

}  // namespace ocirepofs
