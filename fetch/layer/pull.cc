#include "fetch/layer/pull.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>
#include <vector>

#include "cache/file.h"
#include "fetch/layer/byte_pipe.h"
#include "fetch/layer/layer.h"

namespace ocirepofs {
namespace {

/// What may lie between the network and the archive: enough to ride out a pause on either side.
constexpr size_t kPipeCapacity = size_t{8} << 20;
constexpr size_t kFileReadSize = size_t{256} << 10;
constexpr char kTitleAnnotation[] = "org.opencontainers.image.title";

/// The bytes of a file, from its start.
class FileSource {
 public:
  FileSource(int fd, uint64_t size) : fd_(fd), size_(size) {}

  Result<std::span<const std::byte>> Read() {
    buffer_.resize(std::min<uint64_t>(size_ - offset_, kFileReadSize));
    if (auto read = ReadExactly(fd_, buffer_, static_cast<off_t>(offset_), "the layer"); !read) {
      return tl::unexpected(read.error());
    }
    offset_ += buffer_.size();
    return std::span<const std::byte>(buffer_);
  }

 private:
  const int fd_;
  const uint64_t size_;
  uint64_t offset_ = 0;
  std::vector<std::byte> buffer_;
};

Result<void> AddAsOneFile(const Descriptor& layer, int fd, ImageWriter* writer) {
  const auto title = layer.annotations.find(kTitleAnnotation);
  if (title == layer.annotations.end() || !writer->AddFile(title->second, false, layer.size)) {
    if (auto added = writer->AddFile(layer.digest.ToString(), false, layer.size); !added) {
      return added;
    }
  }
  FileSource source(fd, layer.size);
  for (;;) {
    Result<std::span<const std::byte>> piece = source.Read();
    if (!piece) return tl::unexpected(piece.error());
    if (piece->empty()) return {};
    if (auto written = writer->AppendContents(*piece); !written) return written;
  }
}

}  // namespace

Result<void> PullUnaltered(RegistryClient* registry, const RegistryAccess& access,
                           const Descriptor& layer, uint64_t max_size, int directory_fd,
                           const std::string& name, ImageWriter* writer, std::stop_token stop) {
  if (layer.size > max_size) {
    return Fail(ErrorCode::kLimitExceeded,
                "the layer is larger than {} bytes (mount option max_size)", max_size);
  }
  Result<UniqueFd> file = OpenAt(directory_fd, name, O_RDWR | O_CREAT | O_TRUNC, 0600);
  if (!file) return tl::unexpected(file.error());
  const int fd = file->get();
  const auto keep = [fd](std::span<const std::byte> data) {
    return WriteAll(fd, data, "the artifact");
  };
  if (auto fetched = registry->FetchBlob(access, layer, keep, std::move(stop)); !fetched) {
    return fetched;
  }
  if (fsync(fd) != 0) return FailErrno(errno, "cannot sync the artifact");

  FileSource source(fd, layer.size);
  const Result<void> unpacked = UnpackLayer([&source] { return source.Read(); }, max_size, writer);
  // An archive that breaks off or holds what it may not is no less an archive.
  const bool is_archive =
      unpacked || unpacked.error().code != ErrorCode::kMalformed || writer->entry_count() > 0;
  return is_archive ? unpacked : AddAsOneFile(layer, fd, writer);
}

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
