#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "conf/clock.h"
#include "conf/error.h"
#include "fetch/http/transport.h"

namespace ocirepofs {

/// "404 Not Found"; the number alone where HTTP has no name for it.
std::string StatusText(int status);

/// A Retry-After value, seconds or an HTTP date, clamped to 0..1 h; nothing when it is neither.
std::optional<std::chrono::seconds> ParseRetryAfter(std::string_view value, const Clock& clock);

/// The Retry-After of a 429 or 503 answer.
std::optional<std::chrono::seconds> RetryAfter(const HttpResponse& response, const Clock& clock);

/// An answer other than 2xx as an error: "`request`: MANIFEST_UNKNOWN: manifest unknown" from the
/// body's error list, else "`request`: unexpected status code 500 Internal Server Error".
tl::unexpected<Error> FailStatus(const std::string& request, const HttpResponse& response,
                                 const Clock& clock);

}  // namespace ocirepofs
