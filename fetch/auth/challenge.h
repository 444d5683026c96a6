#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace ocirepofs {

/// One challenge of a WWW-Authenticate header (RFC 9110, 11.6.1).
struct Challenge {
  std::string scheme;                             // lower case: "bearer", "basic"
  std::map<std::string, std::string> parameters;  // names in lower case; the first of a name counts

  /// Empty where there is none of that name.
  std::string Parameter(const std::string& name) const;
};

/// All challenges of one header's value, in order. Never fails: what breaks the grammar ends the
/// list, and what was read before it counts.
std::vector<Challenge> ParseChallenges(std::string_view value);

}  // namespace ocirepofs
