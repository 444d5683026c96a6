#include "fetch/http/origin.h"

#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <memory>

#include "conf/printable.h"

namespace ocirepofs {
namespace {

constexpr size_t kMaxUrl = 16 << 10;

using CurlUrl = std::unique_ptr<CURLU, decltype(&curl_url_cleanup)>;

/// Empty where the URL has no such part.
std::string Part(const CurlUrl& url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url.get(), part, &text, flags) != CURLUE_OK) return {};
  const std::unique_ptr<char, decltype(&curl_free)> owner(text, curl_free);
  return text;
}

tl::unexpected<Error> Malformed(std::string_view text, std::string_view reason) {
  // The query is left out: it may hold a signature.
  return Fail(ErrorCode::kMalformed, "'{}' {}", Printable(text.substr(0, text.find('?')), 256),
              reason);
}

Result<Url> Take(const CurlUrl& url, std::string_view text) {
  Url result;
  result.origin.scheme = Part(url, CURLUPART_SCHEME);
  if (result.origin.scheme != "http" && result.origin.scheme != "https") {
    return Malformed(text, "is neither an http nor an https URL");
  }
  result.origin.host = Part(url, CURLUPART_HOST);
  std::ranges::transform(result.origin.host, result.origin.host.begin(),
                         [](unsigned char c) { return std::tolower(c); });
  const std::string port = Part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT);
  const auto end = port.data() + port.size();
  if (result.origin.host.empty() ||
      std::from_chars(port.data(), end, result.origin.port).ptr != end) {
    return Malformed(text, "has no host");
  }
  result.target = Part(url, CURLUPART_PATH);
  if (!result.target.starts_with('/')) result.target.insert(0, "/");
  if (const std::string query = Part(url, CURLUPART_QUERY); !query.empty()) {
    result.target += "?" + query;
  }
  return result;
}

Result<Url> Parse(const std::string* base, std::string_view text) {
  if (text.empty() || text.size() > kMaxUrl) {
    return Malformed(text.substr(0, 64), "is empty or too long for a URL");
  }
  // curl_url reads up to a NUL, so a longer text would be judged by its beginning.
  if (text.find('\0') != std::string_view::npos) return Malformed(text, "is not a URL");
  const CurlUrl url(curl_url(), curl_url_cleanup);
  if (base != nullptr &&
      curl_url_set(url.get(), CURLUPART_URL, base->c_str(), CURLU_DISALLOW_USER) != CURLUE_OK) {
    return Malformed(*base, "is not a URL");
  }
  const std::string owned(text);
  const CURLUcode code = curl_url_set(url.get(), CURLUPART_URL, owned.c_str(), CURLU_DISALLOW_USER);
  if (code == CURLUE_USER_NOT_ALLOWED) {
    return Fail(ErrorCode::kMalformed, "a URL with credentials in it is not followed");
  }
  if (code == CURLUE_UNSUPPORTED_SCHEME) {
    return Malformed(text, "is neither an http nor an https URL");
  }
  if (code != CURLUE_OK) return Malformed(text, "is not a URL");
  return Take(url, text);
}

}  // namespace

std::string Origin::ToString() const {
  if (port == (scheme == "https" ? 443 : 80)) return host;
  return fmt::format("{}:{}", host, port);
}

std::string Url::ToString() const {
  return fmt::format("{}://{}{}", origin.scheme, origin.ToString(), target);
}

std::string_view Url::path() const { return std::string_view(target).substr(0, target.find('?')); }

Result<Url> ParseUrl(std::string_view text) { return Parse(nullptr, text); }

Result<Url> ResolveUrl(const Url& base, std::string_view reference) {
  const std::string base_text = base.ToString();
  return Parse(&base_text, reference);
}

AddressClass ReachPolicy::Limit() const { return std::max(nearest, ClassifyHost(registry.host)); }

Result<void> CheckRedirect(const Url& from, const Url& to, const ReachPolicy& policy) {
  if (from.origin.scheme == "https" && to.origin.scheme == "http" && !policy.insecure) {
    return Fail(ErrorCode::kMalformed, "redirect from https to http://{} refused",
                Printable(to.origin.ToString(), 256));
  }
  if (to.origin.host != policy.registry.host &&
      ClassifyHost(to.origin.host) > ClassifyHost(policy.registry.host)) {
    return Fail(ErrorCode::kMalformed, "redirect to the local address {} refused",
                Printable(to.origin.ToString(), 256));
  }
  return {};
}

Result<void> CheckRealm(const Url& realm, const ReachPolicy& policy) {
  const std::string name = Printable(realm.origin.ToString(), 256);
  if (realm.origin.scheme != "https" && !policy.insecure && policy.registry.scheme != "http") {
    return Fail(ErrorCode::kMalformed, "token realm http://{} refused: it is not https", name);
  }
  if (realm.origin.host == policy.registry.host && realm.origin.port == policy.registry.port) {
    return {};
  }
  // A `localhost` name is as near as the literal, but a local registry may well name it.
  const bool is_name = std::isalpha(static_cast<unsigned char>(realm.origin.host.front())) != 0;
  const AddressClass allowed = is_name ? ClassifyHost(policy.registry.host) : AddressClass::kPublic;
  if (ClassifyHost(realm.origin.host) > allowed) {
    return Fail(ErrorCode::kMalformed, "token realm at the local address {} refused", name);
  }
  return {};
}

std::string PercentEncode(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool alphanumeric = (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
    if (alphanumeric || (byte >= '0' && byte <= '9') ||
        std::string_view("-._~").find(c) != std::string_view::npos) {
      encoded += c;
    } else {
      encoded += fmt::format("%{:02X}", byte);
    }
  }
  return encoded;
}

}  // namespace ocirepofs
