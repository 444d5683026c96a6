#include "fetch/auth/token_auth.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "fetch/registry/registry_error.h"

namespace ocirepofs {
namespace {

using nlohmann::json;

constexpr std::chrono::seconds kDefaultLifetime{60};
constexpr std::chrono::seconds kMaxLifetime = std::chrono::hours(24);
constexpr size_t kMaxTokenAnswer = 64 << 10;
constexpr size_t kMaxScopes = 16;

void AddScopes(std::vector<std::string>& scopes, std::string_view text) {
  while (!text.empty()) {
    const size_t size = std::min(text.find(' '), text.size());
    const std::string scope(text.substr(0, size));
    text.remove_prefix(std::min(size + 1, text.size()));
    const bool is_new = !scope.empty() && std::ranges::find(scopes, scope) == scopes.end();
    if (is_new && scopes.size() < kMaxScopes) scopes.push_back(scope);
  }
}

/// `expires_in` is a number, a number in a string, or missing; what is not a positive number counts
/// as missing.
std::chrono::seconds Lifetime(const json& answer) {
  const auto found = answer.find("expires_in");
  if (found == answer.end()) return kDefaultLifetime;
  double seconds = 0;
  if (found->is_number()) seconds = found->get<double>();
  if (found->is_string()) {
    const auto& text = found->get_ref<const std::string&>();
    std::from_chars(text.data(), text.data() + text.size(), seconds);
  }
  if (!(seconds >= 1)) return kDefaultLifetime;
  const double bounded = std::min(seconds, static_cast<double>(kMaxLifetime.count()));
  return std::chrono::seconds(static_cast<int64_t>(bounded));
}

std::string TokenIn(const json& answer) {
  for (const char* name : {"token", "access_token"}) {
    const auto found = answer.find(name);
    if (found != answer.end() && found->is_string() &&
        !found->get_ref<const std::string&>().empty()) {
      return found->get<std::string>();
    }
  }
  return {};
}

}  // namespace

std::optional<Challenge> FindBearerChallenge(const HttpResponse& response) {
  for (const auto& [name, value] : response.headers) {
    if (name != "www-authenticate") continue;
    for (Challenge& challenge : ParseChallenges(value)) {
      if (challenge.scheme == "bearer") return std::move(challenge);
    }
  }
  return std::nullopt;
}

Result<TokenKey> MakeTokenKey(const TokenHolder& holder, const Challenge& challenge,
                              const std::optional<TokenKey>& last, const ReachPolicy& policy) {
  const Result<Url> realm = ParseUrl(challenge.Parameter("realm"));
  if (!realm) return Wrap(realm.error(), "the registry's token realm");
  if (const Result<void> allowed = CheckRealm(*realm, policy); !allowed) {
    return tl::unexpected(allowed.error());
  }
  TokenKey key{holder, realm->ToString(), challenge.Parameter("service"), {}};
  const std::string pull = fmt::format("repository:{}:pull", holder.repository);
  std::vector<std::string> named;
  AddScopes(named, challenge.Parameter("scope"));
  // Some token servers read the first scope only, so the one that is needed goes there.
  if (std::ranges::find(named, pull) == named.end()) key.scopes.push_back(pull);
  for (const std::string& scope : named) AddScopes(key.scopes, scope);
  // Endpoints of one repository may challenge for different scopes; one token then serves all.
  if (last && last->realm == key.realm && last->service == key.service) {
    for (const std::string& scope : last->scopes) AddScopes(key.scopes, scope);
  }
  return key;
}

Result<Token> FetchToken(Exchange& exchange, const TokenKey& key, const Clock& clock) {
  Result<Url> url = ParseUrl(key.realm);
  if (!url) return tl::unexpected(url.error());
  char separator = url->target.find('?') == std::string::npos ? '?' : '&';
  const auto add_query = [&](std::string_view name, std::string_view value) {
    url->target += fmt::format("{}{}={}", separator, name, PercentEncode(value));
    separator = '&';
  };
  if (!key.service.empty()) add_query("service", key.service);
  for (const std::string& scope : key.scopes) add_query("scope", scope);

  HttpRequest request;
  request.skip_tls_verification = exchange.policy.insecure;
  request.max_body = kMaxTokenAnswer;
  const Result<RedirectedResponse> answer = PerformRedirected(exchange, request, *url, "");
  if (!answer) return Wrap(answer.error(), "token");
  const std::string name =
      "token: " + DescribeRequest(request.method, answer->url, answer->foreign);
  if (answer->response.status / 100 != 2) return FailStatus(name, answer->response, clock);

  const json document = json::parse(answer->response.body, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object()) {
    return Fail(ErrorCode::kMalformed, "{}: the answer is not a JSON object", name);
  }
  Token token{TokenIn(document), Lifetime(document)};
  if (token.value.empty()) {
    return Fail(ErrorCode::kMalformed, "{}: the answer holds no token", name);
  }
  const auto is_visible = [](char c) { return c > 0x20 && c < 0x7f; };
  if (!std::ranges::all_of(token.value, is_visible)) {
    return Fail(ErrorCode::kMalformed, "{}: the token holds characters that no header may", name);
  }
  return token;
}

}  // namespace ocirepofs
