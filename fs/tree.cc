#include "fs/tree.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <ctime>

#include "fs/status_table.h"
#include "fs/status_text.h"

namespace ocirepofs {
namespace {

using Node = Tree::Node;

constexpr std::string_view kStatusName = ".status";
constexpr Node kUpperBit = Node{1} << 62;  // directories of namespaces
constexpr off_t kStatusCookie = 1;         // children of a revision's root count from here
constexpr mode_t kPermissionBits = 0777;
constexpr blksize_t kPreferredBlockSize = 128 * 1024;

Node MakeNode(uint32_t serial, uint32_t record) { return Node{serial} << 32 | record; }
uint32_t SerialOf(Node node) { return static_cast<uint32_t>(node >> 32); }
uint32_t RecordOf(Node node) { return static_cast<uint32_t>(node); }
bool IsStatus(Node node) { return (node & StatusFiles::kBit) != 0; }
bool IsUpper(Node node) { return node == Tree::kRoot || (node & kUpperBit) != 0; }

timespec WallNow() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return now;
}

void SetSize(uint64_t size, struct stat* attributes) {
  attributes->st_size = static_cast<off_t>(size);
  attributes->st_blocks = static_cast<blkcnt_t>((size + 511) / 512);
}

}  // namespace

Tree::Tree(const Catalog* catalog, const Clock* clock, Options options)
    : catalog_(catalog), clock_(clock), options_(std::move(options)) {
  upper_[kRoot].changed = WallNow();
}

/// REQUIRES: upper_mutex_ is held.
void Tree::AddName(Node parent, UpperDirectory::Child child, std::vector<NameChange>* changes) {
  UpperDirectory& directory = upper_[parent];
  changes->push_back({parent, child.name});
  directory.ordinals[child.name] = next_ordinal_;
  directory.children[next_ordinal_++] = std::move(child);
  directory.changed = WallNow();
}

/// REQUIRES: upper_mutex_ is held; the name is there.
void Tree::RemoveName(Node parent, const std::string& name, std::vector<NameChange>* changes) {
  UpperDirectory& directory = upper_[parent];
  const auto ordinal = directory.ordinals.find(name);
  directory.children.erase(ordinal->second);
  directory.ordinals.erase(ordinal);
  directory.changed = WallNow();
  changes->push_back({parent, name});
}

/// The directory that holds the repository's name. REQUIRES: upper_mutex_ is held.
std::optional<Node> Tree::ParentOf(const ObjectKey& key) const {
  if (options_.layout == Layout::kFlat) return kRoot;
  const auto space = spaces_.find(key.namespace_name);
  if (space == spaces_.end()) return std::nullopt;
  return space->second;
}

std::vector<Tree::NameChange> Tree::AddRepository(const ObjectKey& key) {
  const std::lock_guard lock(upper_mutex_);
  std::vector<NameChange> changes;
  if (options_.layout == Layout::kNamespaced) {
    const auto [space, is_new] = spaces_.try_emplace(key.namespace_name, 0);
    if (is_new) space->second = kUpperBit | spaces_.size();
    if (!upper_[kRoot].ordinals.contains(key.namespace_name)) {
      AddName(kRoot, {.name = key.namespace_name, .directory = space->second, .repository = {}},
              &changes);
    }
  }
  const Node parent = *ParentOf(key);
  std::vector<ObjectKey>& claims = upper_[parent].claims[key.name];
  if (std::find(claims.begin(), claims.end(), key) != claims.end()) return changes;
  claims.push_back(key);
  if (claims.size() == 1) {
    AddName(parent, {.name = key.name, .directory = 0, .repository = key}, &changes);
  }
  return changes;
}

