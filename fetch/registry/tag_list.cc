#include "fetch/registry/tag_list.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <utility>

namespace ocirepofs {
namespace {

using nlohmann::json;

constexpr size_t kMaxDepth = 64;

bool IsWordChar(unsigned char c) { return std::isalnum(c) != 0 || c == '_'; }

/// Collects the strings of the list "tags" of the outermost object. Events instead of a document,
/// since a page of 64 MiB would grow to many times that as one.
class TagReader final : public nlohmann::json_sax<json> {
 public:
  explicit TagReader(size_t max_tags) : max_tags_(max_tags) {}

  std::vector<std::string>& tags() { return tags_; }
  bool is_object() const { return is_object_; }
  const std::optional<Error>& error() const { return error_; }

  bool null() override { return Other(); }
  bool boolean(bool) override { return Other(); }
  bool number_integer(number_integer_t) override { return Other(); }
  bool number_unsigned(number_unsigned_t) override { return Other(); }
  bool number_float(number_float_t, const string_t&) override { return Other(); }
  bool binary(binary_t&) override { return Other(); }

  bool string(string_t& value) override {
    if (!in_tags_ || depth_ != 2) return Other();
    if (++seen_ > max_tags_) {
      return Stop(ErrorCode::kLimitExceeded, fmt::format("more than {} tags", max_tags_));
    }
    if (IsOciTag(value)) tags_.push_back(std::move(value));
    return true;
  }

  bool key(string_t& name) override {
    if (depth_ == 1) in_tags_ = name == "tags";
    return true;
  }

  bool start_object(size_t) override {
    if (depth_ == 0) is_object_ = true;
    if (depth_ == 1 && in_tags_) return Stop(ErrorCode::kMalformed, "tags is not a list");
    return Open();
  }
  bool end_object() override { return Close(); }
  bool start_array(size_t) override { return Open(); }
  bool end_array() override { return Close(); }

  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    return Stop(ErrorCode::kMalformed, fmt::format("it is not JSON at byte {}", position));
  }

 private:
  bool Stop(ErrorCode code, std::string message) {
    error_ = Error{code, std::move(message)};
    return false;
  }

  /// What is no tag may stand anywhere but inside the list of tags.
  bool Other() {
    if (in_tags_ && depth_ == 2) return Stop(ErrorCode::kMalformed, "a tag is not a string");
    return true;
  }

  bool Open() {
    if (!Other()) return false;
    if (++depth_ > kMaxDepth) return Stop(ErrorCode::kMalformed, "it is nested too deeply");
    return true;
  }

  bool Close() {
    --depth_;
    return true;
  }

  const size_t max_tags_;
  size_t depth_ = 0;
  size_t seen_ = 0;
  bool is_object_ = false;
  bool in_tags_ = false;
  std::vector<std::string> tags_;
  std::optional<Error> error_;
};

}  // namespace

bool IsOciTag(std::string_view text) {
  if (text.empty() || text.size() > 128) return false;
  if (!IsWordChar(static_cast<unsigned char>(text.front()))) return false;
  return std::ranges::all_of(text,
                             [](unsigned char c) { return IsWordChar(c) || c == '.' || c == '-'; });
}

Result<std::vector<std::string>> ParseTagList(std::string_view body, size_t max_tags) {
  TagReader reader(max_tags);
  const bool parsed = json::sax_parse(body, &reader);
  if (reader.error()) return Wrap(*reader.error(), "the tag list can't be read");
  if (!parsed || !reader.is_object()) {
    return Fail(ErrorCode::kMalformed, "the tag list can't be read: it is not a JSON object");
  }
  return std::move(reader.tags());
}

std::optional<std::string> NextLink(std::string_view header) {
  while (true) {
    const size_t open = header.find('<');
    const size_t close = header.find('>', open == std::string_view::npos ? 0 : open);
    if (open == std::string_view::npos || close == std::string_view::npos) return std::nullopt;
    const std::string_view target = header.substr(open + 1, close - open - 1);
    header.remove_prefix(close + 1);
    // Parameters reach to the next link; a '<' has no place in the values that matter here.
    std::string parameters(header.substr(0, header.find('<')));
    std::erase_if(parameters, [](unsigned char c) { return std::isspace(c) != 0 || c == '"'; });
    std::ranges::transform(parameters, parameters.begin(),
                           [](unsigned char c) { return std::tolower(c); });
    const size_t rel = parameters.find(";rel=next");
    if (rel == std::string::npos) continue;
    const std::string_view after = std::string_view(parameters).substr(rel + 9);
    if (after.empty() || after.front() == ';' || after.front() == ',') return std::string(target);
  }
}

}  // namespace ocirepofs
