#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ocirepofs {

/// A value of a YAML document, with the place where it is written. Immutable once its document has
/// been read. An alias is the node that it refers to, not a copy, so a walk may meet a node twice.
struct YamlNode {
  enum class Type : uint8_t { kNull, kBool, kNumber, kString, kSequence, kMapping };

  Type type = Type::kNull;
  bool closed = true;  // false only in a collection that an error cut short
  int line = 0;        // both count from 1
  int column = 0;
  uint32_t size = 1;    // nodes from here down, each alias counted in full
  uint32_t height = 1;  // levels from here down
  std::string text;     // of a scalar, as it reads without its quotes
  std::string tag;      // an explicit tag without a meaning here; else empty
  /// Elements of a sequence; key, value, key, value… of a mapping.
  std::vector<const YamlNode*> children;

  /// The value under `key` of a mapping. Null where there is none, where it is a YAML null, and
  /// where this is no mapping.
  const YamlNode* Find(std::string_view key) const;
};

/// What is wrong at a place of a text. Line 0 means the text as a whole.
struct YamlError {
  int line = 0;
  int column = 0;
  std::string message;
};

/// One document. Owns its nodes.
struct YamlDocument {
  std::deque<YamlNode> nodes;
  const YamlNode* root = nullptr;  // null where the document is empty
  /// Set where reading stopped; `root` is then what had been read until there.
  std::optional<YamlError> error;
};

/// Reads the documents of a text one by one, with time, memory and stack bounded whatever the text
/// is. Does not expand merge keys and does not look for duplicate keys: see FindStructureError.
class YamlReader {
 public:
  static constexpr uint32_t kMaxNodes = 100'000;  // of a document, each alias counted in full
  static constexpr uint32_t kMaxDepth = 64;
  static constexpr int kMaxOpenBrackets = 200;

  /// REQUIRES: `text` outlives the reader.
  explicit YamlReader(std::string_view text);
  ~YamlReader();
  YamlReader(const YamlReader&) = delete;
  YamlReader& operator=(const YamlReader&) = delete;

  /// Null at the end of the text, and after a document with an error. Never throws because of what
  /// is in the text.
  std::unique_ptr<YamlDocument> Next();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The first thing from `node` down that has no single meaning as JSON: a duplicate key, a key that
/// is not a scalar, a merge key, a tag without a meaning here.
std::optional<YamlError> FindStructureError(const YamlNode& node);

}  // namespace ocirepofs
