#pragma once

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cache/image.h"
#include "cache/image_writer.h"
#include "tests/support/temporary_directory.h"

namespace ocirepofs {

/// One entry of an archive, in the order of its arrival.
struct ArchiveEntry {
  enum class Kind { kDirectory, kFile, kExecutable, kSymlink, kHardLink };
  Kind kind;
  std::string path;
  std::string text = {};  // contents, or target
};
ArchiveEntry Directory(std::string path);
ArchiveEntry File(std::string path, std::string contents);
ArchiveEntry Executable(std::string path, std::string contents);
ArchiveEntry Symlink(std::string path, std::string target);
ArchiveEntry HardLink(std::string path, std::string target);

/// Modification time of every image that a test builds.
inline constexpr int64_t kBuiltAt = 1795519416;

/// A revision's stem: 64 digits.
std::string StemNumber(int number);

/// Gives `entries` to `writer`, up to the first that it refuses.
Result<void> AddAll(const std::vector<ArchiveEntry>& entries, ImageWriter* writer);

/// An image that was built, committed and opened.
struct BuiltImage {
  ImageWriter::Summary summary;
  std::string stem;
  std::string tarball;  // bytes of the file
  std::string index;    // likewise
  std::shared_ptr<const Image> image;

  /// The tar stream, inflated by ISA-L, which checks CRC and length.
  std::string Tar() const;
};

/// A directory in which images are built. Each has a stem of its own.
class CacheTest : public testing::Test {
 protected:
  const std::string& path() const { return directory_.path(); }
  int directory_fd() const { return directory_.fd(); }
  /// Full name of a file in the directory.
  std::string PathOf(const std::string& name) const { return path() + "/" + name; }
  /// Names in the directory, sorted.
  std::vector<std::string> Names() const;

  Result<BuiltImage> TryBuild(const std::vector<ArchiveEntry>& entries,
                              const ImageWriter::Options& options = {});
  /// As TryBuild; throws where that fails, which GoogleTest counts as a failure.
  BuiltImage Build(const std::vector<ArchiveEntry>& entries,
                   const ImageWriter::Options& options = {});
  /// What is said when the entries are refused; "accepted" when they are not.
  std::string RefusalOf(const std::vector<ArchiveEntry>& entries,
                        const ImageWriter::Options& options = {});

 private:
  TemporaryDirectory directory_;
  int built_ = 0;
};

/// "kCorrupt: message", to compare code and message at once; "success" without an error.
template <class T>
std::string Outcome(const Result<T>& result);
std::string Describe(const Error& error);

template <class T>
std::string Outcome(const Result<T>& result) {
  return result ? "success" : Describe(result.error());
}

/// Reads a range of the tar stream.
Result<std::string> ReadRange(const std::shared_ptr<const Image>& image, uint64_t offset,
                              size_t size, Image::Scratch* scratch);
/// The record of a path such as "a/b"; throws where there is none.
const IndexRecord& RecordOf(const Image& image, std::string_view path);

std::string ReadWholeFile(const std::string& path);
void WriteWholeFile(const std::string& path, std::string_view contents);
/// The contents of a gzip file, checked.
std::string Gunzip(std::string_view file);

/// What a shell command wrote, standard error included; a status that is not 0 fails the test.
std::string Shell(const std::string& command);

/// While it lives, no file can grow beyond `bytes`: as a full disk does it.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes);
  ~FileSizeLimit();
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
};

/// Bytes without a pattern, the same for the same seed.
std::string NoiseBytes(size_t size, uint32_t seed);

}  // namespace ocirepofs