std::vector<Tree::NameChange> Tree::RemoveRepository(const ObjectKey& key) {
  status_files_.Drop(key);
  const std::lock_guard lock(upper_mutex_);
  std::vector<NameChange> changes;
  const std::optional<Node> parent = ParentOf(key);
  if (!parent) return changes;
  UpperDirectory& directory = upper_[*parent];
  const auto claims = directory.claims.find(key.name);
  if (claims == directory.claims.end()) return changes;
  const bool had_the_name = claims->second.front() == key;
  std::erase(claims->second, key);
  if (had_the_name) {
    RemoveName(*parent, key.name, &changes);
    if (!claims->second.empty()) {
      AddName(*parent, {.name = key.name, .directory = 0, .repository = claims->second.front()},
              &changes);
    }
  }
  if (claims->second.empty()) directory.claims.erase(claims);
  if (*parent != kRoot && directory.children.empty()) {
    RemoveName(kRoot, key.namespace_name, &changes);
  }
  return changes;
}

std::optional<Tree::NameChange> Tree::Locate(const ObjectKey& key) const {
  const std::lock_guard lock(upper_mutex_);
  const std::optional<Node> parent = ParentOf(key);
  if (!parent) return std::nullopt;
  const auto directory = upper_.find(*parent);
  if (directory == upper_.end()) return std::nullopt;
  const auto claims = directory->second.claims.find(key.name);
  if (claims == directory->second.claims.end() || claims->second.front() != key) {
    return std::nullopt;
  }
  return NameChange{*parent, key.name};
}

std::shared_ptr<const Snapshot> Tree::FindSnapshot(Node node) const {
  const std::shared_lock lock(revisions_mutex_);
  const auto found = revisions_.find(SerialOf(node));
  if (found == revisions_.end()) return nullptr;
  // Numbers come back from the kernel, and are believed only as far as they can be true.
  if (RecordOf(node) >= found->second->snapshot->image->index().size()) return nullptr;
  return found->second->snapshot;
}

void Tree::Count(const std::shared_ptr<const Snapshot>& snapshot, uint64_t count) {
  {
    const std::shared_lock lock(revisions_mutex_);
    if (const auto found = revisions_.find(snapshot->serial); found != revisions_.end()) {
      found->second->count += count;
      return;
    }
  }
  const std::lock_guard lock(revisions_mutex_);
  std::unique_ptr<Revision>& revision = revisions_[snapshot->serial];
  if (revision == nullptr) revision = std::make_unique<Revision>(snapshot);
  revision->count += count;
}

void Tree::Forget(Node node, uint64_t count) {
  if (IsStatus(node)) return status_files_.Forget(node, count);
  if (IsUpper(node)) return;
  {
    const std::shared_lock lock(revisions_mutex_);
    const auto found = revisions_.find(SerialOf(node));
    if (found == revisions_.end() || found->second->count.fetch_sub(count) != count) return;
  }
  // The last count went; another lookup may have come since, so look again alone.
  std::unique_ptr<Revision> dropped;  // closes its files after the lock is released
  const std::lock_guard lock(revisions_mutex_);
  const auto found = revisions_.find(SerialOf(node));
  if (found == revisions_.end() || found->second->count != 0) return;
  dropped = std::move(found->second);
  revisions_.erase(found);
}

void Tree::Describe(const Snapshot& snapshot, uint32_t number, struct stat* attributes) const {
  const Index& index = snapshot.image->index();
  const IndexRecord& record = index.record(number);
  *attributes = {};
  attributes->st_ino = MakeNode(snapshot.serial, number);
  attributes->st_uid = options_.uid;
  attributes->st_gid = options_.gid;
  attributes->st_nlink = 1;
  attributes->st_blksize = kPreferredBlockSize;
  attributes->st_mtim.tv_sec = index.facts().modification_time;
  attributes->st_ctim = attributes->st_atim = attributes->st_mtim;
  SetSize(record.size, attributes);
  switch (record.type) {
    case NodeType::kDirectory:
      attributes->st_mode = S_IFDIR | (0555 & ~options_.umask);
      attributes->st_nlink = 2 + record.subdirectory_count;
      SetSize(4096, attributes);
      break;
    case NodeType::kFile:
      attributes->st_mode = S_IFREG | ((record.executable != 0 ? 0555 : 0444) & ~options_.umask);
      break;
    case NodeType::kSymlink:
      attributes->st_mode = S_IFLNK | kPermissionBits;
      break;
  }
}

