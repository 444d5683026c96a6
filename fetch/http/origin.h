#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "conf/error.h"
#include "fetch/http/address.h"

namespace ocirepofs {

/// Scheme, host and port: the reach of a credential.
struct Origin {
  std::string scheme;  // "http" or "https"
  std::string host;    // lower case; an IPv6 literal in brackets
  uint16_t port = 0;

  /// "host", or "host:port" where the port is not the scheme's own. For messages.
  std::string ToString() const;
  friend bool operator==(const Origin&, const Origin&) = default;
};

/// An http or https URL without credentials and without a fragment.
struct Url {
  Origin origin;
  std::string target;  // path and query, starting with '/'

  std::string ToString() const;
  /// Without the query, where secrets are (presigned URLs).
  std::string_view path() const;
};

/// Any other scheme, and credentials inside the URL, are kMalformed.
Result<Url> ParseUrl(std::string_view text);

/// What `reference` (a Location or a Link) means when seen at `base`.
Result<Url> ResolveUrl(const Url& base, std::string_view reference);

/// What a registry, by redirect or realm, may make this program connect to.
struct ReachPolicy {
  Origin registry;
  /// Of the address that answered for the registry.
  AddressClass nearest = AddressClass::kPublic;
  /// spec.insecure: plain http may follow https.
  bool insecure = false;

  /// The limit on resolved addresses: HttpRequest::nearest.
  AddressClass Limit() const;
};

/// Refuses a redirect from https to http unless insecure, and one to an IP literal or `localhost`
/// that is nearer than the registry's own host. Errors are kMalformed.
Result<void> CheckRedirect(const Url& from, const Url& to, const ReachPolicy& policy);

/// Refuses a token realm that is not https (http where the registry itself is insecure), and one at
/// a loopback, private or link-local IP literal other than the registry's own host and port.
Result<void> CheckRealm(const Url& realm, const ReachPolicy& policy);

/// Encodes everything but RFC 3986's unreserved characters.
std::string PercentEncode(std::string_view text);

}  // namespace ocirepofs
