#include "fetch/pull.h"

#include <thread>

#include "fetch/byte_pipe.h"
#include "fetch/layer.h"

namespace ocirepofs {
namespace {

/// What may lie between the network and the archive: enough to ride out a pause on either side.
constexpr size_t kPipeCapacity = size_t{8} << 20;

}  // namespace

Result<void> PullLayer(RegistryClient* registry, const RegistryAccess& access,
                       const Descriptor& layer, uint64_t max_size, ImageWriter* writer,
                       std::stop_token stop) {
  BytePipe pipe(kPipeCapacity);
  Result<void> unpacked;
  std::thread unpacking([&] {
    try {
      unpacked = UnpackLayer([&pipe] { return pipe.Read(); }, max_size, writer);
    } catch (const std::exception& error) {
      unpacked = Fail(ErrorCode::kStorage, "cannot unpack the layer: {}", error.what());
    }
    pipe.CloseReader(unpacked ? std::nullopt : std::optional<Error>(unpacked.error()));
  });
  const Result<void> fetched = registry->FetchBlob(
      access, layer, [&pipe](std::span<const std::byte> data) { return pipe.Write(data); }, stop);
  pipe.CloseWriter(fetched ? std::nullopt : std::optional<Error>(fetched.error()));
  unpacking.join();
  // Where the download broke off, unpacking fails because of it, or ends too early unnoticed.
  if (!fetched) return fetched;
  return unpacked;
}

}  // namespace ocirepofs
