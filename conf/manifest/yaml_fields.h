#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "conf/manifest/yaml_reader.h"

namespace ocirepofs {

/// The fields of one mapping in a manifest, read by name and type. Whatever is wrong is appended to
/// a list of errors that name the field by its whole path ("spec.ref.tag"); the getters then return
/// nothing, so that one pass finds all mistakes. A YAML null counts as absent, as in Kubernetes.
/// REQUIRES: the node and the list outlive it.
class YamlFields {
 public:
  /// `node` may be null: every field is then absent. `path` is empty for a manifest's top level.
  YamlFields(const YamlNode* node, std::string path, std::vector<YamlError>* errors);

  /// Every field that is not in `known` is an error at its key.
  void RefuseUnknown(std::initializer_list<std::string_view> known) const;

  const YamlNode* Find(std::string_view name) const;
  /// The place of the field's key; null where the field is absent.
  const YamlNode* FindKey(std::string_view name) const;

  std::optional<std::string> String(std::string_view name) const;
  std::optional<std::string> RequiredString(std::string_view name) const;
  /// A string that is one of `values`.
  std::optional<std::string> Enum(std::string_view name,
                                  std::initializer_list<std::string_view> values) const;
  std::optional<bool> Bool(std::string_view name) const;
  /// The fields of a mapping inside this one; all absent where it is.
  YamlFields Mapping(std::string_view name) const;
  /// The elements of a sequence, in order.
  std::vector<YamlFields> Sequence(std::string_view name) const;
  /// `name: {name: …}`, as Kubernetes refers to an object beside this one.
  std::optional<std::string> LocalReference(std::string_view name) const;

  bool present() const { return node_ != nullptr; }
  /// Appends "path.name: message" at `place`, or where that is null at this mapping.
  void AddError(const YamlNode* place, std::string_view name, std::string_view message) const;

 private:
  std::string PathOf(std::string_view name) const;

  const YamlNode* node_;
  std::string path_;
  std::vector<YamlError>* errors_;
};

/// What a value looks like, for a message that asks for something else.
std::string DescribeNode(const YamlNode& node);

}  // namespace ocirepofs
