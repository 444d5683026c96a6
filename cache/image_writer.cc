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
    : directory_fd_(directory_fd), stem_(std::move(stem)), options_(std::move(options)) {
  LearnRules();
}

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

Result<void> ImageWriter::CountEntry() {
  if (++total_entries_ > options_.max_files) {
    return Fail(ErrorCode::kLimitExceeded,
                "the artifact holds more than {} entries (mount option max_files)",
                options_.max_files);
  }
  return {};
}

void ImageWriter::LearnRules() {
  rules_ = std::make_unique<IgnoreRules>(source_ignore_, options_.ignore);
}

bool ImageWriter::Excludes(uint32_t node) const {
  return options_.filter &&
         rules_->Excludes(tree_.Components(node), tree_.node(node).type == NodeType::kDirectory);
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
  if (auto counted = CountEntry(); !counted) return counted;
  Result<uint32_t> node = tree_.AddDirectory(path);
  if (!node) return tl::unexpected(node.error());
  return WriteAncestors(*node);
}

Result<void> ImageWriter::AddFile(std::string_view path, bool executable, uint64_t size) {
  if (auto counted = CountEntry(); !counted) return counted;
  if (size > options_.max_size - total_size_) {
    return Fail(ErrorCode::kLimitExceeded,
                "the artifact's contents are larger than {} bytes (mount option max_size)",
                options_.max_size);
  }
  total_size_ += size;
  Result<uint32_t> node = tree_.AddFile(path, executable);
  if (!node) return tl::unexpected(node.error());
  return StartContents(*node, size);
}

Result<void> ImageWriter::StartContents(uint32_t number, uint64_t size) {
  if (auto written = WriteAncestors(tree_.node(number).parent); !written) return written;
  seen_.resize(tree_.size());
  seen_[number] = true;
  contents_.push_back({.size = size});
  written_by_.push_back(TreeBuilder::kNone);
  Content& content = contents_.back();
  remaining_ = size;

  const auto components = tree_.Components(number);
  if (!options_.filter || !rules_->Excludes(components, false)) {
    if (auto written = WriteHeader(number); !written) return written;
    content.place = Place::kTarball;
    content.offset = writer_->expanded_size();
  } else if (!rules_->SpecDecides(components, false)) {
    if (!parked_.valid()) {
      Result<UniqueFd> fd = OpenAt(directory_fd_, ".", O_TMPFILE | O_RDWR, 0600);
      if (!fd) return tl::unexpected(fd.error());
      parked_ = std::move(*fd);
    }
    content.place = Place::kParked;
    content.offset = parked_size_;
  }
  place_ = content.place;
  source_ignore_text_ = nullptr;
  if (options_.filter && components.back() == kSourceIgnoreFile) {
    if (size > kMaxSourceIgnoreSize) {
      return Fail(ErrorCode::kLimitExceeded, "{} is larger than {} bytes", tree_.Path(number),
                  kMaxSourceIgnoreSize);
    }
    source_ignore_text_ = &source_ignore_files_.emplace_back(number, "").second;
  }
  return remaining_ == 0 ? EndContents() : Result<void>();
}

Result<void> ImageWriter::AppendContents(std::span<const std::byte> data) {
  if (data.empty()) return {};
  if (data.size() > remaining_) {
    return Fail(ErrorCode::kMalformed, "a tar entry holds more bytes than it says");
  }
  remaining_ -= data.size();
  if (source_ignore_text_ != nullptr) {
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
    case Place::kDropped:
      break;
  }
  if (!written || remaining_ > 0) return written;
  return EndContents();
}

Result<void> ImageWriter::EndContents() {
  if (source_ignore_text_ != nullptr) {
    const auto& [node, text] = source_ignore_files_.back();
    std::vector<std::string> domain;
    for (const std::string_view part : tree_.Components(tree_.node(node).parent)) {
      domain.emplace_back(part);
    }
    const auto patterns = ParseIgnoreFile(text, domain);
    source_ignore_.insert(source_ignore_.end(), patterns.begin(), patterns.end());
    LearnRules();
    source_ignore_text_ = nullptr;
  }
  if (place_ != Place::kTarball) return {};
  return WritePadding(contents_.back().size);
}

Result<void> ImageWriter::AddSymlink(std::string_view path, std::string_view target) {
  if (auto counted = CountEntry(); !counted) return counted;
  Result<uint32_t> node = tree_.AddSymlink(path, target);
  if (!node) return tl::unexpected(node.error());
  if (*node == TreeBuilder::kNone) {
    ++skipped_links_;
    return {};
  }
  return WriteAncestors(*node);
}

Result<void> ImageWriter::AddHardLink(std::string_view path, std::string_view target) {
  if (auto counted = CountEntry(); !counted) return counted;
  Result<uint32_t> node = tree_.AddHardLink(path, target);
  if (!node) return tl::unexpected(node.error());
  if (auto written = WriteAncestors(tree_.node(*node).parent); !written) return written;
  seen_.resize(tree_.size());
  seen_[*node] = true;
  // Contents that are not in the tarball can only be linked to in a second writing.
  if (Excludes(*node) || written_by_[tree_.node(*node).content] == TreeBuilder::kNone) return {};
  return WriteHeader(*node);
}

std::vector<ImageWriter::Entry> ImageWriter::WantedEntries() {
  // What was learned in order of arrival, now in the order that counts: the root's file first, then
  // depth first by name. A file that a later entry replaced, or that lies in a `.git`, is not read.
  source_ignore_.clear();
  tree_.Walk(TreeBuilder::kRoot, [this](uint32_t directory) {
    const auto& children = tree_.node(directory).children;
    const auto file = children.find(kSourceIgnoreFile);
    if (file == children.end()) return;
    const auto domain = tree_.Components(directory);
    if (std::find(domain.begin(), domain.end(), ".git") != domain.end()) return;
    for (auto i = source_ignore_files_.rbegin(); i != source_ignore_files_.rend(); ++i) {
      if (i->first != file->second) continue;
      const auto patterns =
          ParseIgnoreFile(i->second, std::vector<std::string>(domain.begin(), domain.end()));
      source_ignore_.insert(source_ignore_.end(), patterns.begin(), patterns.end());
      break;
    }
  });
  LearnRules();

  std::vector<Entry> wanted;
  tree_.Walk(TreeBuilder::kRoot, [this, &wanted](uint32_t node) {
    if (!Excludes(node)) wanted.push_back({node, tree_.node(node).content});
  });
  return wanted;
}

Result<void> ImageWriter::CopyContents(StoredGzipWriter* from, const Content& content) {
  std::vector<std::byte> buffer(std::min<uint64_t>(content.size, kCopySize));
  for (uint64_t done = 0; done < content.size; done += buffer.size()) {
    buffer.resize(std::min<uint64_t>(content.size - done, kCopySize));
    const uint64_t offset = content.offset + done;
    Result<void> read =
        content.place == Place::kParked
            ? ReadExactly(parked_.get(), buffer, static_cast<off_t>(offset), "the spool file")
            : from->ReadBack(offset, buffer);
    if (!read) return read;
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
    if (auto copied = CopyContents(spool_writer.get(), content); !copied) return copied;
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
  skipped_links_ += tree_.RemoveEscapingSymlinks();
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
  const auto& root = tree_.node(TreeBuilder::kRoot).children;
  const auto status = root.find(".status");
  return Summary{.digest = writer_->file_digest(),
                 .size = writer_->file_size(),
                 .skipped_links = skipped_links_,
                 .hides_status = status != root.end() && !Excludes(status->second)};
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
