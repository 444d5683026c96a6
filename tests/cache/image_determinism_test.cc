#include <algorithm>
#include <iterator>
#include <map>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "cache/image_writer.h"
#include "cache/tar_format.h"
#include "conf/ignore/ignore.h"
#include "tests/support/cache_fixture.h"
#include "tests/support/image_contents.h"
#include "tests/support/tsv.h"

namespace ocirepofs {
namespace {

using Kind = ArchiveEntry::Kind;
using Path = std::vector<std::string>;

constexpr int kTrees = 200;
constexpr int kOrders = 3;

Path Components(const std::string& path) {
  Path components;
  for (const std::string_view part : test::SplitPath(path)) components.emplace_back(part);
  return components;
}

std::string Joined(const Path& path) {
  std::string joined;
  for (const std::string& part : path) joined += (joined.empty() ? "" : "/") + part;
  return joined;
}

Path Ancestor(const Path& path, size_t depth) {
  return {path.begin(), path.begin() + static_cast<ptrdiff_t>(depth)};
}

/// A tree as the reference model sees it. Ordering vectors of names is the order of the archive.
struct Node {
  Kind kind = Kind::kDirectory;  // never a hard link: that is a file
  std::string text;              // contents, or target
  int contents = -1;             // number of the contents; hard links share one
  bool executable = false;
  bool escapes = false;  // a symbolic link, known to lead outside
};
using Model = std::map<Path, Node>;

/// A tree and the archive that holds it. `after[i]`: entries that must come before entry i.
struct RandomTree {
  Model model;
  std::vector<ArchiveEntry> entries;
  std::vector<std::vector<size_t>> after;
  std::vector<size_t> files;  // entries that a hard link may name
  ImageWriter::Options options;
};

class Generator {
 public:
  explicit Generator(uint32_t seed) : random_(seed) {}

  RandomTree Tree() {
    RandomTree tree;
    tree.model[{}] = {};
    const uint32_t count = 1 + Below(25);
    for (uint32_t i = 0; i < count; ++i) AddEntry(&tree);
    if (Below(3) == 0) tree.options.ignore = Rules();
    return tree;
  }

  /// The entries in an order that an archive could have.
  std::vector<ArchiveEntry> Shuffled(const RandomTree& tree) {
    std::vector<size_t> order(tree.entries.size());
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random_);
    std::vector<bool> out(order.size());
    std::vector<ArchiveEntry> shuffled;
    while (shuffled.size() < order.size()) {
      for (const size_t entry : order) {
        const auto& before = tree.after[entry];
        if (out[entry] ||
            !std::all_of(before.begin(), before.end(), [&](size_t i) { return out[i]; })) {
          continue;
        }
        out[entry] = true;
        shuffled.push_back(tree.entries[entry]);
      }
    }
    return shuffled;
  }

 private:
  uint32_t Below(uint32_t bound) { return static_cast<uint32_t>(random_() % bound); }
  template <size_t N>
  std::string OneOf(const char* const (&choices)[N]) {
    return choices[Below(N)];
  }

