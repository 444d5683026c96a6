#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "conf/error.h"

namespace ocirepofs {

/// Of the OCI distribution specification: a letter, digit or underscore, then up to 127 of those,
/// dots and dashes.
bool IsOciTag(std::string_view text);

/// One page of a tag list, `{"name":…,"tags":[…]|null}`. Entries that are no OCI tags are left out:
/// no manifest can be asked for by such a name. More than `max_tags` are kLimitExceeded.
Result<std::vector<std::string>> ParseTagList(std::string_view body, size_t max_tags);

/// The target of the link with rel=next in a Link header (RFC 8288).
std::optional<std::string> NextLink(std::string_view header);

}  // namespace ocirepofs
