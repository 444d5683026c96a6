#include "fetch/registry/registry_channel.h"

#include <algorithm>
#include <array>
#include <condition_variable>

#include "fetch/auth/token_auth.h"
#include "fetch/registry/registry.h"
#include "fetch/registry/registry_error.h"

namespace ocirepofs {
namespace {

constexpr int kMaxTries = 3;
constexpr std::chrono::nanoseconds kFirstPause = std::chrono::milliseconds(500);
constexpr size_t kMaxSchemes = 1024;

bool IsNoContact(const Error& error) {
  return error.code == ErrorCode::kUnavailable || error.code == ErrorCode::kTimeout;
}

bool IsTransient(int status) {
  return status == 408 || status == 500 || status == 502 || status == 503 || status == 504;
}

bool SleepUnlessStopped(std::chrono::nanoseconds duration, const std::stop_token& stop) {
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any never;
  never.wait_for(lock, stop, duration, [] { return false; });
  return !stop.stop_requested();
}

/// Docker Hub's name and the host that serves its API differ.
std::string_view ApiHost(std::string_view registry) {
  return registry == "index.docker.io" ? "registry-1.docker.io" : registry;
}

}  // namespace

/// One Send, with what its tries share.
struct RegistryChannel::Attempt {
  const RegistryAccess& access;
  const RegistryRequest& request;
  const BodySink* sink;
  std::stop_token stop;
  Deadline deadline;
  bool renewed_token = false;
  bool reached = false;    // the registry answered under the scheme of this try
  bool delivered = false;  // the sink has seen bytes
};

RegistryChannel::RegistryChannel(Transport* transport, const Clock* clock, Sleeper sleeper)
    : transport_(transport),
      clock_(clock),
      sleeper_(sleeper ? std::move(sleeper) : SleepUnlessStopped),
      tokens_(clock) {}

tl::unexpected<Error> RegistryChannel::StatusFailure(const RegistryAnswer& answer) const {
  return FailStatus(answer.request, answer.response, *clock_);
}

Result<RegistryAnswer> RegistryChannel::Send(const RegistryAccess& access,
                                             const RegistryRequest& request, const BodySink* sink,
                                             const std::stop_token& stop) {
  Attempt attempt{.access = access,
                  .request = request,
                  .sink = nullptr,
                  .stop = stop,
                  .deadline = Deadline(clock_, access.timeout)};
  const BodySink counting = [&](std::span<const std::byte> data) {
    attempt.delivered = true;
    return (*sink)(data);
  };
  if (sink != nullptr) attempt.sink = &counting;
  Result<RegistryAnswer> answer = TryRepeatedly(attempt);
  // The registry may come back under its other scheme.
  if (!answer && IsNoContact(answer.error()) && !attempt.reached) ForgetScheme(access);
  return answer;
}

Result<RegistryAnswer> RegistryChannel::TryRepeatedly(Attempt& attempt) {
  std::chrono::nanoseconds pause = kFirstPause;
  for (int tries = 1;; ++tries, pause *= 3) {
    Result<RegistryAnswer> answer = TrySchemes(attempt);
    if (answer) {
      const HttpResponse& response = answer->response;
      if (!attempt.request.retry_statuses || !IsTransient(response.status)) return answer;
      const auto asked = RetryAfter(response, *clock_);
      if (asked && *asked > pause) return answer;
    } else if (answer.error().code != ErrorCode::kUnavailable || attempt.delivered) {
      return answer;
    }
    if (tries == kMaxTries || attempt.deadline.Left() <= pause) return answer;
    if (!sleeper_(pause, attempt.stop)) {
      return Fail(ErrorCode::kCancelled, "stopped while waiting to try again");
    }
  }
}

std::vector<std::string_view> RegistryChannel::Schemes(const RegistryAccess& access) const {
  const std::string& registry = access.repository.registry;
  {
    const std::lock_guard lock(mutex_);
    const auto known = schemes_.find({registry, access.insecure});
    if (known != schemes_.end()) return {known->second};
  }
  // What is local seldom speaks TLS, and some plain servers wait for more when greeted in it.
  if (DefaultScheme(registry, false) == "http") return {"http", "https"};
  if (access.insecure) return {"https", "http"};
  return {"https"};
}

void RegistryChannel::RememberScheme(const RegistryAccess& access, std::string_view scheme) {
  const std::lock_guard lock(mutex_);
  if (schemes_.size() >= kMaxSchemes) schemes_.clear();
  schemes_.insert_or_assign({access.repository.registry, access.insecure}, scheme);
}

void RegistryChannel::ForgetScheme(const RegistryAccess& access) {
  const std::lock_guard lock(mutex_);
  schemes_.erase({access.repository.registry, access.insecure});
}

Result<RegistryAnswer> RegistryChannel::TrySchemes(Attempt& attempt) {
  const std::vector<std::string_view> schemes = Schemes(attempt.access);
  std::optional<Error> first_error;
  std::optional<RegistryAnswer> refusal;
  for (const std::string_view scheme : schemes) {
    const bool is_last = scheme == schemes.back();
    const Result<Url> url = ParseUrl(fmt::format(
        "{}://{}{}", scheme, ApiHost(attempt.access.repository.registry), attempt.request.target));
    if (!url) return tl::unexpected(url.error());
    attempt.reached = false;
    Result<RegistryAnswer> answer = TryAuthenticated(attempt, *url);
    // How servers answer plain HTTP on a port that speaks TLS.
    if (answer && answer->response.status == 400 && scheme == "http" && !is_last) {
      refusal = std::move(*answer);
      continue;
    }
    if (answer) {
      RememberScheme(attempt.access, scheme);
      return answer;
    }
    const bool no_contact = IsNoContact(answer.error()) && !attempt.reached;
    if (no_contact && !is_last) {
      first_error = answer.error();
      continue;
    }
    // It does speak plain HTTP, and means its 400.
    if (refusal && no_contact) {
      RememberScheme(attempt.access, "http");
      return std::move(*refusal);
    }
    if (first_error && first_error->message != answer.error().message) {
      return Wrap(answer.error(), fmt::format("{}; then by {}", first_error->message, scheme));
    }
    return answer;
  }
  return Fail(ErrorCode::kUnavailable, "no scheme to reach {} by",
              attempt.access.repository.registry);
}

Result<RegistryAnswer> RegistryChannel::TryAuthenticated(Attempt& attempt, const Url& url) {
  HttpRequest http;
  http.method = attempt.request.method;
  http.headers = attempt.request.headers;
  http.max_body = attempt.request.max_body;
  http.check_headers = attempt.request.check_headers;
  http.skip_tls_verification = attempt.access.insecure;
  Exchange exchange{.transport = *transport_,
                    .policy = {.registry = url.origin, .insecure = attempt.access.insecure},
                    .deadline = attempt.deadline,
                    .sink = attempt.sink,
                    .stop = attempt.stop};

  const TokenHolder holder{
      .origin = fmt::format("{}://{}", url.origin.scheme, url.origin.ToString()),
      .repository = attempt.access.repository.path,
      .identity = {}};
  std::optional<TokenKey> key = tokens_.LastKey(holder);
  std::optional<std::string> token = key ? tokens_.Find(*key) : std::nullopt;
  while (true) {
    Result<RedirectedResponse> result =
        PerformRedirected(exchange, http, url, token ? "Bearer " + *token : "");
    attempt.reached = attempt.reached || exchange.reached;
    if (!result) return tl::unexpected(result.error());
    RegistryAnswer answer{std::move(result->response),
                          DescribeRequest(http.method, result->url, result->foreign),
                          url.ToString()};
    // What a redirect leads to has no say in credentials.
    if (answer.response.status != 401 || result->foreign) return answer;
    if (token) tokens_.Drop(*key, *token);
    const std::optional<Challenge> challenge = FindBearerChallenge(answer.response);
    if (attempt.renewed_token || !challenge) return answer;

    const Result<TokenKey> new_key = MakeTokenKey(holder, *challenge, key, exchange.policy);
    if (!new_key) return Wrap(new_key.error(), answer.request);
    key = *new_key;
    const auto fetch = [&] {
      Exchange token_exchange = exchange;
      token_exchange.sink = nullptr;
      return FetchToken(token_exchange, *key, *clock_);
    };
    Result<std::string> fetched = tokens_.Get(*key, fetch, attempt.stop);
    if (!fetched) return Wrap(fetched.error(), answer.request);
    token = std::move(*fetched);
    attempt.renewed_token = true;
  }
}

}  // namespace ocirepofs