  std::string Name() {
    return OneOf({"a", "a-b", "a.b", "b.jpg", "c.md", "d", "dir", ".git", "B", "é", "x.zip", "z"});
  }
  std::string Rules() {
    std::string rules;
    for (uint32_t i = Below(4); i > 0; --i) {
      rules += OneOf({"*.md\n", "!*.md\n", "dir/\n", "/a\n", "!a\n", "a/**\n", "*.jpg\n",
                      "!b.jpg\n", "# none\n", "**/z\n", "!dir/a\n", ".sourceignore\n", "!.git\n"});
    }
    return rules;
  }
  std::string Contents() {
    constexpr uint32_t kSizes[] = {0, 1, 100, 512, 513, 3000, 40'000};
    return NoiseBytes(kSizes[Below(7)], static_cast<uint32_t>(random_()));
  }

  /// A directory that is there, or may be made.
  Path Parent(const RandomTree& tree) {
    Path path;
    for (uint32_t depth = Below(4); depth > 0; --depth) {
      Path child = path;
      child.push_back(Name());
      const auto found = tree.model.find(child);
      if (found != tree.model.end() && found->second.kind != Kind::kDirectory) continue;
      path = std::move(child);
    }
    return path;
  }

  void AddEntry(RandomTree* tree) {
    Path path = Parent(*tree);
    const size_t depth = path.size();
    const bool rules = Below(6) == 0;
    path.push_back(rules ? std::string(kSourceIgnoreFile) : Name());
    if (tree->model.contains(path)) return;
    for (size_t i = 1; i <= depth; ++i) tree->model[Ancestor(path, i)];
    Node& node = tree->model[path];
    const uint32_t choice = rules ? 0 : Below(10);
    if (choice >= 8 && !tree->files.empty()) {
      AddHardLink(tree, path, &node);
    } else if (choice >= 6) {
      AddSymlink(tree, path, &node);
    } else if (choice == 5) {
      Append(tree, Directory(Joined(path)));
    } else {
      AddFile(tree, path, &node, rules ? Rules() : Contents());
    }
  }

  static void Append(RandomTree* tree, ArchiveEntry entry, std::vector<size_t> after = {}) {
    tree->entries.push_back(std::move(entry));
    tree->after.push_back(std::move(after));
  }

  /// Sometimes with an earlier file of that name, which is replaced.
  void AddFile(RandomTree* tree, const Path& path, Node* node, std::string contents) {
    node->kind = Kind::kFile;
    node->executable = Below(4) == 0;
    node->text = std::move(contents);
    node->contents = contents_++;
    const Kind kind = node->executable ? Kind::kExecutable : Kind::kFile;
    std::vector<size_t> after;
    if (Below(6) == 0) {
      after.push_back(tree->entries.size());
      Append(tree, {kind, Joined(path), path.back() == kSourceIgnoreFile ? Rules() : Contents()});
    }
    tree->files.push_back(tree->entries.size());
    Append(tree, {kind, Joined(path), node->text}, std::move(after));
  }

  void AddSymlink(RandomTree* tree, const Path& path, Node* node) {
    const size_t depth = path.size() - 1;
    node->kind = Kind::kSymlink;
    node->text = OneOf({"/etc/passwd", "no/such", ".", ""});
    node->escapes = node->text.starts_with('/');
    if (Below(2) == 0) {
      const size_t up = Below(static_cast<uint32_t>(depth) + 2);
      node->text.clear();
      for (size_t i = 0; i < up; ++i) node->text += "../";
      node->text += "nowhere";
      node->escapes = up > depth;
    }
    Append(tree, Symlink(Joined(path), node->text));
  }

  void AddHardLink(RandomTree* tree, const Path& path, Node* node) {
    const size_t file = tree->files[Below(static_cast<uint32_t>(tree->files.size()))];
    const std::string& target = tree->entries[file].path;
    *node = tree->model.at(Components(target));
    Append(tree, HardLink(Joined(path), target), {file});
  }

  std::mt19937 random_;
  int contents_ = 0;
};

std::vector<std::string_view> Views(const Path& path) { return {path.begin(), path.end()}; }

IgnoreRules RulesOf(const RandomTree& tree) {
  // A directory's own file comes before those of its children; whole names would sort otherwise.
  std::map<Path, std::string> texts;
  for (const auto& [path, node] : tree.model) {
    if (path.empty() || path.back() != kSourceIgnoreFile || node.kind != Kind::kFile) continue;
    if (std::find(path.begin(), path.end(), ".git") != path.end()) continue;
    texts[Ancestor(path, path.size() - 1)] = node.text;
  }
  std::vector<IgnorePattern> patterns;
  for (const auto& [domain, text] : texts) {
    const auto parsed = ParseIgnoreFile(text, domain);
    patterns.insert(patterns.end(), parsed.begin(), parsed.end());
  }
  return IgnoreRules(patterns, tree.options.ignore);
}

/// What is to be in the tar stream, and what is to be shown.
struct Expected {
  std::string tar;
  ImageContents shown;
  uint32_t skipped_links = 0;
};

Expected Expect(const RandomTree& tree) {
  const IgnoreRules rules = RulesOf(tree);
  Expected expected;
  std::map<int, std::string> carriers;
  for (const auto& [path, node] : tree.model) {
    if (node.escapes) {
      ++expected.skipped_links;
      continue;
    }
    if (rules.Excludes(Views(path), node.kind == Kind::kDirectory)) continue;
    const std::string name = path.empty() ? "." : Joined(path);
    TarEntry entry{.name = name, .executable = node.executable};
    std::string contents;
    for (size_t i = 1; i < path.size(); ++i) {
      expected.shown[Joined(Ancestor(path, i))] = "dir";
    }
    std::string shown = "dir";
    if (node.kind == Kind::kDirectory) {
      entry.type = TarType::kDirectory;
    } else if (node.kind == Kind::kSymlink) {
      entry.type = TarType::kSymlink;
      entry.link_name = node.text;
      shown = "link:" + node.text;
    } else {
      shown = (node.executable ? "exec:" : "file:") + node.text;
      const auto [carrier, first] = carriers.emplace(node.contents, name);
      if (first) {
        contents = node.text;
      } else {
        entry.type = TarType::kHardLink;
        entry.link_name = carrier->second;
      }
    }
    if (!path.empty()) expected.shown[name] = shown;
    entry.size = contents.size();
    expected.tar += TarHeader(entry) + contents + std::string(TarPadding(contents.size()), '\0');
  }
  expected.tar.append(kTarEndSize, '\0');
  return expected;
}

class ImageDeterminismTest : public CacheTest {};

TEST_F(ImageDeterminismTest, RandomTreesGiveTheSameBytesInEveryOrder) {
  for (uint32_t seed = 1; seed <= kTrees; ++seed) {
    SCOPED_TRACE(seed);
    Generator generator(seed);
    const RandomTree tree = generator.Tree();
    const Expected expected = Expect(tree);
    std::string index;
    for (int order = 0; order < kOrders; ++order) {
      const BuiltImage built = Build(generator.Shuffled(tree), tree.options);
      ASSERT_EQ(Digest::Of(built.Tar()), Digest::Of(expected.tar));
      ASSERT_EQ(ContentsOf(built.image), expected.shown);
      EXPECT_EQ(built.summary.skipped_links, expected.skipped_links);
      if (order == 0) index = built.index;
      EXPECT_EQ(built.index, index);
    }
  }
}

TEST_F(ImageDeterminismTest, SortedArchiveIsAFixedPoint) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    const RandomTree tree = Generator(seed).Tree();
    std::vector<ArchiveEntry> entries = tree.entries;
    const BuiltImage once = Build(entries, {.ignore = {}, .filter = false});
    if (entries.size() > tree.model.size()) continue;  // replaced
    std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
      return Components(a.path) < Components(b.path);
    });
    if (!TryBuild(entries, {.ignore = {}, .filter = false})) continue;  // a link before its file
    EXPECT_EQ(Build(entries, {.ignore = {}, .filter = false}).tarball, once.tarball);
  }
}

}  // namespace
}  // namespace ocirepofs
