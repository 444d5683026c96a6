#include "fetch/http/transport.h"

#include <algorithm>

namespace ocirepofs {

const std::string* HttpResponse::Header(std::string_view lower_case_name) const {
  const auto found =
      std::ranges::find(headers, lower_case_name, &std::pair<std::string, std::string>::first);
  return found == headers.end() ? nullptr : &found->second;
}

}  // namespace ocirepofs
