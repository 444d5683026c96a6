#include "cache/image_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "cache/names.h"

namespace ocirepofs {
namespace {

constexpr size_t kMaxSourceIgnoreSize = size_t{4} << 20;
constexpr size_t kCopySize = size_t{1} << 20;
constexpr std::array<std::byte, kTarEndSize> kZeros{};

Result<void> Sync(int fd, std::string_view what) {
  if (fsync(fd) != 0) return FailErrno(errno, fmt::format("cannot sync {}", what));
  return {};
}

}  // namespace

ImageWriter::ImageWriter(int directory_fd, std::string stem, Options options)
    : directory_fd_(directory_fd),
      stem_(std::move(stem)),
      options_(std::move(options)),
      rules_({}, options_.ignore) {}

Result<std::unique_ptr<ImageWriter>> ImageWriter::Create(int directory_fd, std::string stem,
                                                         Options options) {
  std::unique_ptr<ImageWriter> writer(
      new ImageWriter(directory_fd, std::move(stem), std::move(options)));
  const std::string name = TemporaryName(writer->TarballName());
  Result<UniqueFd> fd = OpenAt(directory_fd, name, O_RDWR | O_CREAT | O_TRUNC, 0600);
  if (!fd) return tl::unexpected(fd.error());
  writer->temporary_names_.push_back(name);
  writer->tarball_ = std::move(*fd);
  writer->writer_ = std::make_unique<StoredGzipWriter>(writer->tarball_.get());
  if (auto root = writer->WriteAncestors(TreeBuilder::kRoot); !root) {
    return tl::unexpected(root.error());
  }
  return writer;
}

ImageWriter::~ImageWriter() {
  for (const std::string& name : temporary_names_) unlinkat(directory_fd_, name.c_str(), 0);
}

std::string ImageWriter::TarballName() const {
  return options_.beside_artifact ? ImageName(stem_) : ArtifactName(stem_);
}

/// Directories that are only implied by names below them count as well: each is a node and a
/// header.
Result<void> ImageWriter::CheckCount() const {
  if (total_entries_ > options_.max_files || tree_.size() - 1 > options_.max_files) {
    return Fail(ErrorCode::kLimitExceeded,
                "the artifact holds more than {} entries (mount option max_files)",
                options_.max_files);
  }
  return {};
}

bool ImageWriter::Excludes(uint32_t node) const {
  return options_.filter &&
         rules_.Excludes(tree_.Components(node), tree_.node(node).type == NodeType::kDirectory);
}

Result<void> ImageWriter::WriteHeader(uint32_t number) {
  const TreeBuilder::Node& node = tree_.node(number);
  const std::string path = tree_.Path(number);
  std::string link;
  TarEntry entry{.name = path, .executable = node.executable};
  switch (node.type) {
    case NodeType::kDirectory:
      entry.type = TarType::kDirectory;
      break;
    case NodeType::kSymlink:
      entry.type = TarType::kSymlink;
      entry.link_name = node.target;
      break;
    case NodeType::kFile: {
      uint32_t& writer = written_by_[node.content];
      if (writer == TreeBuilder::kNone) {
        writer = number;
        entry.size = contents_[node.content].size;
      } else {
        entry.type = TarType::kHardLink;
        link = tree_.Path(writer);
        entry.link_name = link;
      }
      break;
    }
  }
  const std::string header = TarHeader(entry);
  entries_.push_back({number, node.content});
  return writer_->Write(std::as_bytes(std::span(header)));
}

Result<void> ImageWriter::WriteAncestors(uint32_t number) {
  seen_.resize(tree_.size());
  std::vector<uint32_t> unseen;
  for (; !seen_[number]; number = tree_.node(number).parent) {
    seen_[number] = true;
    unseen.push_back(number);
  }
  for (auto i = unseen.rbegin(); i != unseen.rend(); ++i) {
    if (Excludes(*i)) continue;
    if (auto written = WriteHeader(*i); !written) return written;
  }
  return {};
}

Result<void> ImageWriter::WritePadding(uint64_t size) {
  return writer_->Write(std::span(kZeros).first(TarPadding(size)));
}

Result<void> ImageWriter::AddDirectory(std::string_view path) {
  ++total_entries_;
  Result<uint32_t> node = tree_.AddDirectory(path);
  if (!node) return tl::unexpected(node.error());
  if (auto counted = CheckCount(); !counted) return counted;
  return WriteAncestors(*node);
}

Result<void> ImageWriter::AddFile(std::string_view path, bool executable, uint64_t size) {
  ++total_entries_;
  if (size > options_.max_size - total_size_) {
    return Fail(ErrorCode::kLimitExceeded,
                "the artifact's contents are larger than {} bytes (mount option max_size)",
                options_.max_size);
  }
  total_size_ += size;
  Result<uint32_t> node = tree_.AddFile(path, executable);
  if (!node) return tl::unexpected(node.error());
  if (auto counted = CheckCount(); !counted) return counted;
  return StartContents(*node, size);
}

Result<void> ImageWriter::OpenParked() {
  if (parked_.valid()) return {};
  const std::string name = TemporaryName(stem_ + ".parked");
  Result<UniqueFd> fd = OpenAt(directory_fd_, name, O_RDWR | O_CREAT | O_TRUNC, 0600);
  if (!fd) return tl::unexpected(fd.error());
  unlinkat(directory_fd_, name.c_str(), 0);  // it lives as long as the descriptor
  parked_ = std::move(*fd);
  return {};
}

Result<void> ImageWriter::StartContents(uint32_t number, uint64_t size) {
  if (auto written = WriteAncestors(tree_.node(number).parent); !written) return written;
  seen_.resize(tree_.size());
  seen_[number] = true;
  contents_.push_back({.size = size});
  written_by_.push_back(TreeBuilder::kNone);
  Content& content = contents_.back();
  remaining_ = size;

  if (!Excludes(number)) {
    if (auto written = WriteHeader(number); !written) return written;
    content.place = Place::kTarball;
    content.offset = writer_->expanded_size();
  } else {
    // Kept aside: a later rule, or a hard link by another name, may ask for it.
    if (auto opened = OpenParked(); !opened) return opened;
    content.place = Place::kParked;
    content.offset = parked_size_;
  }
  place_ = content.place;
  source_ignore_text_.reset();
  if (options_.filter && tree_.node(number).name == kSourceIgnoreFile) {
    source_ignore_size_ += size;
    if (source_ignore_size_ > kMaxSourceIgnoreSize) {
      return Fail(ErrorCode::kLimitExceeded, "the artifact's {} files are larger than {} bytes",
                  kSourceIgnoreFile, kMaxSourceIgnoreSize);
    }
    source_ignore_text_.emplace();
    source_ignore_node_ = number;
  }
  return remaining_ == 0 ? EndContents() : Result<void>();
}

Result<void> ImageWriter::AppendContents(std::span<const std::byte> data) {
  if (data.empty()) return {};
  if (data.size() > remaining_) {
    return Fail(ErrorCode::kMalformed, "a tar entry holds more bytes than it says");
  }
  remaining_ -= data.size();
  if (source_ignore_text_) {
    source_ignore_text_->append(reinterpret_cast<const char*>(data.data()), data.size());
  }
  Result<void> written;
  switch (place_) {
    case Place::kTarball:
      written = writer_->Write(data);
      break;
    case Place::kParked:
      written = WriteAll(parked_.get(), data, "the spool file");
      parked_size_ += data.size();
      break;
  }
  if (!written || remaining_ > 0) return written;
  return EndContents();
}

Result<void> ImageWriter::EndContents() {
  if (source_ignore_text_) {
    rules_.Add(ParseIgnoreFile(*source_ignore_text_,
                               tree_.Domain(tree_.node(source_ignore_node_).parent)));
    source_ignore_text_.reset();
  }
  if (place_ != Place::kTarball) return {};
  return WritePadding(contents_.back().size);
}

Result<void> ImageWriter::AddSymlink(std::string_view path, std::string_view target) {
  ++total_entries_;
  Result<uint32_t> node = tree_.AddSymlink(path, target);
  if (!node) return tl::unexpected(node.error());
  if (auto counted = CheckCount(); !counted) return counted;
  if (*node == TreeBuilder::kNone) return {};
  return WriteAncestors(*node);
}

Result<void> ImageWriter::AddHardLink(std::string_view path, std::string_view target) {
  ++total_entries_;
  Result<uint32_t> node = tree_.AddHardLink(path, target);
  if (!node) return tl::unexpected(node.error());
  if (auto counted = CheckCount(); !counted) return counted;
  if (auto written = WriteAncestors(tree_.node(*node).parent); !written) return written;
  seen_.resize(tree_.size());
  seen_[*node] = true;
  // Contents that are not in the tarball can only be linked to in a second writing.
  if (Excludes(*node) || written_by_[tree_.node(*node).content] == TreeBuilder::kNone) return {};
  return WriteHeader(*node);
}

/// Learns the rules anew: what was learned in order of arrival, from files that may since have been
/// replaced, now from the files that are there, in the order that counts: the root's first, then
/// depth first by name. Those in a `.git` are not read.
Result<void> ImageWriter::ReadRules() {
  rules_ = IgnoreRules({}, options_.ignore);
  std::vector<uint32_t> directories;
  tree_.Walk(TreeBuilder::kRoot, [this, &directories](uint32_t node) {
    if (tree_.node(node).children.contains(kSourceIgnoreFile)) directories.push_back(node);
  });
  for (const uint32_t directory : directories) {
    const auto& file = tree_.node(tree_.node(directory).children.find(kSourceIgnoreFile)->second);
    const std::vector<std::string> domain = tree_.Domain(directory);
    if (file.type != NodeType::kFile ||
        std::find(domain.begin(), domain.end(), ".git") != domain.end()) {
      continue;
    }
    const Content& content = contents_[file.content];
    if (content.size > kMaxSourceIgnoreSize) {
      return Fail(ErrorCode::kLimitExceeded, "a {} is larger than {} bytes", kSourceIgnoreFile,
                  kMaxSourceIgnoreSize);
    }
    std::string text(content.size, '\0');
    if (auto read = ReadContents(*writer_, content, 0, std::as_writable_bytes(std::span(text)));
        !read) {
      return read;
    }
    rules_.Add(ParseIgnoreFile(text, domain));
  }
  return {};
}

std::vector<ImageWriter::Entry> ImageWriter::WantedEntries() const {
  std::vector<Entry> wanted;
  tree_.Walk(TreeBuilder::kRoot, [this, &wanted](uint32_t node) {
    if (!Excludes(node)) wanted.push_back({node, tree_.node(node).content});
  });
  return wanted;
}

Result<void> ImageWriter::ReadContents(const StoredGzipWriter& tarball, const Content& content,
                                       uint64_t offset, std::span<std::byte> data) const {
  switch (content.place) {
    case Place::kTarball:
      return tarball.ReadBack(content.offset + offset, data);
    case Place::kParked:
      return ReadExactly(parked_.get(), data, static_cast<off_t>(content.offset + offset),
                         "the spool file");
  }
  return {};
}

Result<void> ImageWriter::CopyContents(const StoredGzipWriter& from, const Content& content) {
  std::vector<std::byte> buffer;
  for (uint64_t done = 0; done < content.size; done += buffer.size()) {
    buffer.resize(std::min<uint64_t>(content.size - done, kCopySize));
    if (auto read = ReadContents(from, content, done, buffer); !read) return read;
    if (auto written = writer_->Write(buffer); !written) return written;
  }
  return WritePadding(content.size);
}

Result<void> ImageWriter::Rewrite(const std::vector<Entry>& wanted) {
  const std::string name = TemporaryName(TarballName() + ".sorted");
  Result<UniqueFd> fd = OpenAt(directory_fd_, name, O_RDWR | O_CREAT | O_TRUNC, 0600);
  if (!fd) return tl::unexpected(fd.error());
  const UniqueFd spool = std::exchange(tarball_, std::move(*fd));
  const std::unique_ptr<StoredGzipWriter> spool_writer =
      std::exchange(writer_, std::make_unique<StoredGzipWriter>(tarball_.get()));
  unlinkat(directory_fd_, temporary_names_.front().c_str(), 0);
  temporary_names_.front() = name;

  entries_.clear();
  std::fill(written_by_.begin(), written_by_.end(), TreeBuilder::kNone);
  for (const Entry& entry : wanted) {
    if (auto written = WriteHeader(entry.node); !written) return written;
    if (entry.content == TreeBuilder::kNone || written_by_[entry.content] != entry.node) continue;
    Content& content = contents_[entry.content];
    const uint64_t offset = writer_->expanded_size();
    if (auto copied = CopyContents(*spool_writer, content); !copied) return copied;
    content.place = Place::kTarball;
    content.offset = offset;
  }
  return {};
}

Result<void> ImageWriter::WriteIndex(const std::vector<Entry>& wanted, int64_t modification_time) {
  // A directory that the rules leave out is shown all the same where something below it is kept.
  std::vector<bool> present(tree_.size());
  for (const Entry& entry : wanted) {
    for (uint32_t node = entry.node; !present[node]; node = tree_.node(node).parent) {
      present[node] = true;
    }
  }

  const auto& root = tree_.node(TreeBuilder::kRoot).children;
  const auto status = root.find(".status");
  hides_status_ = status != root.end() && present[status->second];

  std::vector<uint32_t> order = {TreeBuilder::kRoot};  // record → node, breadth first
  std::vector<IndexRecord> records;
  std::string strings;
  std::vector<uint32_t> parents = {Index::kRoot};
  for (uint32_t number = 0; number < order.size(); ++number) {
    const TreeBuilder::Node& node = tree_.node(order[number]);
    IndexRecord record{};
    record.name_offset = static_cast<uint32_t>(strings.size());
    record.name_size = static_cast<uint16_t>(node.name.size());
    record.type = node.type;
    record.executable = node.executable ? 1 : 0;
    record.parent = parents[number];
    strings += node.name;
    switch (node.type) {
      case NodeType::kDirectory:
        record.first_child = static_cast<uint32_t>(order.size());
        for (const auto& [name, child] : node.children) {
          if (!present[child]) continue;
          order.push_back(child);
          parents.push_back(number);
          if (tree_.node(child).type == NodeType::kDirectory) ++record.subdirectory_count;
        }
        record.child_count = static_cast<uint32_t>(order.size()) - record.first_child;
        break;
      case NodeType::kFile:
        record.offset = contents_[node.content].offset;
        record.size = contents_[node.content].size;
        break;
      case NodeType::kSymlink:
        record.offset = strings.size();
        record.size = node.target.size();
        strings += node.target;
        break;
    }
    records.push_back(record);
  }

  const IndexFacts facts{.tar_size = writer_->expanded_size(),
                         .image_digest = writer_->file_digest(),
                         .tar_checksum = writer_->expanded_checksum(),
                         .modification_time = modification_time};
  const std::string bytes = Index::Encode(facts, records, strings, writer_->block_checksums());
  const std::string name = TemporaryName(IndexName(stem_));
  Result<UniqueFd> fd = OpenAt(directory_fd_, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (!fd) return tl::unexpected(fd.error());
  temporary_names_.push_back(name);
  auto written = WriteAll(fd->get(), std::as_bytes(std::span(bytes)), name);
  return written ? Sync(fd->get(), name) : written;
}

Result<ImageWriter::Summary> ImageWriter::Finish(int64_t modification_time) {
  if (remaining_ > 0) {
    return Fail(ErrorCode::kMalformed, "tar error: unexpected EOF in the contents of a file");
  }
  const uint32_t escaping_links = tree_.RemoveEscapingSymlinks();
  if (auto read = ReadRules(); !read) return tl::unexpected(read.error());
  const std::vector<Entry> wanted = WantedEntries();
  if (wanted != entries_ || tree_.replaced_any()) {
    if (auto rewritten = Rewrite(wanted); !rewritten) return tl::unexpected(rewritten.error());
  }
  if (auto end = writer_->Write(kZeros); !end) return tl::unexpected(end.error());
  if (auto done = writer_->Finish(); !done) return tl::unexpected(done.error());
  if (auto synced = Sync(tarball_.get(), TarballName()); !synced) {
    return tl::unexpected(synced.error());
  }
  if (auto indexed = WriteIndex(wanted, modification_time); !indexed) {
    return tl::unexpected(indexed.error());
  }
  finished_ = true;
  return Summary{.digest = writer_->file_digest(),
                 .size = writer_->file_size(),
                 .skipped_links = tree_.replaced_links() + escaping_links,
                 .hides_status = hides_status_};
}

Result<void> ImageWriter::Commit() {
  if (!finished_) return Fail(ErrorCode::kStorage, "the image is not complete");
  // The index first: a tarball under its final name always has one.
  const std::string tarball = temporary_names_[0];
  const std::string index = temporary_names_[1];
  if (auto done = CommitAt(directory_fd_, index, IndexName(stem_)); !done) return done;
  if (auto done = CommitAt(directory_fd_, tarball, TarballName()); !done) return done;
  temporary_names_.clear();
  return {};
}

}  // namespace ocirepofs
