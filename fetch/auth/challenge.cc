#include "fetch/auth/challenge.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <utility>

namespace ocirepofs {
namespace {

bool IsTokenChar(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

class Cursor {
 public:
  explicit Cursor(std::string_view text) : text_(text) {}

  bool AtEnd() const { return text_.empty(); }

  bool Take(char c) {
    if (!text_.starts_with(c)) return false;
    text_.remove_prefix(1);
    return true;
  }

  void SkipSpace() {
    while (Take(' ') || Take('\t')) {
    }
  }

  void SkipSpaceAndCommas() {
    while (Take(' ') || Take('\t') || Take(',')) {
    }
  }

  std::string TakeLowerToken() {
    std::string token;
    while (!text_.empty() && IsTokenChar(text_.front())) {
      token += static_cast<char>(std::tolower(static_cast<unsigned char>(text_.front())));
      text_.remove_prefix(1);
    }
    return token;
  }

  /// A token or a quoted string; unquoted values are read up to the next comma or space, since
  /// registries are known to leave the quotes off URLs.
  std::optional<std::string> TakeValue() {
    std::string value;
    if (!Take('"')) {
      const size_t size = std::min(text_.find_first_of(", \t"), text_.size());
      value = text_.substr(0, size);
      text_.remove_prefix(size);
      return value;
    }
    while (!text_.empty()) {
      if (Take('"')) return value;
      if (Take('\\') && text_.empty()) return std::nullopt;
      value += text_.front();
      text_.remove_prefix(1);
    }
    return std::nullopt;
  }

  /// The rest of a credential that is one word in place of parameters, as Negotiate sends it.
  void SkipToComma() { text_.remove_prefix(std::min(text_.find(','), text_.size())); }

 private:
  std::string_view text_;
};

}  // namespace

std::string Challenge::Parameter(const std::string& name) const {
  const auto found = parameters.find(name);
  return found == parameters.end() ? std::string() : found->second;
}

std::vector<Challenge> ParseChallenges(std::string_view value) {
  std::vector<Challenge> challenges;
  Cursor cursor(value);
  while (true) {
    cursor.SkipSpaceAndCommas();
    std::string name = cursor.TakeLowerToken();
    if (name.empty()) return challenges;
    Cursor ahead = cursor;
    ahead.SkipSpace();
    // "name=" continues the challenge before it; a name alone starts one.
    if (!challenges.empty() && ahead.Take('=')) {
      ahead.SkipSpace();
      std::optional<std::string> parameter = ahead.TakeValue();
      if (!parameter) return challenges;
      challenges.back().parameters.emplace(std::move(name), std::move(*parameter));
      cursor = ahead;
      continue;
    }
    challenges.push_back({std::move(name), {}});
    // A parameter may follow at once, or a token68 that no scheme read here uses.
    Cursor parameter = ahead;
    parameter.TakeLowerToken();
    parameter.SkipSpace();
    const bool has_parameter = parameter.Take('=') && !parameter.Take('=') && !parameter.AtEnd();
    cursor = ahead;
    if (!has_parameter) cursor.SkipToComma();
  }
}

}  // namespace ocirepofs
