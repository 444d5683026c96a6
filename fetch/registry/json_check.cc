#include "fetch/registry/json_check.h"

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace ocirepofs {
namespace {

using nlohmann::json;

/// nlohmann's interface of parser events; a false return ends the parse.
class Checker final : public nlohmann::json_sax<json> {
 public:
  explicit Checker(const JsonLimits& limits) : limits_(limits) {}

  const std::string& problem() const { return problem_; }

  bool null() override { return Count(); }
  bool boolean(bool) override { return Count(); }
  bool number_integer(number_integer_t) override { return Count(); }
  bool number_unsigned(number_unsigned_t) override { return Count(); }
  bool number_float(number_float_t, const string_t&) override { return Count(); }
  bool string(string_t& value) override { return HasNoNul(value) && Count(); }
  bool binary(binary_t&) override { return Count(); }

  bool start_object(size_t) override { return Open(); }
  bool end_object() override { return Close(); }
  bool start_array(size_t) override { return Open(); }
  bool end_array() override { return Close(); }

  bool key(string_t& name) override {
    if (!HasNoNul(name)) return false;
    const auto found = std::ranges::find(limits_.unique_keys, std::string_view(name));
    if (found == limits_.unique_keys.end()) return true;
    const uint64_t bit = uint64_t{1} << (found - limits_.unique_keys.begin());
    if ((open_.back() & bit) != 0) return Stop("the key '" + name + "' appears twice");
    open_.back() |= bit;
    return true;
  }

  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    return Stop(fmt::format("it is not JSON at byte {}", position));
  }

 private:
  bool Stop(std::string problem) {
    problem_ = std::move(problem);
    return false;
  }

  bool HasNoNul(const std::string& text) {
    return text.find('\0') == std::string::npos || Stop("a string holds a NUL");
  }

  bool Count() { return ++values_ <= limits_.max_values || Stop("it has too many values"); }

  bool Open() {
    if (open_.size() >= limits_.max_depth) {
      return Stop(fmt::format("it is nested deeper than {} levels", limits_.max_depth));
    }
    open_.push_back(0);
    return Count();
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  const JsonLimits limits_;
  size_t values_ = 0;
  std::vector<uint64_t> open_;  // of each open object, the unique keys seen in it
  std::string problem_;
};

}  // namespace

Result<void> CheckJson(std::string_view text, const JsonLimits& limits) {
  if (text.starts_with("\xEF\xBB\xBF")) {
    return Fail(ErrorCode::kMalformed, "it begins with a byte order mark");
  }
  // The parser takes a NUL for the end of its input and would leave the rest unread.
  if (text.find('\0') != std::string_view::npos) {
    return Fail(ErrorCode::kMalformed, "it holds a NUL byte");
  }
  Checker checker(limits);
  if (!json::sax_parse(text, &checker)) {
    return Fail(ErrorCode::kMalformed, "{}", checker.problem());
  }
  return {};
}

}  // namespace ocirepofs
