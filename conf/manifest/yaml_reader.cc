#include "conf/manifest/yaml_reader.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <istream>
#include <streambuf>
#include <unordered_set>

#include "conf/manifest/yaml_scalar.h"
#include "conf/manifest/yaml_text.h"

namespace ocirepofs {
namespace {

using Type = YamlNode::Type;

bool IsCollection(Type type) { return type == Type::kSequence || type == Type::kMapping; }

Type ToNodeType(ScalarType type) {
  switch (type) {
    case ScalarType::kNull:
      return Type::kNull;
    case ScalarType::kBool:
      return Type::kBool;
    case ScalarType::kNumber:
      return Type::kNumber;
    case ScalarType::kString:
      break;
  }
  return Type::kString;
}

/// The core schema's short name of an explicit tag: "str", "map"…; empty for every other tag.
std::string_view CoreTag(std::string_view tag) {
  constexpr std::string_view kPrefix = "tag:yaml.org,2002:";
  return tag.starts_with(kPrefix) ? tag.substr(kPrefix.size()) : std::string_view();
}

/// Whether `tag` says of a value no more than that it is of this type. The parser reports "?" for
/// an untagged value and "!" for one that is not to be resolved by its looks.
bool Agrees(std::string_view tag, Type type) {
  if (tag.empty() || tag == "?" || tag == "!") return true;
  const std::string_view core = CoreTag(tag);
  switch (type) {
    case Type::kNull:
      return core == "null";
    case Type::kBool:
      return core == "bool";
    case Type::kNumber:
      return core == "int" || core == "float";
    case Type::kString:
      return core == "str";
    case Type::kSequence:
      return core == "seq";
    case Type::kMapping:
      return core == "map";
  }
  return false;
}

/// Lets the parser read a text that it does not own without a copy.
class ViewBuffer : public std::streambuf {
 public:
  explicit ViewBuffer(std::string_view text) {
    // setg wants a pointer to non-const; nothing is ever written through it, since putting back
    // another character than was read needs pbackfail, which is not overridden.
    char* begin = const_cast<char*>(text.data());
    setg(begin, begin, begin + text.size());
  }
};

/// A limit of ours was passed. Throwing is the only way to stop the parser.
class BuildError : public YAML::ParserException {
 public:
  using YAML::ParserException::ParserException;
};

/// Builds one YamlDocument from the parser's events.
class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(YamlDocument* document) : document_(document) {}

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Add(mark, anchor, Type::kNull);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    const bool by_looks = tag != "!" && CoreTag(tag) != "str";
    const Type type = by_looks ? ToNodeType(ResolvePlainScalar(value)) : Type::kString;
    YamlNode* node = Add(mark, anchor, type);
    node->text = value;
    if (!Agrees(tag, type)) node->tag = tag;
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, Type::kSequence);
  }
  void OnSequenceEnd() override { Close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, Type::kMapping);
  }
  void OnMapEnd() override { Close(); }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const YamlNode* target = anchor < anchors_.size() ? anchors_[anchor] : nullptr;
    if (target == nullptr || !target->closed) {
      throw BuildError(mark, "an alias refers to a value that it is itself a part of");
    }
    CheckLimits(mark, *target);
    Attach(target);
  }

 private:
  YamlNode* Add(const YAML::Mark& mark, YAML::anchor_t anchor, Type type) {
    YamlNode* node = &document_->nodes.emplace_back();
    node->type = type;
    node->closed = !IsCollection(type);
    node->line = mark.line + 1;
    node->column = mark.column + 1;
    CheckLimits(mark, *node);
    if (anchor != 0) {
      if (anchors_.size() <= anchor) anchors_.resize(anchor + 1);
      anchors_[anchor] = node;
    }
    Attach(node);
    return node;
  }

  void CheckLimits(const YAML::Mark& mark, const YamlNode& node) {
    count_ += node.size;
    if (count_ > YamlReader::kMaxNodes) {
      throw BuildError(mark, fmt::format("more than {} values in one document, aliases counted as "
                                         "often as they are used",
                                         YamlReader::kMaxNodes));
    }
    if (open_.size() + node.height > YamlReader::kMaxDepth) {
      throw BuildError(mark, fmt::format("nested deeper than {} levels", YamlReader::kMaxDepth));
    }
  }

  void Attach(const YamlNode* node) {
    if (open_.empty()) {
      document_->root = node;
      return;
    }
    open_.back()->children.push_back(node);
    if (node->closed) Account(*node);
  }

  void Account(const YamlNode& child) {
    YamlNode* parent = open_.back();
    parent->size += child.size;
    parent->height = std::max(parent->height, child.height + 1);
  }

  void Open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, Type type) {
    YamlNode* node = Add(mark, anchor, type);
    if (!Agrees(tag, type)) node->tag = tag;
    open_.push_back(node);
  }

  void Close() {
    YamlNode* node = open_.back();
    open_.pop_back();
    node->closed = true;
    if (!open_.empty()) Account(*node);
  }

  YamlDocument* document_;
  std::vector<YamlNode*> open_;
  std::vector<const YamlNode*> anchors_;  // by the parser's number of the anchor
  uint32_t count_ = 0;
};

