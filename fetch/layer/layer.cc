#include "fetch/layer/layer.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <optional>

#include "conf/printable.h"
#include "fetch/layer/inflate.h"
#include "fetch/layer/zstd.h"

namespace ocirepofs {
namespace {

constexpr mode_t kAnyExecutableBit = 0111;
constexpr size_t kMagicSize = 4;  // enough to tell the compressions apart

/// libarchive's view of a ByteSource, and what the source failed with: libarchive itself only
/// carries on that it did.
struct Input {
  ByteSource source;
  std::optional<Error> error;
};

la_ssize_t ReadInput(archive* reader, void* data, const void** buffer) noexcept {
  auto* input = static_cast<Input*>(data);
  try {
    Result<std::span<const std::byte>> piece = input->source();
    if (piece) {
      *buffer = piece->data();
      return static_cast<la_ssize_t>(piece->size());
    }
    input->error = piece.error();
  } catch (const std::exception& error) {
    input->error = Error{ErrorCode::kMalformed, error.what()};
  }
  archive_set_error(reader, EIO, "%s", input->error->message.c_str());
  return ARCHIVE_FATAL;
}

using ArchiveReader = std::unique_ptr<archive, int (*)(archive*)>;

tl::unexpected<Error> ArchiveError(archive* reader, const Input& input) {
  if (input.error) return tl::unexpected(*input.error);
  const char* message = archive_error_string(reader);
  return Fail(ErrorCode::kMalformed, "tar error: {}",
              message == nullptr ? "unknown" : Printable(message));
}

/// A warning that costs nothing: names are bytes here, and libarchive, which runs in the C locale
/// so that it leaves them alone, says of each that is not ASCII that it could not be converted.
bool IsAboutLocale(archive* reader) {
  const char* message = archive_error_string(reader);
  return message != nullptr &&
         std::string_view(message).find("current locale") != std::string_view::npos;
}

/// Flux's words for what it does not unpack: Go's rendering of the mode.
std::string TypeLetter(mode_t type) {
  switch (type) {
    case AE_IFIFO:
      return "p";
    case AE_IFCHR:
      return "Dc";
    case AE_IFBLK:
      return "D";
    case AE_IFSOCK:
      return "S";
    default:
      return "?";
  }
}

std::string ModeText(mode_t type, mode_t mode) {
  std::string text = TypeLetter(type);
  for (int bit = 8; bit >= 0; --bit) {
    text += (mode >> bit & 1) != 0 ? "xwr"[bit % 3] : '-';
  }
  return text;
}

Result<void> CopyContents(archive* reader, const Input& input, uint64_t size, ImageWriter* writer) {
  static constexpr std::array<std::byte, 4096> kHole{};
  uint64_t position = 0;
  const auto fill_to = [&](uint64_t end) -> Result<void> {
    while (position < end) {
      const auto hole = std::span(kHole).first(std::min<uint64_t>(end - position, kHole.size()));
      if (auto written = writer->AppendContents(hole); !written) return written;
      position += hole.size();
    }
    return {};
  };
  for (;;) {
    const void* data = nullptr;
    size_t count = 0;
    la_int64_t offset = 0;
    const int result = archive_read_data_block(reader, &data, &count, &offset);
    if (input.error) return tl::unexpected(*input.error);
    if (result == ARCHIVE_EOF) return fill_to(size);
    if (result != ARCHIVE_OK) return ArchiveError(reader, input);
    if (static_cast<uint64_t>(offset) < position) {
      return Fail(ErrorCode::kMalformed, "tar error: invalid sparse map");
    }
    if (auto filled = fill_to(static_cast<uint64_t>(offset)); !filled) return filled;
    if (auto written = writer->AppendContents({static_cast<const std::byte*>(data), count});
        !written) {
      return written;
    }
    position += count;
  }
}

Result<void> UnpackEntry(archive* reader, archive_entry* entry, const Input& input,
                         ImageWriter* writer) {
  const char* name = archive_entry_pathname(entry);
  if (name == nullptr) return Fail(ErrorCode::kMalformed, "tar error: an entry without a name");
  if (const char* target = archive_entry_hardlink(entry)) return writer->AddHardLink(name, target);
  const mode_t type = archive_entry_filetype(entry);
  const mode_t mode = archive_entry_perm(entry);
  switch (type) {
    case AE_IFDIR:
      return writer->AddDirectory(name);
    case AE_IFLNK: {
      const char* target = archive_entry_symlink(entry);
      return writer->AddSymlink(name, target == nullptr ? "" : target);
    }
    case AE_IFREG: {
      const auto size = archive_entry_size(entry);
      if (size < 0)
        return Fail(ErrorCode::kMalformed, "tar error: negative size of \"{}\"", Printable(name));
      if (auto added =
              writer->AddFile(name, (mode & kAnyExecutableBit) != 0, static_cast<uint64_t>(size));
          !added) {
        return added;
      }
      return CopyContents(reader, input, static_cast<uint64_t>(size), writer);
    }
    default:
      return Fail(ErrorCode::kMalformed, "tar file entry {} contained unsupported file type {}",
                  Printable(name), ModeText(type, mode));
  }
}

Result<void> UnpackTar(Input* input, ImageWriter* writer) {
  const ArchiveReader reader(archive_read_new(), archive_read_free);
  if (reader == nullptr) return Fail(ErrorCode::kStorage, "out of memory");
  archive_read_support_format_tar(reader.get());
  archive_read_support_format_empty(reader.get());
  if (archive_read_open(reader.get(), input, nullptr, ReadInput, nullptr) != ARCHIVE_OK) {
    return ArchiveError(reader.get(), *input);
  }
  for (;;) {
    archive_entry* entry = nullptr;
    const int result = archive_read_next_header(reader.get(), &entry);
    // libarchive takes a source that fails at the start for an empty one.
    if (input->error) return tl::unexpected(*input->error);
    if (result == ARCHIVE_EOF) return {};
    const bool usable =
        result == ARCHIVE_OK || (result == ARCHIVE_WARN && IsAboutLocale(reader.get()));
    if (!usable) return ArchiveError(reader.get(), *input);
    if (auto unpacked = UnpackEntry(reader.get(), entry, *input, writer); !unpacked) {
      return unpacked;
    }
  }
}

/// `source` with a piece put back in front.
ByteSource Prepend(std::span<const std::byte> piece, const ByteSource& source) {
  return [piece, &source, first = true]() mutable -> Result<std::span<const std::byte>> {
    if (!std::exchange(first, false)) return source();
    return piece;
  };
}

/// What is behind the archive's end must still be there and sound: the checksum comes last.
Result<void> Drain(const ByteSource& source) {
  for (;;) {
    Result<std::span<const std::byte>> piece = source();
    if (!piece) return tl::unexpected(piece.error());
    if (piece->empty()) return {};
  }
}

}  // namespace

Result<void> UnpackLayer(const ByteSource& layer, uint64_t max_size, ImageWriter* writer) {
  std::vector<std::byte> start;
  while (start.size() < kMagicSize) {
    Result<std::span<const std::byte>> piece = layer();
    if (!piece) return tl::unexpected(piece.error());
    if (piece->empty()) break;
    start.insert(start.end(), piece->begin(), piece->end());
  }
  if (start.empty()) return Fail(ErrorCode::kMalformed, "the layer is empty");
  const ByteSource whole = Prepend(start, layer);

  std::optional<GzipSource> gzip;
  std::optional<ZstdSource> zstd;
  Input input;
  if (LooksLikeGzip(start)) {
    gzip.emplace(whole, max_size);
    input.source = [&gzip] { return gzip->Read(); };
  } else if (LooksLikeZstd(start)) {
    zstd.emplace(whole, max_size);
    input.source = [&zstd] { return zstd->Read(); };
  } else {
    input.source = whole;
  }
  if (auto unpacked = UnpackTar(&input, writer); !unpacked) return unpacked;
  return Drain(input.source);
}

}  // namespace ocirepofs
