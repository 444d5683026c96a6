#include "tests/support/cache_fixture.h"

#include <isa-l.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <stdexcept>

#include "cache/names.h"

namespace ocirepofs {
namespace {

constexpr size_t kAppendSize = 10'000;

using Kind = ArchiveEntry::Kind;

std::string_view NameOf(ErrorCode code) {
  switch (code) {
    case ErrorCode::kMalformed:
      return "kMalformed";
    case ErrorCode::kLimitExceeded:
      return "kLimitExceeded";
    case ErrorCode::kStorage:
      return "kStorage";
    case ErrorCode::kCorrupt:
      return "kCorrupt";
    default:
      return "an error that the cache does not give";
  }
}

Result<void> AddFile(const ArchiveEntry& entry, ImageWriter* writer) {
  auto added = writer->AddFile(entry.path, entry.kind == Kind::kExecutable, entry.text.size());
  for (size_t done = 0; added && done < entry.text.size(); done += kAppendSize) {
    const std::string_view piece = std::string_view(entry.text).substr(done, kAppendSize);
    added = writer->AppendContents(std::as_bytes(std::span(piece)));
  }
  return added;
}

Result<void> Add(const ArchiveEntry& entry, ImageWriter* writer) {
  switch (entry.kind) {
    case Kind::kDirectory:
      return writer->AddDirectory(entry.path);
    case Kind::kFile:
    case Kind::kExecutable:
      return AddFile(entry, writer);
    case Kind::kSymlink:
      return writer->AddSymlink(entry.path, entry.text);
    case Kind::kHardLink:
      return writer->AddHardLink(entry.path, entry.text);
  }
  throw std::logic_error("no such kind of entry");
}

}  // namespace

ArchiveEntry Directory(std::string path) { return {Kind::kDirectory, std::move(path)}; }
ArchiveEntry File(std::string path, std::string contents) {
  return {Kind::kFile, std::move(path), std::move(contents)};
}
ArchiveEntry Executable(std::string path, std::string contents) {
  return {Kind::kExecutable, std::move(path), std::move(contents)};
}
ArchiveEntry Symlink(std::string path, std::string target) {
  return {Kind::kSymlink, std::move(path), std::move(target)};
}
ArchiveEntry HardLink(std::string path, std::string target) {
  return {Kind::kHardLink, std::move(path), std::move(target)};
}

std::string StemNumber(int number) { return fmt::format("{:064x}", number); }

Result<void> AddAll(const std::vector<ArchiveEntry>& entries, ImageWriter* writer) {
  for (const ArchiveEntry& entry : entries) {
    if (auto added = Add(entry, writer); !added) return added;
  }
  return {};
}

std::string BuiltImage::Tar() const { return Gunzip(tarball); }

std::vector<std::string> CacheTest::Names() const {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(path())) {
    names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<BuiltImage> CacheTest::TryBuild(const std::vector<ArchiveEntry>& entries,
                                       const ImageWriter::Options& options) {
  const std::string stem = StemNumber(++built_);
  auto writer = ImageWriter::Create(directory_fd(), stem, options);
  if (!writer) return tl::unexpected(writer.error());
  if (auto added = AddAll(entries, writer->get()); !added) return tl::unexpected(added.error());
  auto summary = (*writer)->Finish(kBuiltAt);
  if (!summary) return tl::unexpected(summary.error());
  if (auto done = (*writer)->Commit(); !done) return tl::unexpected(done.error());
  auto image = Image::Open(directory_fd(), stem);
  if (!image) return tl::unexpected(image.error());
  const std::string tarball = options.beside_artifact ? ImageName(stem) : ArtifactName(stem);
  return BuiltImage{.summary = *summary,
                    .stem = stem,
                    .tarball = ReadWholeFile(PathOf(tarball)),
                    .index = ReadWholeFile(PathOf(IndexName(stem))),
                    .image = *image};
}

BuiltImage CacheTest::Build(const std::vector<ArchiveEntry>& entries,
                            const ImageWriter::Options& options) {
  auto built = TryBuild(entries, options);
  if (!built) throw std::runtime_error(Describe(built.error()));
  return *built;
}

std::string CacheTest::RefusalOf(const std::vector<ArchiveEntry>& entries,
                                 const ImageWriter::Options& options) {
  const auto built = TryBuild(entries, options);
  return built ? "accepted" : Describe(built.error());
}

std::string Describe(const Error& error) {
  return fmt::format("{}: {}", NameOf(error.code), error.message);
}

Result<std::string> ReadRange(const std::shared_ptr<const Image>& image, uint64_t offset,
                              size_t size, Image::Scratch* scratch) {
  std::vector<iovec> pieces;
  if (auto read = Image::Read(image, offset, size, scratch, &pieces); !read) {
    return tl::unexpected(read.error());
  }
  std::string bytes;
  for (const iovec& piece : pieces) {
    bytes.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
  }
  return bytes;
}

const IndexRecord& RecordOf(const Image& image, std::string_view path) {
  uint32_t number = Index::kRoot;
  while (!path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    const auto child = image.index().FindChild(image.index().record(number), path.substr(0, slash));
    if (!child) throw std::runtime_error(fmt::format("no {} in the index", path));
    number = *child;
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return image.index().record(number);
}

std::string ReadWholeFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

void WriteWholeFile(const std::string& path, std::string_view contents) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(contents.data(), static_cast<std::streamsize>(contents.size()));
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

std::string Gunzip(std::string_view file) {
  inflate_state state{};
  isal_inflate_init(&state);
  state.crc_flag = ISAL_GZIP;
  std::string input(file);
  std::string output(file.size() + 1, '\0');  // stored blocks never expand
  state.next_in = reinterpret_cast<uint8_t*>(input.data());
  state.avail_in = static_cast<uint32_t>(input.size());
  state.next_out = reinterpret_cast<uint8_t*>(output.data());
  state.avail_out = static_cast<uint32_t>(output.size());
  const int result = isal_inflate(&state);
  if (result != ISAL_DECOMP_OK || state.block_state != ISAL_BLOCK_FINISH || state.avail_in != 0) {
    throw std::runtime_error(fmt::format("not one whole gzip member (ISA-L says {})", result));
  }
  output.resize(state.total_out);
  return output;
}

std::string Shell(const std::string& command) {
  FILE* pipe = popen(("{ " + command + "; } 2>&1").c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("cannot run " + command);
  std::string output;
  for (int c = fgetc(pipe); c != EOF; c = fgetc(pipe)) output += static_cast<char>(c);
  const int status = pclose(pipe);
  EXPECT_EQ(status, 0) << command << "\n" << output;
  return output;
}

FileSizeLimit::FileSizeLimit(rlim_t bytes) {
  signal(SIGXFSZ, SIG_IGN);  // so that write fails instead
  EXPECT_EQ(getrlimit(RLIMIT_FSIZE, &before_), 0);
  const rlimit limit{bytes, before_.rlim_max};
  EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

FileSizeLimit::~FileSizeLimit() { setrlimit(RLIMIT_FSIZE, &before_); }

std::string NoiseBytes(size_t size, uint32_t seed) {
  std::mt19937_64 random(seed);
  std::string bytes;
  bytes.reserve(size + sizeof(uint64_t));
  while (bytes.size() < size) {
    const uint64_t word = random();
    bytes.append(reinterpret_cast<const char*>(&word), sizeof(word));
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace ocirepofs
