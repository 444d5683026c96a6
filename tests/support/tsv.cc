#include "tests/support/tsv.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <fstream>
#include <stdexcept>

namespace ocirepofs::test {
namespace {

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

/// The character that the escape behind a backslash stands for, taken off `rest`.
char TakeEscape(std::string_view& rest) {
  if (rest.empty()) throw std::runtime_error("a field ends in a backslash");
  const char kind = rest.front();
  rest.remove_prefix(1);
  switch (kind) {
    case '\\':
      return '\\';
    case 'n':
      return '\n';
    case 't':
      return '\t';
    case 'r':
      return '\r';
    case 'x': {
      const std::string_view digits = rest.substr(0, 2);
      unsigned value = 0;
      const auto [end, error] =
          std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
      if (error != std::errc() || digits.size() != 2 || end != digits.data() + 2) {
        throw std::runtime_error("\\x needs two hexadecimal digits");
      }
      rest.remove_prefix(2);
      return static_cast<char>(value);
    }
    default:
      throw std::runtime_error(fmt::format("unknown escape \\{}", kind));
  }
}

std::string VectorDirectory() {
  const char* directory = std::getenv("OCIREPOFS_TEST_VECTORS");
  return directory != nullptr ? directory : OCIREPOFS_TEST_DATA "/vectors";
}

}  // namespace

std::optional<std::string> DecodeTsvField(std::string_view field) {
  if (field == "\\e") return "";
  if (field == "\\z") return std::nullopt;
  std::string text;
  while (!field.empty()) {
    const char c = field.front();
    field.remove_prefix(1);
    text += c == '\\' ? TakeEscape(field) : c;
  }
  return text;
}

const std::optional<std::string>& TsvRow::Maybe(const std::string& column) const {
  const auto field = fields_.find(column);
  if (field == fields_.end()) {
    throw std::runtime_error(fmt::format("{}: no column '{}'", where_, column));
  }
  return field->second;
}

const std::string& TsvRow::Text(const std::string& column) const {
  const std::optional<std::string>& field = Maybe(column);
  if (!field) throw std::runtime_error(fmt::format("{}: '{}' is absent", where_, column));
  return *field;
}

bool TsvRow::Bool(const std::string& column) const {
  const std::string& text = Text(column);
  if (text == "true") return true;
  if (text == "false") return false;
  throw std::runtime_error(fmt::format("{}: '{}' is not a truth value: {}", where_, column, text));
}

std::vector<TsvRow> LoadVectors(const std::string& name) {
  const std::string path = VectorDirectory() + "/" + name;
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(fmt::format("{} can't be read", path));

  constexpr std::string_view kColumnsMark = "# columns: ";
  std::vector<std::string> columns;
  std::vector<TsvRow> rows;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    const std::string where = fmt::format("{}:{}", name, number);
    if (line.starts_with(kColumnsMark)) {
      const auto names = Split(std::string_view(line).substr(kColumnsMark.size()), '\t');
      columns.assign(names.begin(), names.end());
    }
    if (line.starts_with('#')) continue;
    const std::vector<std::string_view> fields = Split(line, '\t');
    if (columns.empty() || fields.size() != columns.size()) {
      throw std::runtime_error(
          fmt::format("{}: {} fields for {} columns", where, fields.size(), columns.size()));
    }
    std::map<std::string, std::optional<std::string>> decoded;
    for (size_t i = 0; i < fields.size(); ++i) {
      try {
        decoded[columns[i]] = DecodeTsvField(fields[i]);
      } catch (const std::runtime_error& error) {
        throw std::runtime_error(fmt::format("{}: {}: {}", where, columns[i], error.what()));
      }
    }
    rows.emplace_back(where, std::move(decoded));
  }
  if (rows.empty()) throw std::runtime_error(fmt::format("{} has no rows", path));
  return rows;
}

std::vector<std::string_view> SplitPath(std::string_view path) {
  if (path.empty()) return {};
  return Split(path, '/');
}

}  // namespace ocirepofs::test
