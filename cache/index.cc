#include "cache/index.h"

#include <fcntl.h>
#include <isa-l.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "cache/stored_gzip.h"

namespace ocirepofs {
namespace {

constexpr std::array<char, 8> kMagic = {'o', 'c', 'i', 'r', 'f', 'i', 'd', 'x'};
constexpr uint32_t kVersion = 1;

/// The start of the file. Records, strings and block checksums follow it in this order.
struct Header {
  std::array<char, 8> magic;
  uint32_t version;
  uint32_t record_count;
  uint64_t string_size;
  uint64_t tar_size;
  int64_t modification_time;
  std::array<uint8_t, Digest::kSize> image_digest;
  uint32_t block_count;
  uint32_t body_checksum;  // CRC-32C of all that follows the header
  uint32_t tar_checksum;
  uint32_t header_checksum;  // CRC-32C of the header up to here
};
static_assert(sizeof(Header) == 88);

constexpr uint64_t kMaxTarSize = uint64_t{1} << 62;
constexpr size_t kChecksumStep = size_t{1} << 30;  // ISA-L counts in int

uint32_t Checksum(const void* data, size_t size) {
  auto* bytes = static_cast<unsigned char*>(const_cast<void*>(data));
  uint32_t crc = 0xffffffff;
  for (size_t done = 0; done < size; done += kChecksumStep) {
    crc = crc32_iscsi(bytes + done, static_cast<int>(std::min(kChecksumStep, size - done)), crc);
  }
  return ~crc;
}

uint32_t HeaderChecksum(const Header& header) {
  return Checksum(&header, offsetof(Header, header_checksum));
}

/// The string pool is padded so that the checksums behind it are aligned.
constexpr size_t Padded(size_t size) { return (size + 7) & ~size_t{7}; }

tl::unexpected<Error> Corrupt(const std::string& name, std::string_view what) {
  return Fail(ErrorCode::kCorrupt, "index {}: {}", name, what);
}

}  // namespace

std::string Index::Encode(const IndexFacts& facts, std::span<const IndexRecord> records,
                          std::string_view strings, std::span<const uint32_t> block_checksums) {
  Header header{};
  header.magic = kMagic;
  header.version = kVersion;
  header.record_count = static_cast<uint32_t>(records.size());
  header.string_size = Padded(strings.size());
  header.tar_size = facts.tar_size;
  header.modification_time = facts.modification_time;
  header.image_digest = facts.image_digest.bytes();
  header.tar_checksum = facts.tar_checksum;
  header.block_count = static_cast<uint32_t>(block_checksums.size());

  std::string file(sizeof(Header), '\0');
  file.reserve(sizeof(Header) + records.size_bytes() + header.string_size +
               block_checksums.size_bytes());
  file.append(reinterpret_cast<const char*>(records.data()), records.size_bytes());
  file.append(strings);
  file.resize(sizeof(Header) + records.size_bytes() + header.string_size);
  file.append(reinterpret_cast<const char*>(block_checksums.data()), block_checksums.size_bytes());

  header.body_checksum = Checksum(file.data() + sizeof(Header), file.size() - sizeof(Header));
  header.header_checksum = HeaderChecksum(header);
  std::memcpy(file.data(), &header, sizeof(Header));
  return file;
}

Result<std::unique_ptr<const Index>> Index::Open(int directory_fd, const std::string& name) {
  Result<UniqueFd> fd = OpenAt(directory_fd, name, O_RDONLY);
  if (!fd) return tl::unexpected(fd.error());
  struct stat info {};
  if (fstat(fd->get(), &info) != 0) return FailErrno(errno, fmt::format("cannot stat {}", name));
  const auto size = static_cast<size_t>(info.st_size);
  if (!S_ISREG(info.st_mode) || size < sizeof(Header)) return Corrupt(name, "too short");

  void* mapping = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd->get(), 0);
  if (mapping == MAP_FAILED) return FailErrno(errno, fmt::format("cannot map {}", name));
  Header header{};
  std::memcpy(&header, mapping, sizeof(Header));
  IndexFacts facts{.tar_size = header.tar_size,
                   .image_digest = Digest(header.image_digest),
                   .tar_checksum = header.tar_checksum,
                   .modification_time = header.modification_time};
  std::unique_ptr<Index> index(new Index(facts, mapping, size));
  if (auto bound = index->Bind(name); !bound) return tl::unexpected(bound.error());
  return std::unique_ptr<const Index>(std::move(index));
}

