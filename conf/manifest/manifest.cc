#include "conf/manifest/manifest.h"

#include <fmt/format.h>

#include <algorithm>

#include "conf/manifest/spec_reader.h"
#include "conf/manifest/yaml_fields.h"
#include "conf/manifest/yaml_reader.h"
#include "conf/manifest/yaml_text.h"
#include "conf/reference.h"

namespace ocirepofs {
namespace {

using Type = YamlNode::Type;

constexpr std::string_view kGroupPrefix = "source.toolkit.fluxcd.io/";
constexpr std::string_view kKind = "OCIRepository";

/// So many mistakes of one manifest are shown. Who has more of them wants to see the first ones.
constexpr size_t kMaxErrorsShown = 20;

/// A DNS-1123 label: a subdomain without dots, and shorter.
bool IsNamespaceName(std::string_view name) {
  constexpr size_t kMaxLabel = 63;
  return IsDns1123Subdomain(name) && name.size() <= kMaxLabel &&
         name.find('.') == std::string_view::npos;
}

bool IsString(const YamlNode* node) { return node != nullptr && node->type == Type::kString; }

/// Which OCIRepository a manifest is about, as far as that can be told whatever else is wrong.
std::optional<ObjectKey> Identify(const YamlNode& manifest) {
  const YamlNode* kind = manifest.Find("kind");
  const YamlNode* metadata = manifest.Find("metadata");
  if (!IsString(kind) || kind->text != kKind || metadata == nullptr || !metadata->closed) {
    return std::nullopt;
  }
  const YamlNode* name = metadata->Find("name");
  const YamlNode* name_space = metadata->Find("namespace");
  if (!IsString(name) || !IsDns1123Subdomain(name->text)) return std::nullopt;
  if (name_space == nullptr) return ObjectKey{"default", name->text};
  if (!IsString(name_space) || !IsNamespaceName(name_space->text)) return std::nullopt;
  return ObjectKey{name_space->text, name->text};
}

ObjectKey ReadKey(const YamlFields& metadata) {
  ObjectKey key = {.namespace_name = metadata.String("namespace").value_or("default"),
                   .name = metadata.RequiredString("name").value_or("")};
  const YamlNode* name = metadata.Find("name");
  if (IsString(name) && !IsDns1123Subdomain(key.name)) {
    metadata.AddError(name, "name",
                      fmt::format("{} is not a DNS-1123 subdomain: lower-case letters, digits, "
                                  "'-' and '.', at most 253 characters",
                                  QuoteForMessage(key.name)));
  }
  const YamlNode* name_space = metadata.Find("namespace");
  if (IsString(name_space) && !IsNamespaceName(key.namespace_name)) {
    metadata.AddError(name_space, "namespace",
                      fmt::format("{} is not a DNS-1123 label: lower-case letters, digits and "
                                  "'-', at most 63 characters",
                                  QuoteForMessage(key.namespace_name)));
  }
  return key;
}

std::map<std::string, std::string> ReadAnnotations(const YamlFields& metadata) {
  std::map<std::string, std::string> annotations;
  const YamlFields fields = metadata.Mapping("annotations");
  if (!fields.present()) return annotations;
  const YamlNode& node = *metadata.Find("annotations");
  for (size_t i = 0; i < node.children.size(); i += 2) {
    const std::string& name = node.children[i]->text;
    const YamlNode& value = *node.children[i + 1];
    if (value.type == Type::kString) {
      annotations.emplace(name, value.text);
    } else if (value.type != Type::kNull) {
      fields.AddError(&value, QuoteForMessage(name),
                      fmt::format("must be a string; is {}", DescribeNode(value)));
    }
  }
  return annotations;
}

/// Puts what one file says into a Configuration.
class FileParser {
 public:
  FileParser(const std::string& file_name, Configuration* configuration)
      : file_name_(file_name), configuration_(configuration) {}

  void ReadDocument(const YamlDocument& document) {
    if (document.error.has_value()) {
      const auto object = document.root == nullptr ? std::nullopt : Identify(*document.root);
      AddError(*document.error, object);
      return;
    }
    if (document.root == nullptr || document.root->type == Type::kNull) return;
    ReadObject(*document.root);
  }

 private:
  void ReadObject(const YamlNode& manifest) {
    if (manifest.type != Type::kMapping) {
      AddError({manifest.line, manifest.column,
                fmt::format("not a manifest: must be a mapping with apiVersion and kind; is {}",
                            DescribeNode(manifest))},
               std::nullopt);
      return;
    }
    std::vector<YamlError> errors;
    const YamlFields fields(&manifest, "", &errors);
    const std::string api_version = fields.RequiredString("apiVersion").value_or("");
    const std::string kind = fields.RequiredString("kind").value_or("");
    if (!errors.empty()) {
      AddErrors(std::move(errors), Identify(manifest));
    } else if (api_version == "v1" && kind == "List") {
      ReadList(fields);
      AddErrors(std::move(errors), std::nullopt);
    } else if (kind == kKind && api_version.starts_with(kGroupPrefix)) {
      ReadRepository(manifest, api_version);
    } else {
      const std::string of = kind == kKind ? " of " + QuoteForMessage(api_version) : "";
      configuration_->notes.push_back(
          {At(manifest), fmt::format("skipped: kind {}{}", kind, of), std::nullopt});
    }
  }

