#pragma once

#include <sys/socket.h>

#include <string_view>

namespace ocirepofs {

/// How near to this machine an address is, in rising order. What a registry names (a redirect, a
/// token realm) must not be nearer than the registry itself, or a hostile registry could make this
/// program knock at doors that the registry can't reach.
enum class AddressClass {
  kPublic,
  kPrivate,    // RFC 1918, unique local, carrier-grade NAT
  kLoopback,   // also the unspecified address, which reaches the same machine
  kLinkLocal,  // where clouds keep their metadata; also multicast and reserved ranges
};

AddressClass ClassifyAddress(const sockaddr* address);

/// Of a URL's host: an IP literal (with brackets or without) or a `localhost` name. Any other name
/// counts as public, since only the connection shows where it leads.
AddressClass ClassifyHost(std::string_view host);

}  // namespace ocirepofs
