#pragma once

#include <chrono>
#include <compare>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "conf/error.h"

namespace ocirepofs {

/// Namespace and name of an object. The namespace is never empty: absent means "default".
struct ObjectKey {
  std::string namespace_name;
  std::string name;

  std::string ToString() const { return namespace_name + "/" + name; }
  friend auto operator<=>(const ObjectKey&, const ObjectKey&) = default;
};

/// The dialect in which `.status` answers.
enum class ApiVersion { kV1Beta2, kV1 };

/// "source.toolkit.fluxcd.io/v1beta2" or "…/v1".
std::string_view ToString(ApiVersion version);

/// spec.ref. An empty string counts as absent. Precedence: digest, semver, tag, "latest".
struct OciRepositoryRef {
  std::string digest;
  std::string semver;
  std::string semver_filter;
  std::string tag;
  friend bool operator==(const OciRepositoryRef&, const OciRepositoryRef&) = default;
};

/// spec.layerSelector. Absent fields are kept apart from given ones: `operation: extract` and no
/// operation select the same layer, and still differ as configuration.
struct LayerSelector {
  std::optional<std::string> media_type;
  std::optional<std::string> operation;  // "extract" or "copy"
  friend bool operator==(const LayerSelector&, const LayerSelector&) = default;
};

/// spec.verify.matchOIDCIdentity[].
struct OidcIdentity {
  std::string issuer;
  std::string subject;
  friend bool operator==(const OidcIdentity&, const OidcIdentity&) = default;
};

/// spec.verify.
struct Verification {
  std::string provider = "cosign";  // or "notation"
  std::optional<std::string> secret_ref;
  std::vector<OidcIdentity> match_oidc_identity;
  std::optional<std::string> trusted_root_secret_ref;
  friend bool operator==(const Verification&, const Verification&) = default;
};

/// spec of an OCIRepository (source-controller API v1; v1beta2 is a subset). A value.
struct OciRepositorySpec {
  std::string url;
  OciRepositoryRef ref;
  std::optional<LayerSelector> layer_selector;
  std::chrono::nanoseconds interval{};
  std::chrono::nanoseconds timeout = std::chrono::seconds(60);
  std::optional<std::string> ignore;
  std::string provider = "generic";  // or "aws", "azure", "gcp"
  std::optional<std::string> secret_ref;
  std::optional<std::string> service_account_name;
  std::optional<std::string> cert_secret_ref;
  std::optional<std::string> proxy_secret_ref;
  std::optional<Verification> verify;
  bool insecure = false;
  bool suspend = false;
  friend bool operator==(const OciRepositorySpec&, const OciRepositorySpec&) = default;
};

/// A place in one of the user's files. Line and column count from 1; 0 means the whole file.
struct Position {
  std::string file;
  int line = 0;
  int column = 0;
  friend bool operator==(const Position&, const Position&) = default;
};

/// One OCIRepository manifest that passed validation.
struct OciRepository {
  ApiVersion api_version = ApiVersion::kV1;
  ObjectKey key;
  std::map<std::string, std::string> annotations;
  OciRepositorySpec spec;
  /// The spec as the user wrote it, for `.status` and for telling one generation from the next.
  nlohmann::ordered_json spec_as_written;
  Position position;
};

/// What is wrong with one manifest, and where.
struct Diagnostic {
  Position position;
  std::string message;
  /// Set where the faulty manifest could still be told to be this OCIRepository: its last good
  /// contents then stay mounted, and its `.status` shows the message.
  std::optional<ObjectKey> object;

  std::string ToString() const;  // "file:line:column: message", parts that are 0 left out
  friend bool operator==(const Diagnostic&, const Diagnostic&) = default;
};

/// All that CONFIG says. A value.
struct Configuration {
  std::map<ObjectKey, OciRepository> repositories;
  std::vector<Diagnostic> errors;  // in order of file and position
  std::vector<Diagnostic> notes;   // manifests of other kinds, which are skipped
};

/// Reads `text` as the contents of `file_name`: YAML or JSON, several documents, `v1 List`s.
/// Never throws; whatever is wrong becomes an entry of `errors`.
void ParseManifests(const std::string& file_name, const std::string& text,
                    Configuration* configuration);

/// Reads a manifest file, or every `*.yaml`, `*.yml` and `*.json` of a directory in name order.
/// Only regular files of at most kMaxManifestFileSize bytes are read; anything else that carries
/// such a name is an entry of `errors`. Fails only when `path` itself can't be read.
Result<Configuration> LoadConfiguration(const std::string& path);

inline constexpr size_t kMaxManifestFileSize = size_t{4} << 20;

}  // namespace ocirepofs
