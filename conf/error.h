#pragma once

#include <fmt/format.h>

#include <chrono>
#include <optional>
#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace ocirepofs {

/// What went wrong, as far as a caller may act on it. Condition reasons, retries and errno values
/// are derived from it by exhaustive switches; everything else a person needs is in the message.
enum class ErrorCode {
  kInvalid,        // the user's own input breaks its grammar: a manifest, an option, a URL
  kUnsupported,    // well-formed, but this program does not do it
  kNotFound,       // the registry has no such repository, manifest or blob
  kUnauthorized,   // the registry wants credentials, or refuses those it was given
  kThrottled,      // the registry asks for fewer requests (429)
  kUnavailable,    // the registry or the network can't serve now: 5xx, connect, reset, TLS
  kTimeout,        // an operation made no progress in the time it was given
  kMismatch,       // a digest or a size is not what was promised
  kMalformed,      // remote content that can't be read: a manifest, a layer, an answer
  kLimitExceeded,  // remote content larger than what was allowed
  kStorage,        // the local disk refused: full, read-only, an I/O error
  kCorrupt,        // what was cached is no longer what was written
  kCancelled,      // the program is stopping
};

/// A value: a code for the program and one sentence for the user, without a trailing period.
/// The message never holds a secret.
struct Error {
  ErrorCode code;
  std::string message;
  /// Set only where the other side said when to come back (Retry-After).
  std::optional<std::chrono::seconds> retry_after = std::nullopt;
};

/// T, or the Error that kept it from being. The derived class exists for [[nodiscard]].
template <class T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;
};

/// `return Fail(ErrorCode::kInvalid, "no such option '{}'", name);`
template <class... Args>
tl::unexpected<Error> Fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  return tl::unexpected<Error>(Error{code, fmt::format(format, std::forward<Args>(args)...)});
}

/// Puts what was being attempted in front of why it failed: "context: message".
tl::unexpected<Error> Wrap(const Error& cause, std::string_view context);

/// "context: strerror(errno_value)", as kStorage.
tl::unexpected<Error> FailErrno(int errno_value, std::string_view context);

}  // namespace ocirepofs