void Tree::DescribeUpper(Node node, const UpperDirectory& directory,
                         struct stat* attributes) const {
  *attributes = {};
  attributes->st_ino = node;
  attributes->st_mode = S_IFDIR | (0555 & ~options_.umask);
  attributes->st_nlink = 2 + directory.children.size();
  attributes->st_uid = options_.uid;
  attributes->st_gid = options_.gid;
  attributes->st_mtim = attributes->st_ctim = attributes->st_atim = directory.changed;
  SetSize(4096, attributes);
}

void Tree::DescribeStatus(const StatusFiles::File& file, struct stat* attributes) const {
  *attributes = {};
  attributes->st_ino = file.node;
  attributes->st_mode = S_IFREG | (0444 & ~options_.umask);
  attributes->st_nlink = 1;
  attributes->st_uid = options_.uid;
  attributes->st_gid = options_.gid;
  attributes->st_mtim = attributes->st_ctim = attributes->st_atim = file.changed;
  SetSize(file.text->size(), attributes);
}

int Tree::LookupUpper(Node parent, std::string_view name, Entry* entry) {
  ObjectKey key;
  {
    const std::lock_guard lock(upper_mutex_);
    const auto directory = upper_.find(parent);
    if (directory == upper_.end()) return ESTALE;
    const auto ordinal = directory->second.ordinals.find(name);
    if (ordinal == directory->second.ordinals.end()) return ENOENT;
    const UpperDirectory::Child& child = directory->second.children.at(ordinal->second);
    if (child.directory != 0) {
      entry->node = child.directory;
      entry->lifetime = Lifetime::kBrief;
      entry->attribute_lifetime = Lifetime::kNone;
      DescribeUpper(child.directory, upper_[child.directory], &entry->attributes);
      return 0;
    }
    key = child.repository;
  }
  const std::shared_ptr<const Publication> publication = catalog_->Find(key);
  if (publication == nullptr) return ENOENT;
  Count(publication->snapshot, 1);
  entry->node = MakeNode(publication->snapshot->serial, Index::kRoot);
  entry->lifetime = Lifetime::kBrief;
  Describe(*publication->snapshot, Index::kRoot, &entry->attributes);
  return 0;
}

int Tree::AnswerStatus(const StatusFiles::File& file, Entry* entry) {
  entry->node = file.node;
  entry->lifetime = Lifetime::kNone;
  DescribeStatus(file, &entry->attributes);
  return 0;
}

int Tree::LookupStatus(const ObjectKey& key, Entry* entry) {
  const std::shared_ptr<const Publication> publication = catalog_->Find(key);
  if (publication == nullptr) return ENOENT;
  // What is current is looked up again where it is rendered: otherwise a slower thread could put an
  // older version over a newer one.
  const auto render = [this, &key, &publication] {
    const auto current = catalog_->Find(key);
    return RenderStatus(current != nullptr ? *current : *publication, options_.cache_url);
  };
  const StatusFiles::File file = status_files_.Open(key, publication, render);
  // Removed meanwhile: then nobody else will drop what was just made.
  if (catalog_->Find(key) == nullptr) status_files_.Drop(key);
  return AnswerStatus(file, entry);
}

int Tree::LookupTable(Entry* entry) {
  const auto render = [this] {
    return RenderTable(catalog_->All(), options_.layout, clock_->Now());
  };
  return AnswerStatus(status_files_.Open(ObjectKey{}, nullptr, render), entry);
}

