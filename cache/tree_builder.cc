#include "cache/tree_builder.h"

#include <algorithm>

#include "conf/printable.h"

namespace ocirepofs {
namespace {

/// As many links as Linux follows in one path before it says ELOOP.
constexpr int kMaxLinkHops = 40;
/// What following one link may cost. No sane link comes near it; without it, long links through
/// long links would take minutes.
constexpr int kMaxLinkSteps = 512;
constexpr size_t kQuotedSize = 512;

std::vector<std::string_view> SplitSlashes(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (!part.empty() && part != ".") parts.push_back(part);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
  }
  return parts;
}

/// What an archive calls its entries may hold anything.
std::string Quoted(std::string_view name) { return "\"" + Printable(name, kQuotedSize) + "\""; }

tl::unexpected<Error> Conflict(std::string_view path) {
  return Fail(ErrorCode::kMalformed, "tar entry {} is a file and a directory at once",
              Quoted(path));
}

}  // namespace

Result<std::vector<std::string_view>> TreeBuilder::SplitPath(std::string_view path) {
  if (path.empty() || path.front() == '/' ||
      path.find_first_of(std::string_view("\\\0", 2)) != std::string_view::npos) {
    return Fail(ErrorCode::kMalformed, "tar contained invalid name error {}", Quoted(path));
  }
  if (path.size() > kMaxPathSize) {
    return Fail(ErrorCode::kLimitExceeded, "tar entry {} has a path of more than {} bytes",
                Quoted(path), kMaxPathSize);
  }
  std::vector<std::string_view> components = SplitSlashes(path);
  for (const std::string_view component : components) {
    if (component == "..") {
      return Fail(ErrorCode::kMalformed, "tar contained invalid name error {}", Quoted(path));
    }
    if (component.size() > kMaxNameSize) {
      return Fail(ErrorCode::kLimitExceeded, "tar entry {} has a name of more than {} bytes",
                  Quoted(component), kMaxNameSize);
    }
  }
  if (components.size() > kMaxDepth) {
    return Fail(ErrorCode::kLimitExceeded, "tar entry {} lies deeper than {} directories",
                Quoted(path), kMaxDepth);
  }
  return components;
}

uint32_t TreeBuilder::FindChild(uint32_t directory, std::string_view name) const {
  const auto& children = nodes_[directory].children;
  const auto found = children.find(name);
  return found == children.end() ? kNone : found->second;
}

void TreeBuilder::TurnIntoDirectory(uint32_t link) {
  if (nodes_[link].type == NodeType::kDirectory) return;
  nodes_[link].type = NodeType::kDirectory;
  replaced_any_ = true;
  ++replaced_links_;
}

uint32_t TreeBuilder::NewChild(uint32_t directory, std::string_view name, NodeType type) {
  const auto number = static_cast<uint32_t>(nodes_.size());
  auto& children = nodes_[directory].children;
  // Most archives are sorted: the end is the likely place.
  const auto added = children.emplace_hint(children.end(), name, number);
  Node& node = nodes_.emplace_back();
  node.parent = directory;
  node.type = type;
  node.name = added->first;
  return number;
}

Result<uint32_t> TreeBuilder::MakeParents(const std::vector<std::string_view>& components,
                                          std::string_view path) {
  uint32_t directory = kRoot;
  for (size_t i = 0; i + 1 < components.size(); ++i) {
    uint32_t child = FindChild(directory, components[i]);
    if (child == kNone) {
      child = NewChild(directory, components[i], NodeType::kDirectory);
    } else if (nodes_[child].type == NodeType::kFile) {
      return Conflict(path);
    } else {
      TurnIntoDirectory(child);
    }
    directory = child;
  }
  return directory;
}

Result<uint32_t> TreeBuilder::AddDirectory(std::string_view path) {
  auto components = SplitPath(path);
  if (!components) return tl::unexpected(components.error());
  if (components->empty()) return kRoot;
  auto parent = MakeParents(*components, path);
  if (!parent) return parent;
  const uint32_t existing = FindChild(*parent, components->back());
  if (existing == kNone) return NewChild(*parent, components->back(), NodeType::kDirectory);
  if (nodes_[existing].type == NodeType::kFile) return Conflict(path);
  TurnIntoDirectory(existing);
  return existing;
}

Result<uint32_t> TreeBuilder::FileNode(std::string_view path, uint32_t content, bool executable) {
  auto components = SplitPath(path);
  if (!components) return tl::unexpected(components.error());
  if (components->empty()) return Conflict(path);
  auto parent = MakeParents(*components, path);
  if (!parent) return parent;
  uint32_t number = FindChild(*parent, components->back());
  if (number == kNone) {
    number = NewChild(*parent, components->back(), NodeType::kFile);
    nodes_[number].executable = executable;
  } else {
    replaced_any_ = true;
  }
  Node& node = nodes_[number];
  if (node.type == NodeType::kDirectory) return Conflict(path);
  if (node.type == NodeType::kSymlink) {
    node.executable = executable;
    ++replaced_links_;
  }
  node.type = NodeType::kFile;
  node.content = content;
  return number;
}

