#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "conf/error.h"

namespace ocirepofs {

/// A repository of a registry, named as go-containerregistry's `name` package names it (weak
/// validation, which is what Flux uses). A value.
struct Repository {
  std::string registry;  // "registry.example.com", "localhost:5000", "index.docker.io"
  std::string path;  // "stefanprodan/manifests/podinfo"; "library/…" where Docker Hub implies it

  std::string ToString() const { return registry + "/" + path; }
  friend bool operator==(const Repository&, const Repository&) = default;
};

/// Parses the part behind `oci://`, or a repository by itself. Errors are kInvalid.
Result<Repository> ParseRepository(std::string_view text);

/// Parses spec.url: `oci://host[:port]/path`. Tags and digests are refused.
Result<Repository> ParseOciUrl(std::string_view url);

/// The URL as messages may show it: what stands before an `@` in its host is a secret to them.
std::string WithoutUserInfo(std::string_view url);

/// "http" or "https": http where `insecure`, and for loopback and private (RFC 1918) addresses as
/// go-containerregistry decides it; a bare `localhost` without a port is https.
std::string_view DefaultScheme(std::string_view registry, bool insecure);

/// A full reference: repository and a tag or a digest (one of them is set).
struct Reference {
  Repository repository;
  std::string tag;     // empty when the reference is by digest
  std::string digest;  // "sha256:…", or empty
  friend bool operator==(const Reference&, const Reference&) = default;
};

enum class NameValidation { kWeak, kStrict };

Result<Repository> ParseRepository(std::string_view text, NameValidation validation);
Result<std::string> ParseRegistry(std::string_view text, NameValidation validation);
Result<Reference> ParseTagReference(std::string_view text, NameValidation validation);
Result<Reference> ParseDigestReference(std::string_view text, NameValidation validation);
/// Tag form first, then digest.
Result<Reference> ParseReference(std::string_view text, NameValidation validation);

/// A DNS-1123 subdomain: what Kubernetes accepts as the name of an object.
bool IsDns1123Subdomain(std::string_view name);

}  // namespace ocirepofs