Result<void> Index::Bind(const std::string& name) {
  const auto* base = static_cast<const char*>(mapping_);
  Header header{};
  std::memcpy(&header, base, sizeof(Header));
  if (header.magic != kMagic) return Corrupt(name, "not an index");
  if (header.version != kVersion) return Corrupt(name, "of another version");
  if (header.header_checksum != HeaderChecksum(header)) return Corrupt(name, "damaged header");

  const size_t records_size = size_t{header.record_count} * sizeof(IndexRecord);
  const size_t checksums_size = size_t{header.block_count} * sizeof(uint32_t);
  const size_t body_size = mapping_size_ - sizeof(Header);
  if (header.record_count == 0 || header.string_size > body_size ||
      header.string_size != Padded(header.string_size) ||
      body_size != records_size + header.string_size + checksums_size ||
      header.tar_size > kMaxTarSize ||
      header.block_count != stored_gzip::BlockCount(header.tar_size)) {
    return Corrupt(name, "sections do not fit the file");
  }
  if (header.body_checksum != Checksum(base + sizeof(Header), body_size)) {
    return Corrupt(name, "damaged contents");
  }
  records_ = {reinterpret_cast<const IndexRecord*>(base + sizeof(Header)), header.record_count};
  strings_ = {base + sizeof(Header) + records_size, header.string_size};
  block_checksums_ = {
      reinterpret_cast<const uint32_t*>(base + sizeof(Header) + records_size + header.string_size),
      header.block_count};

  // The checksum guards against the disk; this guards every later access against a file that was
  // made to deceive.
  const auto in_pool = [this](uint64_t offset, uint64_t size) {
    return offset <= strings_.size() && size <= strings_.size() - offset;
  };
  for (const IndexRecord& record : records_) {
    bool good = in_pool(record.name_offset, record.name_size) && record.parent < size();
    switch (record.type) {
      case NodeType::kDirectory:
        good = good && uint64_t{record.first_child} + record.child_count <= size();
        break;
      case NodeType::kFile:
        good = good && record.offset <= facts_.tar_size &&
               record.size <= facts_.tar_size - record.offset;
        break;
      case NodeType::kSymlink:
        good = good && in_pool(record.offset, record.size);
        break;
      default:
        good = false;
    }
    if (!good) return Corrupt(name, "a record points outside");
  }
  if (records_[kRoot].type != NodeType::kDirectory) return Corrupt(name, "no root directory");
  ReleasePages();
  return {};
}

std::unique_ptr<const Index> Index::OfEmptyTree(int64_t modification_time) {
  IndexFacts facts{.tar_size = 0,
                   .image_digest = Digest(std::array<uint8_t, Digest::kSize>{}),
                   .tar_checksum = 0,
                   .modification_time = modification_time};
  std::unique_ptr<Index> index(new Index(facts, nullptr, 0));
  index->empty_root_.type = NodeType::kDirectory;
  index->records_ = {&index->empty_root_, 1};
  return index;
}

Index::~Index() {
  if (mapping_ != nullptr) munmap(mapping_, mapping_size_);
}

std::string_view Index::Name(const IndexRecord& record) const {
  return strings_.substr(record.name_offset, record.name_size);
}

std::string_view Index::Target(const IndexRecord& record) const {
  return strings_.substr(record.offset, record.size);
}

std::optional<uint32_t> Index::FindChild(const IndexRecord& directory,
                                         std::string_view name) const {
  const auto children = records_.subspan(directory.first_child, directory.child_count);
  const auto found = std::lower_bound(
      children.begin(), children.end(), name,
      [this](const IndexRecord& child, std::string_view wanted) { return Name(child) < wanted; });
  if (found == children.end() || Name(*found) != name) return std::nullopt;
  return directory.first_child + static_cast<uint32_t>(found - children.begin());
}

void Index::ReleasePages() const {
  if (mapping_ != nullptr) madvise(mapping_, mapping_size_, MADV_DONTNEED);
}

}  // namespace ocirepofs