Result<uint32_t> TreeBuilder::AddFile(std::string_view path, bool executable) {
  Result<uint32_t> node = FileNode(path, content_count_, executable);
  if (node) ++content_count_;
  return node;
}

Result<uint32_t> TreeBuilder::AddSymlink(std::string_view path, std::string_view target) {
  auto components = SplitPath(path);
  if (!components) return tl::unexpected(components.error());
  if (components->empty()) return kNone;
  if (target.size() > kMaxPathSize) {
    return Fail(ErrorCode::kLimitExceeded, "symbolic link {} has a target of more than {} bytes",
                Quoted(path), kMaxPathSize);
  }
  auto parent = MakeParents(*components, path);
  if (!parent) return parent;
  uint32_t number = FindChild(*parent, components->back());
  if (number == kNone) {
    number = NewChild(*parent, components->back(), NodeType::kSymlink);
  } else {
    replaced_any_ = true;
  }
  if (nodes_[number].type != NodeType::kSymlink) {
    ++replaced_links_;
    return kNone;
  }
  nodes_[number].target = target;
  return number;
}

Result<uint32_t> TreeBuilder::AddHardLink(std::string_view path, std::string_view target) {
  auto components = SplitPath(target);
  if (!components) return tl::unexpected(components.error());
  uint32_t original = kRoot;
  for (const std::string_view component : *components) {
    original = FindChild(original, component);
    if (original == kNone) break;
  }
  if (original == kNone || nodes_[original].type != NodeType::kFile) {
    return Fail(ErrorCode::kMalformed,
                "tar entry {} is a hard link to {}, which is no earlier file of the archive",
                Quoted(path), Quoted(target));
  }
  return FileNode(path, nodes_[original].content, nodes_[original].executable);
}

bool TreeBuilder::Escapes(uint32_t link) const {
  if (nodes_[link].target.starts_with('/')) return true;
  uint32_t directory = nodes_[link].parent;
  size_t missing = 0;  // steps taken below `directory` through names that are no directories
  int hops = 0;
  std::vector<std::string_view> ahead = SplitSlashes(nodes_[link].target);
  std::reverse(ahead.begin(), ahead.end());
  for (int taken = 0; !ahead.empty(); ++taken) {
    if (taken > kMaxLinkSteps) return true;
    const std::string_view step = ahead.back();
    ahead.pop_back();
    if (step == "..") {
      if (missing > 0) {
        --missing;
      } else if (directory == kRoot) {
        return true;
      } else {
        directory = nodes_[directory].parent;
      }
      continue;
    }
    const uint32_t child = missing > 0 ? kNone : FindChild(directory, step);
    if (child == kNone || nodes_[child].type == NodeType::kFile) {
      ++missing;
    } else if (nodes_[child].type == NodeType::kDirectory) {
      directory = child;
    } else {
      if (++hops > kMaxLinkHops) return false;
      if (nodes_[child].target.starts_with('/')) return true;
      std::vector<std::string_view> steps = SplitSlashes(nodes_[child].target);
      ahead.insert(ahead.end(), steps.rbegin(), steps.rend());
    }
  }
  return false;
}

uint32_t TreeBuilder::RemoveEscapingSymlinks() {
  std::vector<uint32_t> escaping;
  for (uint32_t i = 0; i < size(); ++i) {
    if (nodes_[i].type == NodeType::kSymlink && Escapes(i)) escaping.push_back(i);
  }
  for (const uint32_t link : escaping) {
    auto& siblings = nodes_[nodes_[link].parent].children;
    siblings.erase(siblings.find(nodes_[link].name));
  }
  return static_cast<uint32_t>(escaping.size());
}

std::vector<std::string_view> TreeBuilder::Components(uint32_t node) const {
  std::vector<std::string_view> components;
  for (; node != kRoot; node = nodes_[node].parent) components.push_back(nodes_[node].name);
  std::reverse(components.begin(), components.end());
  return components;
}

std::vector<std::string> TreeBuilder::Domain(uint32_t directory) const {
  const auto components = Components(directory);
  return {components.begin(), components.end()};
}

std::string TreeBuilder::Path(uint32_t node) const {
  if (node == kRoot) return ".";
  return fmt::format("{}", fmt::join(Components(node), "/"));
}

void TreeBuilder::Walk(uint32_t start, const std::function<void(uint32_t)>& visit) const {
  visit(start);
  for (const auto& [name, child] : nodes_[start].children) Walk(child, visit);
}

}  // namespace ocirepofs
