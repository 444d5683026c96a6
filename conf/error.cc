#include "conf/error.h"

#include <system_error>

namespace ocirepofs {

tl::unexpected<Error> Wrap(const Error& cause, std::string_view context) {
  Error wrapped = cause;
  wrapped.message = fmt::format("{}: {}", context, cause.message);
  return tl::unexpected<Error>(std::move(wrapped));
}

tl::unexpected<Error> FailErrno(int errno_value, std::string_view context) {
  return Fail(ErrorCode::kStorage, "{}: {}", context, std::generic_category().message(errno_value));
}

}  // namespace ocirepofs
