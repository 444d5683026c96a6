#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "fetch/layer/layer.h"
#include "tests/support/image_contents.h"
#include "tests/support/tar_builder.h"
#include "tests/support/temporary_directory.h"

namespace ocirepofs {

/// A layer's way through UnpackLayer and ImageWriter into an image, and back.
class LayerTest : public testing::Test {
 protected:
  static constexpr size_t kShownOfContents = 500;

  struct Unpacked {
    ImageContents contents;
    ImageWriter::Summary summary;
  };

  Result<Unpacked> UnpackWhole(const std::string& layer) {
    const std::string stem(64, 'a');
    Result<std::unique_ptr<ImageWriter>> writer =
        ImageWriter::Create(directory_.fd(), stem, options_);
    if (!writer) return tl::unexpected(writer.error());
    consumed_ = 0;
    const ByteSource source = [&]() -> Result<std::span<const std::byte>> {
      const size_t size = std::min(piece_size_, layer.size() - consumed_);
      const auto piece = std::as_bytes(std::span(layer)).subspan(consumed_, size);
      consumed_ += size;
      return piece;
    };
    const Result<void> unpacked = UnpackLayer(source, max_expanded_, writer->get());
    written_ = BytesInDirectory();
    if (!unpacked) return tl::unexpected(unpacked.error());
    Result<ImageWriter::Summary> summary = (*writer)->Finish(1'700'000'000);
    if (!summary) return tl::unexpected(summary.error());
    if (auto committed = (*writer)->Commit(); !committed) return tl::unexpected(committed.error());
    Result<std::shared_ptr<const Image>> image = Image::Open(directory_.fd(), stem);
    if (!image) return tl::unexpected(image.error());
    return Unpacked{ContentsOf(*image), *summary};
  }

  /// What is shown of the layer; {"error": message} where it is refused.
  ImageContents Unpack(const std::string& layer) {
    const Result<Unpacked> unpacked = UnpackWhole(layer);
    return unpacked ? unpacked->contents : ImageContents{{"error", unpacked.error().message}};
  }
  ImageContents Unpack(const TarBuilder& tar) { return Unpack(tar.Archive()); }

  /// The message with which the layer is refused; a layer that is not fails the test.
  std::string Refusal(const std::string& layer, ErrorCode code = ErrorCode::kMalformed) {
    const Result<Unpacked> unpacked = UnpackWhole(layer);
    if (unpacked) {
      ADD_FAILURE() << "accepted: "
                    << testing::PrintToString(unpacked->contents).substr(0, kShownOfContents);
      return "accepted";
    }
    EXPECT_EQ(unpacked.error().code, code) << unpacked.error().message;
    return unpacked.error().message;
  }
  std::string Refusal(const TarBuilder& tar, ErrorCode code = ErrorCode::kMalformed) {
    return Refusal(tar.Archive(), code);
  }

  uint64_t BytesInDirectory() const {
    uint64_t bytes = 0;
    for (const auto& entry : std::filesystem::directory_iterator(directory_.path())) {
      bytes += entry.file_size();
    }
    return bytes;
  }

  TemporaryDirectory directory_;
  ImageWriter::Options options_{.ignore = std::nullopt, .filter = false};
  uint64_t max_expanded_ = UINT64_MAX;
  size_t piece_size_ = 65536;  // of the layer as it arrives
  size_t consumed_ = 0;        // bytes of the layer that were asked for
  uint64_t written_ = 0;       // bytes on disk when unpacking ended
};

}  // namespace ocirepofs
