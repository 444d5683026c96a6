#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cache/file.h"
#include "cache/stored_gzip.h"
#include "cache/tar_format.h"
#include "cache/tree_builder.h"
#include "conf/digest.h"
#include "conf/ignore/ignore.h"

namespace ocirepofs {

/// Makes the image of one revision, tarball and index, out of an archive's entries as they arrive.
/// Bounded by what it is told, whatever arrives. One thread at a time.
///
/// The tarball's entries stand in Flux's order. An archive whose entries come in that order, and
/// whose `.sourceignore` files change no earlier decision, is written once, as it arrives;
/// otherwise what was written serves as the spool from which the tarball is written anew.
///
/// Nothing shows under its final name before Commit; what was not committed is removed with the
/// writer.
class ImageWriter {
 public:
  struct Options {
    std::optional<std::string> ignore;  // spec.ignore
    bool filter = true;                 // false: no rule applies, not even the defaults
    bool beside_artifact = false;       // the artifact itself is another file (ImageName)
    uint64_t max_size = UINT64_MAX;     // bytes of all contents
    uint64_t max_files = UINT32_MAX;    // entries
  };

  struct Summary {
    Digest digest;               // of the tarball
    uint64_t size = 0;           // of the tarball, in bytes
    uint32_t skipped_links = 0;  // symbolic links that lead outside, or lost their name
    bool hides_status = false;   // the root holds a `.status` of its own
  };

  /// `directory_fd` stays the caller's and outlives the writer.
  static Result<std::unique_ptr<ImageWriter>> Create(int directory_fd, std::string stem,
                                                     Options options);
  ~ImageWriter();
  ImageWriter(const ImageWriter&) = delete;
  ImageWriter& operator=(const ImageWriter&) = delete;

  // Errors of these: kMalformed, kLimitExceeded, kStorage. After one, the writer is of no more use.
  Result<void> AddDirectory(std::string_view path);
  /// Followed by AppendContents until `size` bytes were given.
  Result<void> AddFile(std::string_view path, bool executable, uint64_t size);
  Result<void> AppendContents(std::span<const std::byte> data);
  Result<void> AddSymlink(std::string_view path, std::string_view target);
  Result<void> AddHardLink(std::string_view path, std::string_view target);

  /// How many entries were added so far.
  uint64_t entry_count() const { return total_entries_; }

  /// Completes both files and syncs them. REQUIRES: every file's contents were given.
  Result<Summary> Finish(int64_t modification_time);

  /// Gives both files their final names. REQUIRES: Finish succeeded.
  Result<void> Commit();

 private:
  /// Where the bytes of a file are.
  enum class Place { kTarball, kParked };
  struct Content {
    uint64_t size = 0;
    uint64_t offset = 0;  // in the tar stream, or in the parked file
    Place place = Place::kTarball;
  };
  /// One entry of the tarball.
  struct Entry {
    uint32_t node;
    uint32_t content;
    friend bool operator==(const Entry&, const Entry&) = default;
  };

  ImageWriter(int directory_fd, std::string stem, Options options);

  std::string TarballName() const;
  Result<void> CheckCount() const;
  bool Excludes(uint32_t node) const;
  Result<void> WriteHeader(uint32_t node);
  Result<void> WriteAncestors(uint32_t node);
  Result<void> WritePadding(uint64_t size);
  Result<void> OpenParked();
  Result<void> StartContents(uint32_t node, uint64_t size);
  Result<void> EndContents();
  Result<void> ReadRules();
  std::vector<Entry> WantedEntries() const;
  Result<void> ReadContents(const StoredGzipWriter& tarball, const Content& content,
                            uint64_t offset, std::span<std::byte> data) const;
  Result<void> Rewrite(const std::vector<Entry>& wanted);
  Result<void> CopyContents(const StoredGzipWriter& from, const Content& content);
  Result<void> WriteIndex(const std::vector<Entry>& wanted, int64_t modification_time);

  const int directory_fd_;
  const std::string stem_;
  const Options options_;

  TreeBuilder tree_;
  std::vector<Content> contents_;     // by the tree's number
  std::vector<uint32_t> written_by_;  // content → node whose entry carries it, in this tarball
  std::vector<bool> seen_;            // node → its entry was decided on while streaming
  std::vector<Entry> entries_;        // the tarball so far
  uint64_t total_size_ = 0;
  uint64_t total_entries_ = 0;

  IgnoreRules rules_;  // as far as they are known

  uint64_t remaining_ = 0;  // bytes still to come of the file being added
  Place place_ = Place::kTarball;
  /// The rules' text, while the file being added is a `.sourceignore`, and whose it is.
  std::optional<std::string> source_ignore_text_;
  uint32_t source_ignore_node_ = TreeBuilder::kRoot;
  uint64_t source_ignore_size_ = 0;  // of all of them

  UniqueFd tarball_;
  std::unique_ptr<StoredGzipWriter> writer_;
  UniqueFd parked_;  // contents of files that are left out unless a later rule brings them back
  uint64_t parked_size_ = 0;
  std::vector<std::string> temporary_names_;
  bool hides_status_ = false;
  bool finished_ = false;
};

}  // namespace ocirepofs
