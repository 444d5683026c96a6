#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cache/index.h"
#include "conf/error.h"

namespace ocirepofs {

/// The tree of an archive while its entries arrive: names only, in memory, and by the rules that
/// keep a hostile archive harmless. Nothing here touches a file system. One thread at a time.
///
/// Entries come in any order; parents that were not named are made. A name must be relative,
/// without
/// `..`, backslash or NUL; `.` and doubled slashes are dropped. The last file of a name wins and
/// keeps the first one's executable bit; a file where a directory is, or the reverse, fails.
/// A symbolic link gives way to a file or directory of its name, whichever comes first.
class TreeBuilder {
 public:
  static constexpr uint32_t kRoot = 0;
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr size_t kMaxPathSize = 4096;
  static constexpr size_t kMaxNameSize = 255;
  static constexpr size_t kMaxDepth = 64;

  struct Node {
    uint32_t parent = kRoot;
    NodeType type = NodeType::kDirectory;
    bool executable = false;
    uint32_t content = kNone;  // of a file; hard links share one
    std::string_view name;     // the key in the parent's children
    std::string target;        // of a symbolic link
    std::map<std::string, uint32_t, std::less<>> children;
  };

  TreeBuilder() : nodes_(1) {}

  /// Each returns the node, new or not. Errors: kMalformed, kLimitExceeded.
  Result<uint32_t> AddDirectory(std::string_view path);
  /// The file's contents get a new number, in order from 0.
  Result<uint32_t> AddFile(std::string_view path, bool executable);
  /// kNone where the link is skipped, because a file or directory has its name.
  Result<uint32_t> AddSymlink(std::string_view path, std::string_view target);
  /// `target` must name a file that was added before.
  Result<uint32_t> AddHardLink(std::string_view path, std::string_view target);

  /// Removes the symbolic links that lead, step by step and through other links, out of the root,
  /// or whose way is absurdly long; returns how many. Links to nothing, and loops, stay: they are
  /// harmless.
  uint32_t RemoveEscapingSymlinks();

  const Node& node(uint32_t number) const { return nodes_[number]; }
  uint32_t size() const { return static_cast<uint32_t>(nodes_.size()); }
  /// Whether a later entry took the place of an earlier one, which is then not to be believed.
  bool replaced_any() const { return replaced_any_; }
  /// How many symbolic links lost their name to a file or directory.
  uint32_t replaced_links() const { return replaced_links_; }

  std::vector<std::string_view> Components(uint32_t node) const;  // the root has none
  /// The same, to be kept: what rules are bound to.
  std::vector<std::string> Domain(uint32_t directory) const;
  std::string Path(uint32_t node) const;  // "." for the root

  /// Visits every node below `start`, a directory before its children, children by name: the order
  /// of Flux's archive.
  void Walk(uint32_t start, const std::function<void(uint32_t)>& visit) const;

 private:
  static Result<std::vector<std::string_view>> SplitPath(std::string_view path);
  /// The directory that is to hold the last of `components`, made where missing.
  Result<uint32_t> MakeParents(const std::vector<std::string_view>& components,
                               std::string_view path);
  uint32_t FindChild(uint32_t directory, std::string_view name) const;
  /// Makes a symbolic link that stands in the way a directory.
  void TurnIntoDirectory(uint32_t link);
  uint32_t NewChild(uint32_t directory, std::string_view name, NodeType type);
  Result<uint32_t> FileNode(std::string_view path, uint32_t content, bool executable);
  bool Escapes(uint32_t link) const;

  std::deque<Node> nodes_;
  uint32_t content_count_ = 0;
  bool replaced_any_ = false;
  uint32_t replaced_links_ = 0;
};

}  // namespace ocirepofs
