#include "conf/manifest/yaml_fields.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "conf/manifest/yaml_scalar.h"
#include "conf/manifest/yaml_text.h"

namespace ocirepofs {

using Type = YamlNode::Type;

std::string DescribeNode(const YamlNode& node) {
  switch (node.type) {
    case Type::kNull:
      return "null";
    case Type::kBool:
    case Type::kNumber:
      return fmt::format("{} without quotes", QuoteForMessage(node.text));
    case Type::kString:
      return QuoteForMessage(node.text);
    case Type::kSequence:
      return "a list";
    case Type::kMapping:
      return "a mapping";
  }
  return "";
}

YamlFields::YamlFields(const YamlNode* node, std::string path, std::vector<YamlError>* errors)
    : node_(node), path_(std::move(path)), errors_(errors) {
  if (node_ == nullptr || node_->type == Type::kMapping) return;
  errors_->push_back({node_->line, node_->column,
                      fmt::format("{}: must be a mapping; is {}", path_, DescribeNode(*node_))});
  node_ = nullptr;
}

void YamlFields::RefuseUnknown(std::initializer_list<std::string_view> known) const {
  if (node_ == nullptr) return;
  for (size_t i = 0; i + 1 < node_->children.size(); i += 2) {
    const YamlNode& key = *node_->children[i];
    if (std::find(known.begin(), known.end(), key.text) != known.end()) continue;
    // The name is the user's own text and may hold anything; a plain one is shown as it is.
    const bool plain = std::all_of(key.text.begin(), key.text.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '-' || c == '_' || c == '.' || c == '/';
    });
    constexpr size_t kMaxShown = 80;
    const std::string name =
        plain && key.text.size() <= kMaxShown ? key.text : QuoteForMessage(key.text);
    errors_->push_back({key.line, key.column, fmt::format("unknown field {}", PathOf(name))});
  }
}

const YamlNode* YamlFields::Find(std::string_view name) const {
  return node_ == nullptr ? nullptr : node_->Find(name);
}

const YamlNode* YamlFields::FindKey(std::string_view name) const {
  if (Find(name) == nullptr) return nullptr;
  for (size_t i = 0; i < node_->children.size(); i += 2) {
    if (node_->children[i]->text == name) return node_->children[i];
  }
  return nullptr;
}

std::optional<std::string> YamlFields::String(std::string_view name) const {
  const YamlNode* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (value->type == Type::kString) return value->text;
  AddError(value, name, fmt::format("must be a string; is {}", DescribeNode(*value)));
  return std::nullopt;
}

std::optional<std::string> YamlFields::RequiredString(std::string_view name) const {
  if (node_ != nullptr && Find(name) == nullptr) AddError(nullptr, name, "required");
  return String(name);
}

std::optional<std::string> YamlFields::Enum(std::string_view name,
                                            std::initializer_list<std::string_view> values) const {
  std::optional<std::string> text = String(name);
  if (!text.has_value()) return std::nullopt;
  if (std::find(values.begin(), values.end(), *text) != values.end()) return text;
  AddError(
      Find(name), name,
      fmt::format("must be one of {}; is {}", fmt::join(values, ", "), QuoteForMessage(*text)));
  return std::nullopt;
}

std::optional<bool> YamlFields::Bool(std::string_view name) const {
  const YamlNode* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (value->type == Type::kBool) return BoolValue(value->text);
  AddError(value, name, fmt::format("must be true or false; is {}", DescribeNode(*value)));
  return std::nullopt;
}

YamlFields YamlFields::Mapping(std::string_view name) const {
  return YamlFields(Find(name), PathOf(name), errors_);
}

std::vector<YamlFields> YamlFields::Sequence(std::string_view name) const {
  std::vector<YamlFields> elements;
  const YamlNode* value = Find(name);
  if (value == nullptr) return elements;
  if (value->type != Type::kSequence) {
    AddError(value, name, fmt::format("must be a list; is {}", DescribeNode(*value)));
    return elements;
  }
  for (const YamlNode* child : value->children) {
    elements.emplace_back(child, fmt::format("{}[{}]", PathOf(name), elements.size()), errors_);
  }
  return elements;
}

std::optional<std::string> YamlFields::LocalReference(std::string_view name) const {
  const YamlFields reference = Mapping(name);
  reference.RefuseUnknown({"name"});
  std::optional<std::string> text = reference.RequiredString("name");
  if (!text.has_value() || !text->empty()) return text;
  reference.AddError(reference.Find("name"), "name", "must not be empty");
  return std::nullopt;
}

void YamlFields::AddError(const YamlNode* place, std::string_view name,
                          std::string_view message) const {
  if (place == nullptr) place = node_;
  errors_->push_back({place->line, place->column, fmt::format("{}: {}", PathOf(name), message)});
}

std::string YamlFields::PathOf(std::string_view name) const {
  return path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
}

}  // namespace ocirepofs
