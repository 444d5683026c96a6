#include "conf/manifest/spec_reader.h"

#include <fmt/format.h>

#include <array>

#include "conf/duration.h"
#include "conf/manifest/yaml_scalar.h"
#include "conf/manifest/yaml_text.h"

namespace ocirepofs {
namespace {

using Type = YamlNode::Type;

/// Fields of spec that are understood and not yet acted upon. Mounting a repository as if they were
/// not there would be worse than not mounting it.
constexpr std::array<std::string_view, 5> kUnsupportedFields = {
    "secretRef", "serviceAccountName", "certSecretRef", "proxySecretRef", "verify"};

void RefuseUnsupported(const YamlFields& fields, const OciRepositorySpec& spec) {
  for (const std::string_view name : kUnsupportedFields) {
    const YamlNode* key = fields.FindKey(name);
    if (key != nullptr) fields.AddError(key, name, "not supported yet");
  }
  if (spec.provider != "generic") {
    fields.AddError(fields.Find("provider"), "provider",
                    fmt::format("{} is not supported yet, only \"generic\" is",
                                QuoteForMessage(spec.provider)));
  }
}

std::string ReadUrl(const YamlFields& spec) {
  const std::optional<std::string> url = spec.RequiredString("url");
  if (!url.has_value()) return {};
  if (!url->starts_with("oci://")) {
    spec.AddError(spec.Find("url"), "url",
                  fmt::format("must start with oci://; is {}", QuoteForMessage(*url)));
  } else if (url->find('\n') != std::string::npos) {
    spec.AddError(spec.Find("url"), "url",
                  fmt::format("must be one line; is {}", QuoteForMessage(*url)));
  }
  return *url;
}

/// `is_valid` and `examples` differ between the two durations of a spec.
std::optional<std::chrono::nanoseconds> ReadDuration(const YamlFields& spec, std::string_view name,
                                                     bool (*is_valid)(std::string_view),
                                                     std::string_view examples) {
  const YamlNode* value = spec.Find(name);
  if (value == nullptr) return std::nullopt;
  // A bare number is the likely mistake here, and deserves the message about units.
  if (value->type != Type::kNumber && !spec.String(name).has_value()) return std::nullopt;
  const std::string shown = QuoteForMessage(value->text);
  if (value->type == Type::kNumber || !is_valid(value->text)) {
    spec.AddError(value, name, fmt::format("{} is not a duration such as {}", shown, examples));
    return std::nullopt;
  }
  const Result<std::chrono::nanoseconds> duration = ParseDuration(value->text);
  if (!duration) {
    spec.AddError(value, name, fmt::format("{} is too long a duration", shown));
    return std::nullopt;
  }
  if (*duration <= std::chrono::nanoseconds::zero()) {
    spec.AddError(value, name, fmt::format("must be longer than 0s; is {}", shown));
    return std::nullopt;
  }
  return *duration;
}

OciRepositoryRef ReadRef(const YamlFields& ref) {
  ref.RefuseUnknown({"digest", "semver", "semverFilter", "tag"});
  return {.digest = ref.String("digest").value_or(""),
          .semver = ref.String("semver").value_or(""),
          .semver_filter = ref.String("semverFilter").value_or(""),
          .tag = ref.String("tag").value_or("")};
}

std::optional<LayerSelector> ReadLayerSelector(const YamlFields& fields) {
  if (!fields.present()) return std::nullopt;
  fields.RefuseUnknown({"mediaType", "operation"});
  LayerSelector selector = {.media_type = fields.String("mediaType"),
                            .operation = fields.Enum("operation", {"extract", "copy"})};
  if (selector.media_type == "") selector.media_type.reset();
  return selector;
}

std::optional<Verification> ReadVerification(const YamlFields& verify) {
  if (!verify.present()) return std::nullopt;
  verify.RefuseUnknown({"provider", "secretRef", "matchOIDCIdentity", "trustedRootSecretRef"});
  Verification verification;
  verification.provider = verify.Enum("provider", {"cosign", "notation"}).value_or("cosign");
  verification.secret_ref = verify.LocalReference("secretRef");
  for (const YamlFields& identity : verify.Sequence("matchOIDCIdentity")) {
    identity.RefuseUnknown({"issuer", "subject"});
    verification.match_oidc_identity.push_back(
        {.issuer = identity.RequiredString("issuer").value_or(""),
         .subject = identity.RequiredString("subject").value_or("")});
  }
  verification.trusted_root_secret_ref = verify.LocalReference("trustedRootSecretRef");
  return verification;
}

}  // namespace

OciRepositorySpec ReadSpec(const YamlFields& fields) {
  fields.RefuseUnknown({"url", "ref", "layerSelector", "interval", "timeout", "ignore", "provider",
                        "secretRef", "serviceAccountName", "certSecretRef", "proxySecretRef",
                        "verify", "insecure", "suspend"});
  OciRepositorySpec spec;
  spec.url = ReadUrl(fields);
  spec.ref = ReadRef(fields.Mapping("ref"));
  spec.layer_selector = ReadLayerSelector(fields.Mapping("layerSelector"));
  if (fields.present() && fields.Find("interval") == nullptr) {
    fields.AddError(nullptr, "interval", "required");
  }
  spec.interval =
      ReadDuration(fields, "interval", IsIntervalPattern, "5m or 1h30m").value_or(spec.interval);
  spec.timeout =
      ReadDuration(fields, "timeout", IsTimeoutPattern, "30s or 5m (hours are not taken)")
          .value_or(spec.timeout);
  spec.ignore = fields.String("ignore");
  spec.provider =
      fields.Enum("provider", {"generic", "aws", "azure", "gcp"}).value_or(spec.provider);
  spec.secret_ref = fields.LocalReference("secretRef");
  spec.service_account_name = fields.String("serviceAccountName");
  spec.cert_secret_ref = fields.LocalReference("certSecretRef");
  spec.proxy_secret_ref = fields.LocalReference("proxySecretRef");
  spec.verify = ReadVerification(fields.Mapping("verify"));
  spec.insecure = fields.Bool("insecure").value_or(false);
  spec.suspend = fields.Bool("suspend").value_or(false);
  RefuseUnsupported(fields, spec);
  return spec;
}

nlohmann::ordered_json SpecAsWritten(const YamlNode& node) {
  switch (node.type) {
    case Type::kNull:
      return nullptr;
    case Type::kBool:
      return BoolValue(node.text);
    case Type::kNumber:  // no field of a valid spec is a number
    case Type::kString:
      return node.text;
    case Type::kSequence: {
      auto array = nlohmann::ordered_json::array();
      for (const YamlNode* child : node.children) array.push_back(SpecAsWritten(*child));
      return array;
    }
    case Type::kMapping:
      break;
  }
  auto object = nlohmann::ordered_json::object();
  for (size_t i = 0; i + 1 < node.children.size(); i += 2) {
    if (node.children[i + 1]->type == Type::kNull) continue;
    object[node.children[i]->text] = SpecAsWritten(*node.children[i + 1]);
  }
  return object;
}

}  // namespace ocirepofs