  void ReadList(const YamlFields& list) {
    const YamlNode* items = list.Find("items");
    if (items == nullptr) return;
    if (items->type != Type::kSequence) {
      list.AddError(items, "items", fmt::format("must be a list; is {}", DescribeNode(*items)));
      return;
    }
    for (const YamlNode* item : items->children) ReadObject(*item);
  }

  void ReadRepository(const YamlNode& manifest, std::string_view api_version) {
    const std::optional<ObjectKey> object = Identify(manifest);
    if (object.has_value()) {
      const Position* first = FindFirst(*object);
      if (first != nullptr) {
        AddError({manifest.line, manifest.column,
                  fmt::format("duplicate of {} at {}:{}:{}", object->ToString(), first->file,
                              first->line, first->column)},
                 object);
        return;
      }
    }
    if (auto error = FindStructureError(manifest)) {
      AddError(*error, object);
      return;
    }
    std::vector<YamlError> errors;
    OciRepository repository = ReadFields(manifest, api_version, &errors);
    if (!errors.empty()) {
      AddErrors(std::move(errors), object);
      return;
    }
    repository.spec_as_written = SpecAsWritten(*manifest.Find("spec"));
    repository.position = At(manifest);
    ObjectKey key = repository.key;
    configuration_->repositories.emplace(std::move(key), std::move(repository));
  }

  static OciRepository ReadFields(const YamlNode& manifest, std::string_view api_version,
                                  std::vector<YamlError>* errors) {
    const YamlFields fields(&manifest, "", errors);
    fields.RefuseUnknown({"apiVersion", "kind", "metadata", "spec", "status"});
    OciRepository repository;
    const std::string_view version = api_version.substr(kGroupPrefix.size());
    if (version == "v1beta2") {
      repository.api_version = ApiVersion::kV1Beta2;
    } else if (version != "v1") {
      fields.AddError(fields.Find("apiVersion"), "apiVersion",
                      fmt::format("must be one of {}, {}; is {}", ToString(ApiVersion::kV1),
                                  ToString(ApiVersion::kV1Beta2), QuoteForMessage(api_version)));
    }
    for (const std::string_view required : {"metadata", "spec"}) {
      if (fields.Find(required) == nullptr) fields.AddError(nullptr, required, "required");
    }
    const YamlFields metadata = fields.Mapping("metadata");
    repository.key = ReadKey(metadata);
    repository.annotations = ReadAnnotations(metadata);
    repository.spec = ReadSpec(fields.Mapping("spec"));
    return repository;
  }

  /// Where the manifest stands that has claimed `object`, be it a faulty one: were the claim of a
  /// faulty manifest void, a slip in it would bring the duplicate to light and mount that.
  const Position* FindFirst(const ObjectKey& object) const {
    const auto repository = configuration_->repositories.find(object);
    if (repository != configuration_->repositories.end()) return &repository->second.position;
    for (const Diagnostic& error : configuration_->errors) {
      if (error.object == object) return &error.position;
    }
    return nullptr;
  }

  Position At(const YamlNode& node) const { return {file_name_, node.line, node.column}; }

  void AddError(const YamlError& error, const std::optional<ObjectKey>& object) {
    configuration_->errors.push_back(
        {{file_name_, error.line, error.column}, error.message, object});
  }

  void AddErrors(std::vector<YamlError> errors, const std::optional<ObjectKey>& object) {
    std::ranges::stable_sort(
        errors, {}, [](const YamlError& error) { return std::pair(error.line, error.column); });
    if (errors.size() > kMaxErrorsShown) {
      const YamlError& last = errors[kMaxErrorsShown - 1];
      errors.resize(kMaxErrorsShown, last);
      errors.back().message = "too many errors in this manifest, the others are not shown";
    }
    for (const YamlError& error : errors) AddError(error, object);
  }

  const std::string& file_name_;
  Configuration* configuration_;
};

}  // namespace

std::string_view ToString(ApiVersion version) {
  switch (version) {
    case ApiVersion::kV1Beta2:
      return "source.toolkit.fluxcd.io/v1beta2";
    case ApiVersion::kV1:
      break;
  }
  return "source.toolkit.fluxcd.io/v1";
}

std::string Diagnostic::ToString() const {
  std::string text = position.file;
  if (position.line != 0) text += fmt::format(":{}", position.line);
  if (position.column != 0) text += fmt::format(":{}", position.column);
  return fmt::format("{}: {}", text, message);
}

void ParseManifests(const std::string& file_name, const std::string& text,
                    Configuration* configuration) {
  if (text.size() > kMaxManifestFileSize) {
    configuration->errors.push_back(
        {{file_name}, fmt::format("larger than {} bytes", kMaxManifestFileSize), std::nullopt});
    return;
  }
  FileParser parser(file_name, configuration);
  YamlReader reader(text);
  while (const auto document = reader.Next()) parser.ReadDocument(*document);
}

}  // namespace ocirepofs
