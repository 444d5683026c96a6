#include "fetch/http/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <cstring>
#include <string>

namespace ocirepofs {
namespace {

AddressClass ClassifyV4(uint32_t address) {
  const auto in = [address](uint32_t network, int bits) {
    return (address ^ network) >> (32 - bits) == 0;
  };
  if (in(0x00000000, 8) || in(0x7f000000, 8)) return AddressClass::kLoopback;
  if (in(0x0a000000, 8) || in(0xac100000, 12) || in(0xc0a80000, 16) || in(0x64400000, 10)) {
    return AddressClass::kPrivate;
  }
  if (in(0xa9fe0000, 16) || in(0xe0000000, 3)) return AddressClass::kLinkLocal;
  return AddressClass::kPublic;
}

AddressClass ClassifyV6(const std::array<uint8_t, 16>& address) {
  static constexpr std::array<uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  static constexpr std::array<uint8_t, 12> kNat64 = {0x00, 0x64, 0xff, 0x9b};
  static constexpr std::array<uint8_t, 12> kZero = {};
  const auto has_prefix = [&](const std::array<uint8_t, 12>& prefix) {
    return std::equal(prefix.begin(), prefix.end(), address.begin());
  };
  const uint32_t last = uint32_t{address[12]} << 24 | uint32_t{address[13]} << 16 |
                        uint32_t{address[14]} << 8 | address[15];
  if (has_prefix(kZero) && last <= 1) return AddressClass::kLoopback;
  // These ranges carry an IPv4 address, which is where the packet ends up.
  if (has_prefix(kZero) || has_prefix(kMapped) || has_prefix(kNat64)) return ClassifyV4(last);
  if ((address[0] & 0xfe) == 0xfc) return AddressClass::kPrivate;
  if (address[0] == 0xfe && (address[1] & 0xc0) == 0x80) return AddressClass::kLinkLocal;
  if (address[0] == 0xff) return AddressClass::kLinkLocal;
  return AddressClass::kPublic;
}

}  // namespace

AddressClass ClassifyAddress(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, address, sizeof v4);
    return ClassifyV4(ntohl(v4.sin_addr.s_addr));
  }
  if (address->sa_family == AF_INET6) {
    sockaddr_in6 v6;
    std::memcpy(&v6, address, sizeof v6);
    return ClassifyV6(std::to_array(v6.sin6_addr.s6_addr));
  }
  return AddressClass::kLoopback;
}

AddressClass ClassifyHost(std::string_view host) {
  std::string name(host);
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  if (name.size() >= 2 && name.front() == '[' && name.back() == ']') {
    name = name.substr(1, name.size() - 2);
  }
  if (name.ends_with('.')) name.pop_back();
  if (name == "localhost" || name.ends_with(".localhost")) return AddressClass::kLoopback;
  in_addr v4;
  if (inet_pton(AF_INET, name.c_str(), &v4) == 1) return ClassifyV4(ntohl(v4.s_addr));
  in6_addr v6;
  if (inet_pton(AF_INET6, name.c_str(), &v6) == 1) return ClassifyV6(std::to_array(v6.s6_addr));
  return AddressClass::kPublic;
}

}  // namespace ocirepofs