int Tree::Lookup(Node parent, std::string_view name, Entry* entry) {
  if (IsStatus(parent)) return ENOTDIR;
  if (name.size() > NAME_MAX) return ENAMETOOLONG;
  if (parent == kRoot && name == kStatusName) return LookupTable(entry);
  if (IsUpper(parent)) return LookupUpper(parent, name, entry);
  const std::shared_ptr<const Snapshot> snapshot = FindSnapshot(parent);
  if (snapshot == nullptr) return ESTALE;
  const Index& index = snapshot->image->index();
  const IndexRecord& directory = index.record(RecordOf(parent));
  if (directory.type != NodeType::kDirectory) return ENOTDIR;
  if (RecordOf(parent) == Index::kRoot && name == kStatusName) {
    return LookupStatus(snapshot->key, entry);
  }
  entry->lifetime = Lifetime::kForever;
  const std::optional<uint32_t> child = index.FindChild(directory, name);
  if (!child) return ENOENT;
  Count(snapshot, 1);
  entry->node = MakeNode(snapshot->serial, *child);
  Describe(*snapshot, *child, &entry->attributes);
  return 0;
}

int Tree::GetAttributes(Node node, struct stat* attributes, Lifetime* lifetime) {
  *lifetime = Lifetime::kForever;
  if (IsStatus(node)) {
    const std::optional<StatusFiles::File> file = status_files_.Find(node);
    if (!file) return ESTALE;
    DescribeStatus(*file, attributes);
    return 0;
  }
  if (IsUpper(node)) {
    *lifetime = Lifetime::kNone;
    const std::lock_guard lock(upper_mutex_);
    const auto directory = upper_.find(node);
    if (directory == upper_.end()) return ESTALE;
    DescribeUpper(node, directory->second, attributes);
    return 0;
  }
  const std::shared_ptr<const Snapshot> snapshot = FindSnapshot(node);
  if (snapshot == nullptr) return ESTALE;
  Describe(*snapshot, RecordOf(node), attributes);
  return 0;
}

int Tree::ReadLink(Node node, std::string* target) {
  if (IsStatus(node) || IsUpper(node)) return EINVAL;
  const std::shared_ptr<const Snapshot> snapshot = FindSnapshot(node);
  if (snapshot == nullptr) return ESTALE;
  const IndexRecord& record = snapshot->image->index().record(RecordOf(node));
  if (record.type != NodeType::kSymlink) return EINVAL;
  *target = snapshot->image->index().Target(record);
  return 0;
}

int Tree::ListUpper(Node node, off_t cookie, const Lister& lister) {
  const std::lock_guard lock(upper_mutex_);
  const auto directory = upper_.find(node);
  if (directory == upper_.end()) return ESTALE;
  // Listed without a node: the kernel then asks for each it wants, and gets a brief answer.
  Entry entry;
  if (node == kRoot && cookie == 0) {
    entry.attributes.st_mode = S_IFREG;
    entry.attributes.st_ino = StatusFiles::kBit;
    if (!lister(kStatusName, entry, kStatusCookie)) return 0;
  }
  entry.attributes.st_mode = S_IFDIR;
  const auto& children = directory->second.children;
  for (auto child = children.upper_bound(static_cast<uint64_t>(cookie)); child != children.end();
       ++child) {
    entry.attributes.st_ino = child->second.directory != 0 ? child->second.directory : child->first;
    if (!lister(child->second.name, entry, static_cast<off_t>(child->first))) break;
  }
  return 0;
}

