#include "fetch/registry/registry_error.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "conf/printable.h"

namespace ocirepofs {
namespace {

using nlohmann::json;

constexpr std::chrono::seconds kMaxRetryAfter = std::chrono::hours(1);
constexpr size_t kMaxMessage = 4096;

constexpr std::array<std::pair<int, std::string_view>, 28> kReasons = {{
    {200, "OK"},
    {204, "No Content"},
    {206, "Partial Content"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {416, "Range Not Satisfiable"},
    {418, "I'm a Teapot"},
    {429, "Too Many Requests"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
}};

ErrorCode CodeOf(int status) {
  if (status == 404) return ErrorCode::kNotFound;
  if (status == 401 || status == 403) return ErrorCode::kUnauthorized;
  if (status == 429) return ErrorCode::kThrottled;
  if (status == 408 || status >= 500) return ErrorCode::kUnavailable;
  return ErrorCode::kMalformed;
}

std::string StringIn(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

/// "CODE: message" of each error in the list, or nothing.
std::string ErrorList(const std::string& body) {
  std::string text;
  const json document = json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object()) return text;
  const auto errors = document.find("errors");
  if (errors == document.end() || !errors->is_array()) return text;
  for (const json& error : *errors) {
    if (!error.is_object()) continue;
    const std::string code = StringIn(error, "code");
    const std::string message = StringIn(error, "message");
    if (code.empty() && message.empty()) continue;
    if (!text.empty()) text += "; ";
    text += code;
    if (!code.empty() && !message.empty()) text += ": ";
    text += message;
    if (text.size() > kMaxMessage) break;
  }
  return text;
}

}  // namespace

std::string StatusText(int status) {
  const auto found = std::ranges::find(kReasons, status, &std::pair<int, std::string_view>::first);
  if (found == kReasons.end()) return std::to_string(status);
  return fmt::format("{} {}", status, found->second);
}

std::optional<std::chrono::seconds> ParseRetryAfter(std::string_view value, const Clock& clock) {
  if (value.empty()) return std::nullopt;
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (std::ranges::all_of(value, is_digit)) {
    int64_t seconds = 0;
    for (const char c : value) {
      seconds = std::min<int64_t>(seconds * 10 + (c - '0'), kMaxRetryAfter.count());
    }
    return std::chrono::seconds(seconds);
  }
  const time_t date = curl_getdate(std::string(value).c_str(), nullptr);
  if (date == -1) return std::nullopt;
  const auto wait = std::chrono::system_clock::from_time_t(date) - clock.WallNow();
  return std::clamp(std::chrono::ceil<std::chrono::seconds>(wait), std::chrono::seconds(0),
                    kMaxRetryAfter);
}

std::optional<std::chrono::seconds> RetryAfter(const HttpResponse& response, const Clock& clock) {
  if (response.status != 429 && response.status != 503) return std::nullopt;
  const std::string* value = response.Header("retry-after");
  return value == nullptr ? std::nullopt : ParseRetryAfter(*value, clock);
}

tl::unexpected<Error> FailStatus(const std::string& request, const HttpResponse& response,
                                 const Clock& clock) {
  const std::string list = ErrorList(response.body);
  const std::string reason =
      list.empty() ? "unexpected status code " + StatusText(response.status) : list;
  return tl::unexpected<Error>(Error{CodeOf(response.status),
                                     fmt::format("{}: {}", request, Printable(reason, kMaxMessage)),
                                     RetryAfter(response, clock)});
}

}  // namespace ocirepofs
