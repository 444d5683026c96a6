#include "tests/support/tar_builder.h"

#include <fmt/format.h>
#include <isa-l.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <stdexcept>

namespace ocirepofs {
namespace {

constexpr size_t kBlock = 512;
constexpr size_t kZstdBlock = size_t{128} << 10;

void Put(std::string* block, size_t offset, size_t size, std::string_view text) {
  text = text.substr(0, size);
  std::copy(text.begin(), text.end(), block->begin() + static_cast<ptrdiff_t>(offset));
}

std::string Padded(std::string text) {
  text.resize((text.size() + kBlock - 1) / kBlock * kBlock);
  return text;
}

std::string LittleEndian(uint64_t value, int size) {
  std::string bytes;
  for (int i = 0; i < size; ++i) bytes += static_cast<char>(value >> (8 * i));
  return bytes;
}

std::string ZstdBlockHeader(bool last, unsigned type, size_t size) {
  return LittleEndian((last ? 1U : 0U) | type << 1 | size << 3, 3);
}

std::string ZstdHeader(const ZstdFrame& frame) {
  // No dictionary, no content size; a window descriptor follows the frame's own.
  std::string bytes = LittleEndian(0xFD2FB528, 4);
  bytes += static_cast<char>(frame.checksum ? 4 : 0);
  bytes += static_cast<char>(frame.window_exponent << 3);
  return bytes;
}

std::string ZstdBlocks(std::string_view data, bool last) {
  std::string bytes;
  do {
    const std::string_view block = data.substr(0, kZstdBlock);
    data.remove_prefix(block.size());
    bytes += ZstdBlockHeader(last && data.empty(), 0, block.size());
    bytes += block;
  } while (!data.empty());
  return bytes;
}

}  // namespace

std::string PaxRecord(std::string_view key, std::string_view value) {
  const size_t rest = key.size() + value.size() + 3;  // space, '=', newline
  size_t length = rest;
  while (length != rest + fmt::formatted_size("{}", length)) {
    length = rest + fmt::formatted_size("{}", length);
  }
  return fmt::format("{} {}={}\n", length, key, value);
}

std::string OctalField(uint64_t value, size_t size) {
  return fmt::format("{:0{}o}", value, size - 1) + std::string(1, '\0');
}

std::string Base256Field(int64_t value, size_t size) {
  std::string field(size, value < 0 ? '\xff' : '\0');
  auto rest = static_cast<uint64_t>(value);
  for (size_t i = 0; i < std::min<size_t>(size - 1, 8); ++i, rest >>= 8) {
    field[size - 1 - i] = static_cast<char>(rest & 0xff);
  }
  field[0] = static_cast<char>(value < 0 ? 0xff : 0x80);
  return field;
}

TarBuilder& TarBuilder::Add(const Entry& entry) {
  std::string block(kBlock, '\0');
  const auto field = [](const std::string& given, std::string otherwise) {
    return given.empty() ? otherwise : given;
  };
  Put(&block, 0, 100, entry.name);
  Put(&block, 100, 8, field(entry.mode_field, OctalField(entry.mode, 8)));
  Put(&block, 108, 8, OctalField(1000, 8));
  Put(&block, 116, 8, OctalField(1000, 8));
  Put(&block, 124, 12, field(entry.size, OctalField(entry.contents.size(), 12)));
  Put(&block, 136, 12, field(entry.time, OctalField(1'700'000'000, 12)));
  block[156] = entry.type;
  Put(&block, 157, 100, entry.link);
  Put(&block, 257, 8, entry.magic);
  Put(&block, 345, 155, entry.prefix);
  Put(&block, entry.patch_offset, kBlock, entry.patch);
  Put(&block, 148, 8, "        ");
  uint32_t sum = 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  Put(&block, 148, 8, field(entry.checksum, fmt::format("{:06o}", sum) + std::string("\0 ", 2)));
  bytes_ += block + Padded(entry.contents);
  return *this;
}

TarBuilder& TarBuilder::File(std::string name, std::string contents, uint32_t mode) {
  return Add({.name = std::move(name), .contents = std::move(contents), .mode = mode});
}

TarBuilder& TarBuilder::Directory(std::string name, uint32_t mode) {
  return Add({.name = std::move(name), .type = '5', .mode = mode});
}

TarBuilder& TarBuilder::Symlink(std::string name, std::string target) {
  return Add({.name = std::move(name), .type = '2', .link = std::move(target)});
}

TarBuilder& TarBuilder::HardLink(std::string name, std::string target) {
  return Add({.name = std::move(name), .type = '1', .link = std::move(target)});
}

TarBuilder& TarBuilder::Pax(std::string records, char type) {
  return Add({.name = "PaxHeaders/x", .type = type, .contents = std::move(records)});
}

TarBuilder& TarBuilder::GnuLong(std::string text, char type) {
  text += '\0';
  return Add({.name = "././@LongLink", .type = type, .contents = std::move(text), .magic = kGnu});
}

TarBuilder& TarBuilder::Raw(std::string_view bytes) {
  bytes_ += bytes;
  return *this;
}

std::string GzipNamed(std::string_view data, std::string_view name) {
  std::string bytes("\x1f\x8b\x08\0\0\0\0\0\0\xff", 10);
  if (!name.empty()) {
    bytes[3] = 8;
    bytes += name;
    bytes += '\0';
  }
  const auto stream = std::make_unique<isal_zstream>();
  isal_deflate_stateless_init(stream.get());
  std::string input(data);
  std::string deflated(data.size() + data.size() / 1000 + 1024, '\0');
  stream->end_of_stream = 1;
  stream->flush = NO_FLUSH;
  stream->next_in = reinterpret_cast<uint8_t*>(input.data());
  stream->avail_in = static_cast<uint32_t>(input.size());
  stream->next_out = reinterpret_cast<uint8_t*>(deflated.data());
  stream->avail_out = static_cast<uint32_t>(deflated.size());
  if (isal_deflate_stateless(stream.get()) != COMP_OK) throw std::runtime_error("deflate");
  deflated.resize(stream->total_out);
  const uint32_t crc =
      crc32_gzip_refl(0, reinterpret_cast<const unsigned char*>(data.data()), data.size());
  return bytes + deflated + LittleEndian(crc, 4) + LittleEndian(data.size(), 4);
}

std::string Gzip(std::string_view data) { return GzipNamed(data, ""); }

std::string Zstd(std::string_view data, const ZstdFrame& frame) {
  return ZstdHeader(frame) + ZstdBlocks(data, /*last=*/true) + frame.checksum.value_or("");
}

std::string ZstdBomb(std::string_view data, size_t count) {
  std::string bytes = ZstdHeader({}) + ZstdBlocks(data, /*last=*/false);
  for (size_t i = 0; i < count; ++i) {
    bytes += ZstdBlockHeader(i + 1 == count, 1, kZstdBlock) + std::string(1, '\0');
  }
  return bytes;
}

}  // namespace ocirepofs