/// The parser's words, which may quote the text: a name of any length, or one byte of a character.
std::string ParserMessage(std::string_view message) {
  constexpr size_t kMaxShown = 120;
  std::string shown = "invalid YAML: ";
  for (const char c : message.substr(0, kMaxShown)) shown += c >= ' ' && c <= '~' ? c : '?';
  return shown;
}

YamlError At(const YAML::Exception& error, std::string message) {
  return {
      .line = error.mark.line + 1, .column = error.mark.column + 1, .message = std::move(message)};
}

}  // namespace

const YamlNode* YamlNode::Find(std::string_view key) const {
  if (type != Type::kMapping) return nullptr;
  // A mapping that was cut short may end in a key without a value.
  for (size_t i = 0; i + 1 < children.size(); i += 2) {
    if (IsCollection(children[i]->type) || children[i]->text != key) continue;
    return children[i + 1]->type == Type::kNull ? nullptr : children[i + 1];
  }
  return nullptr;
}

struct YamlReader::State {
  explicit State(std::string_view text)
      : text_error(FindTextError(text, kMaxOpenBrackets)), buffer(text), stream(&buffer) {}

  std::optional<YamlError> text_error;
  ViewBuffer buffer;
  std::istream stream;
  YAML::Parser parser;
  bool started = false;
  bool ended = false;
  int null_line = 0;  // where the last document was that is null
  int null_column = 0;
};

namespace {

/// Whether the parser is stuck: before a stray closing bracket or comma it reports one null
/// document after the other, all at the same place. Every other document takes it further.
bool IsStuck(const YamlNode* root, int* null_line, int* null_column) {
  if (root == nullptr || root->type != Type::kNull) return false;
  const bool stuck = root->line == *null_line && root->column == *null_column;
  *null_line = root->line;
  *null_column = root->column;
  return stuck;
}

}  // namespace

YamlReader::YamlReader(std::string_view text) : state_(std::make_unique<State>(text)) {}
YamlReader::~YamlReader() = default;

std::unique_ptr<YamlDocument> YamlReader::Next() {
  if (state_->ended) return nullptr;
  auto document = std::make_unique<YamlDocument>();
  if (state_->text_error.has_value()) {
    document->error = state_->text_error;
  } else {
    TreeBuilder builder(document.get());
    try {
      if (!state_->started) state_->parser.Load(state_->stream);
      state_->started = true;
      state_->ended = !state_->parser.HandleNextDocument(builder);
      if (state_->ended) return nullptr;
      if (IsStuck(document->root, &state_->null_line, &state_->null_column)) {
        document->error = {document->root->line, document->root->column,
                           "invalid YAML: unexpected text"};
      }
    } catch (const BuildError& error) {
      document->error = At(error, error.msg);
    } catch (const YAML::Exception& error) {
      document->error = At(error, ParserMessage(error.msg));
    }
  }
  state_->ended = document->error.has_value();
  return document;
}

std::optional<YamlError> FindStructureError(const YamlNode& node) {
  if (!node.tag.empty()) {
    return YamlError{node.line, node.column,
                     fmt::format("the tag {} is not supported here", QuoteForMessage(node.tag))};
  }
  std::unordered_set<std::string_view> keys;
  for (size_t i = 0; i < node.children.size(); ++i) {
    const YamlNode& child = *node.children[i];
    if (node.type == Type::kMapping && i % 2 == 0) {
      if (IsCollection(child.type) || child.type == Type::kNull) {
        return YamlError{child.line, child.column, "a key must be a string"};
      }
      if (child.text == "<<") {
        return YamlError{child.line, child.column, "merge keys (<<) are not supported"};
      }
      if (!keys.insert(child.text).second) {
        return YamlError{child.line, child.column,
                         fmt::format("duplicate key {}", QuoteForMessage(child.text))};
      }
    }
    if (auto error = FindStructureError(child)) return error;
  }
  return std::nullopt;
}

}  // namespace ocirepofs
