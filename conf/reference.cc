#include "conf/reference.h"

#include <arpa/inet.h>

#include <algorithm>

#include "conf/digest.h"

namespace ocirepofs {
namespace {

constexpr std::string_view kDockerHub = "index.docker.io";
constexpr std::string_view kDockerHubAlias = "docker.io";
constexpr std::string_view kUrlPrefix = "oci://";
constexpr std::string_view kDefaultTag = "latest";
constexpr size_t kMaxPath = 255;
constexpr size_t kMaxTag = 128;

bool IsLower(char c) { return c >= 'a' && c <= 'z'; }
bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool IsPathCharacter(char c) {
  return IsLower(c) || IsDigit(c) || c == '_' || c == '-' || c == '.' || c == '/';
}

bool IsTagCharacter(char c) {
  return IsLower(c) || IsUpper(c) || IsDigit(c) || c == '_' || c == '-' || c == '.';
}

/// What RFC 3986 and Go's net/url allow unescaped in a host. An escape never survives the check
/// that the host reads back as it was written, so `%` is not among them.
bool IsHostCharacter(char c) {
  constexpr std::string_view kPunctuation = "-_.~!$&'()*+,;=:[]<>\"";
  const bool is_ascii = static_cast<unsigned char>(c) < 0x80;
  return !is_ascii || IsLower(c) || IsUpper(c) || IsDigit(c) ||
         kPunctuation.find(c) != std::string_view::npos;
}

/// Credentials in front of an `@` are not repeated in messages; a digest follows its `@`.
std::string Shown(std::string_view text) {
  const size_t at = text.rfind('@');
  if (at == std::string_view::npos || text.substr(at + 1).starts_with("sha256:")) {
    return std::string(text);
  }
  return "***" + std::string(text.substr(at));
}

Result<void> CheckPath(std::string_view path) {
  if (path.empty() || path.size() > kMaxPath) {
    return Fail(ErrorCode::kInvalid, "the path must have 1 to {} characters, not {}", kMaxPath,
                path.size());
  }
  if (!std::all_of(path.begin(), path.end(), IsPathCharacter)) {
    return Fail(ErrorCode::kInvalid,
                "the path can hold only lower-case letters, digits, '_', '-', '.' and '/'");
  }
  return {};
}

Result<void> CheckTag(std::string_view tag) {
  if (tag.empty() || tag.size() > kMaxTag) {
    return Fail(ErrorCode::kInvalid, "the tag must have 1 to {} characters, not {}", kMaxTag,
                tag.size());
  }
  if (!std::all_of(tag.begin(), tag.end(), IsTagCharacter)) {
    return Fail(ErrorCode::kInvalid, "the tag can hold only letters, digits, '_', '-' and '.'");
  }
  return {};
}

/// Empty, or a colon and any number of digits, even none.
bool IsPort(std::string_view text) {
  if (text.empty()) return true;
  return text.front() == ':' && std::all_of(text.begin() + 1, text.end(), IsDigit);
}

/// Brackets are for IPv6 addresses alone.
bool IsAuthority(std::string_view text) {
  if (!std::all_of(text.begin(), text.end(), IsHostCharacter)) return false;
  const size_t open = text.rfind('[');
  if (open == std::string_view::npos) {
    return IsPort(text.substr(std::min(text.rfind(':'), text.size())));
  }
  const size_t close = text.rfind(']');
  if (open != 0 || close == std::string_view::npos) return false;
  const std::string address(text.substr(1, close - 1));
  in6_addr parsed{};
  return inet_pton(AF_INET6, address.c_str(), &parsed) == 1 && IsPort(text.substr(close + 1));
}

// The parsers without context: their messages repeat nothing of the text, which may hold a
// password. The public functions put the Shown text in front.

Result<std::string> RegistryOf(std::string_view text, NameValidation validation) {
  if (text.empty() && validation == NameValidation::kStrict) {
    return Fail(ErrorCode::kInvalid, "the registry must be given");
  }
  if (!IsAuthority(text)) {
    return Fail(ErrorCode::kInvalid,
                "the registry must be a host with an optional port, without credentials");
  }
  if (text.empty() || text == kDockerHubAlias) return std::string(kDockerHub);
  return std::string(text);
}

Result<Repository> RepositoryOf(std::string_view text, NameValidation validation) {
  if (text.empty()) return Fail(ErrorCode::kInvalid, "the repository is empty");
  std::string_view registry_text;
  std::string_view path = text;
  const size_t slash = text.find('/');
  if (slash != std::string_view::npos) {
    const std::string_view head = text.substr(0, slash);
    if (head == "localhost" || head.find_first_of(".:") != std::string_view::npos) {
      registry_text = head;
      path = text.substr(slash + 1);
    }
  }
  if (const Result<void> checked = CheckPath(path); !checked) {
    return tl::unexpected(checked.error());
  }
  Result<std::string> registry = RegistryOf(registry_text, validation);
  if (!registry) return tl::unexpected(registry.error());

  const bool library_is_implied =
      *registry == kDockerHub && path.find('/') == std::string_view::npos;
  if (!library_is_implied) return Repository{std::move(*registry), std::string(path)};
  if (validation == NameValidation::kStrict) {
    return Fail(ErrorCode::kInvalid, "the path must be given in full, with 'library/'");
  }
  return Repository{std::move(*registry), "library/" + std::string(path)};
}

Result<Reference> TagReferenceOf(std::string_view text, NameValidation validation) {
  std::string_view base = text;
  std::string_view tag;
  const size_t colon = text.rfind(':');
  const bool colon_starts_port = text.find('/', std::min(colon, text.size())) != text.npos;
  if (colon != std::string_view::npos && !colon_starts_port) {
    base = text.substr(0, colon);
    tag = text.substr(colon + 1);
    if (tag.empty()) return Fail(ErrorCode::kInvalid, "no tag follows the ':'");
  }
  if (!tag.empty() || validation == NameValidation::kStrict) {
    if (const Result<void> checked = CheckTag(tag); !checked) {
      return tl::unexpected(checked.error());
    }
  }
  Result<Repository> repository = RepositoryOf(base, validation);
  if (!repository) return tl::unexpected(repository.error());
  if (tag.empty()) tag = kDefaultTag;
  return Reference{std::move(*repository), std::string(tag), ""};
}

Result<Reference> DigestReferenceOf(std::string_view text, NameValidation validation) {
  if (std::count(text.begin(), text.end(), '@') != 1) {
    return Fail(ErrorCode::kInvalid, "exactly one '@' must separate the repository and the digest");
  }
  const size_t at = text.find('@');
  const std::string_view digest = text.substr(at + 1);
  if (!Digest::Parse(digest)) {
    return Fail(ErrorCode::kInvalid,
                "the digest must be 'sha256:' and 64 lower-case hexadecimal digits");
  }
  // A tag beside the digest must be a good one, but is then of no account.
  std::string base(text.substr(0, at));
  const Result<Reference> tagged = TagReferenceOf(base, validation);
  if (tagged) base = tagged->repository.ToString();
  Result<Repository> repository = RepositoryOf(base, validation);
  if (!repository) return tl::unexpected(repository.error());
  return Reference{std::move(*repository), "", std::string(digest)};
}

/// Whether `registry` is `host` with an optional port of one to five digits.
bool IsHostWithPort(std::string_view registry, std::string_view host) {
  if (!registry.starts_with(host)) return false;
  std::string_view port = registry.substr(host.size());
  if (port.empty()) return true;
  if (port.front() != ':') return false;
  port.remove_prefix(1);
  return !port.empty() && port.size() <= 5 && std::all_of(port.begin(), port.end(), IsDigit);
}

/// 10/8, 172.16/12 and 192.168/16.
bool IsPrivateAddress(std::string_view registry) {
  const std::string host(registry.substr(0, registry.find(':')));
  in_addr address{};
  if (inet_pton(AF_INET, host.c_str(), &address) != 1) return false;
  const uint32_t bits = ntohl(address.s_addr);
  return bits >> 24 == 10 || bits >> 20 == (172U << 4 | 1U) || bits >> 16 == (192U << 8 | 168U);
}

bool IsLocalhostName(std::string_view registry) {
  constexpr std::string_view kDomain = ".localhost";
  const size_t domain = registry.rfind(kDomain);
  return domain != std::string_view::npos && IsHostWithPort(registry.substr(domain), kDomain);
}

}  // namespace

Result<Repository> ParseRepository(std::string_view text) {
  return ParseRepository(text, NameValidation::kWeak);
}

Result<Repository> ParseRepository(std::string_view text, NameValidation validation) {
  Result<Repository> repository = RepositoryOf(text, validation);
  if (!repository) return Wrap(repository.error(), fmt::format("repository '{}'", Shown(text)));
  return repository;
}

Result<std::string> ParseRegistry(std::string_view text, NameValidation validation) {
  Result<std::string> registry = RegistryOf(text, validation);
  if (!registry) return Wrap(registry.error(), fmt::format("registry '{}'", Shown(text)));
  return registry;
}

Result<Reference> ParseTagReference(std::string_view text, NameValidation validation) {
  Result<Reference> reference = TagReferenceOf(text, validation);
  if (!reference) return Wrap(reference.error(), fmt::format("reference '{}'", Shown(text)));
  return reference;
}

Result<Reference> ParseDigestReference(std::string_view text, NameValidation validation) {
  Result<Reference> reference = DigestReferenceOf(text, validation);
  if (!reference) return Wrap(reference.error(), fmt::format("reference '{}'", Shown(text)));
  return reference;
}

Result<Reference> ParseReference(std::string_view text, NameValidation validation) {
  if (Result<Reference> tagged = TagReferenceOf(text, validation)) return tagged;
  if (Result<Reference> pinned = DigestReferenceOf(text, validation)) return pinned;
  // Whoever wrote an `@` meant a digest, so that is the complaint that helps.
  return text.find('@') == std::string_view::npos ? ParseTagReference(text, validation)
                                                  : ParseDigestReference(text, validation);
}

Result<Repository> ParseOciUrl(std::string_view url) {
  if (!url.starts_with(kUrlPrefix)) {
    return Fail(ErrorCode::kInvalid, "URL must be in format 'oci://<domain>/<org>/<repo>'");
  }
  const std::string_view text = url.substr(kUrlPrefix.size());
  Result<Repository> repository = ParseRepository(text);
  if (repository || !ParseReference(text, NameValidation::kWeak)) return repository;
  repository.error().message += "; a tag or a digest belongs in spec.ref";
  return repository;
}

std::string WithoutUserInfo(std::string_view url) {
  const size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return Shown(url);
  return std::string(url.substr(0, scheme + 3)) + Shown(url.substr(scheme + 3));
}

std::string_view DefaultScheme(std::string_view registry, bool insecure) {
  const bool is_local = registry.starts_with("localhost:") || IsLocalhostName(registry) ||
                        IsHostWithPort(registry, "127.0.0.1") ||
                        IsHostWithPort(registry, "[::1]") || registry == "::1";
  return insecure || is_local || IsPrivateAddress(registry) ? "http" : "https";
}

bool IsDns1123Subdomain(std::string_view name) {
  constexpr size_t kMaxName = 253;
  if (name.size() > kMaxName) return false;
  const auto is_edge = [](char c) { return IsLower(c) || IsDigit(c); };
  for (size_t start = 0; start <= name.size();) {
    const size_t end = std::min(name.find('.', start), name.size());
    const std::string_view label = name.substr(start, end - start);
    if (label.empty() || !is_edge(label.front()) || !is_edge(label.back())) return false;
    const auto is_inner = [&](char c) { return is_edge(c) || c == '-'; };
    if (!std::all_of(label.begin(), label.end(), is_inner)) return false;
    start = end + 1;
  }
  return true;
}

}  // namespace ocirepofs