int Tree::List(Node node, off_t cookie, WithNodes with_nodes, const Lister& lister) {
  if (IsStatus(node)) return ENOTDIR;
  if (cookie < 0) return EINVAL;
  if (IsUpper(node)) return ListUpper(node, cookie, lister);
  const std::shared_ptr<const Snapshot> snapshot = FindSnapshot(node);
  if (snapshot == nullptr) return ESTALE;
  const Index& index = snapshot->image->index();
  const IndexRecord& directory = index.record(RecordOf(node));
  if (directory.type != NodeType::kDirectory) return ENOTDIR;

  const bool is_root = RecordOf(node) == Index::kRoot;
  Entry entry;
  if (is_root && cookie == 0) {
    entry.attributes.st_mode = S_IFREG;
    entry.attributes.st_ino = StatusFiles::kBit;
    if (!lister(kStatusName, entry, kStatusCookie)) return 0;
  }
  const auto first = static_cast<uint64_t>(std::max<off_t>(cookie - kStatusCookie, 0));
  uint64_t counted = 0;
  entry.lifetime = Lifetime::kForever;
  for (uint64_t ordinal = first; ordinal < directory.child_count; ++ordinal) {
    const auto number = static_cast<uint32_t>(directory.first_child + ordinal);
    const IndexRecord& child = index.record(number);
    const std::string_view name = index.Name(child);
    if (is_root && name == kStatusName) continue;
    Describe(*snapshot, number, &entry.attributes);
    const bool with_node =
        with_nodes == WithNodes::kAll ||
        (with_nodes == WithNodes::kDirectories && child.type == NodeType::kDirectory);
    entry.node = with_node ? entry.attributes.st_ino : 0;
    if (!lister(name, entry, static_cast<off_t>(ordinal + 1) + kStatusCookie)) break;
    if (with_node) ++counted;
  }
  if (counted > 0) Count(snapshot, counted);
  return 0;
}

int Tree::Read(Node node, off_t offset, size_t size, ReadBuffer* buffer) {
  buffer->pieces.clear();
  if (offset < 0) return EINVAL;
  if (IsUpper(node)) return EISDIR;
  if (IsStatus(node)) {
    const std::optional<StatusFiles::File> file = status_files_.Find(node);
    if (!file) return ESTALE;
    const std::string& text = *file->text;
    const size_t start = std::min(static_cast<size_t>(offset), text.size());
    buffer->pieces.push_back(
        {const_cast<char*>(text.data()) + start, std::min(size, text.size() - start)});
    buffer->holds = file->text;
    return 0;
  }
  const std::shared_ptr<const Snapshot> snapshot = FindSnapshot(node);
  if (snapshot == nullptr) return ESTALE;
  const IndexRecord& record = snapshot->image->index().record(RecordOf(node));
  if (record.type != NodeType::kFile) return EISDIR;
  const uint64_t start = std::min(static_cast<uint64_t>(offset), record.size);
  const size_t count = std::min<uint64_t>(size, record.size - start);
  const Result<void> read =
      Image::Read(snapshot->image, record.offset + start, count, &buffer->scratch, &buffer->pieces);
  if (read) return 0;
  if (read.error().code == ErrorCode::kCorrupt && on_damage_) {
    on_damage_(snapshot->key, snapshot->serial);
  }
  return EIO;
}

int Tree::GetXattrs(Node node, std::map<std::string, std::string>* attributes) {
  if (IsStatus(node) || IsUpper(node) || RecordOf(node) != Index::kRoot) return EOPNOTSUPP;
  const std::shared_ptr<const Snapshot> snapshot = FindSnapshot(node);
  if (snapshot == nullptr) return ESTALE;
  if (!snapshot->artifact) return 0;
  for (const auto& [name, value] : snapshot->artifact->metadata) {
    (*attributes)["user." + name] = value;
  }
  const std::shared_ptr<const Publication> publication = catalog_->Find(snapshot->key);
  const ApiVersion version =
      publication != nullptr ? publication->repository->api_version : ApiVersion::kV1;
  (*attributes)["user.ocirepofs.revision"] = snapshot->artifact->Revision(version);
  (*attributes)["user.ocirepofs.digest"] = snapshot->artifact->source_digest.ToString();
  return 0;
}

void Tree::ReleasePages() const {
  std::vector<std::shared_ptr<const Snapshot>> snapshots;
  {
    const std::shared_lock lock(revisions_mutex_);
    for (const auto& [serial, revision] : revisions_) snapshots.push_back(revision->snapshot);
  }
  for (const auto& snapshot : snapshots) snapshot->image->index().ReleasePages();
}

}  // namespace ocirepofs
