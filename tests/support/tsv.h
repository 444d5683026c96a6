#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ocirepofs::test {

/// A vector file: tab-separated, the last comment line names the columns, and every field is
/// escaped: `\\`, `\n`, `\t`, `\r`, `\xHH`; a whole field `\e` is empty, `\z` is absent.
/// Everything here throws std::runtime_error, naming file and line, for what it does not
/// understand: under GoogleTest that fails the test.
class TsvRow {
 public:
  TsvRow(std::string where, std::map<std::string, std::optional<std::string>> fields)
      : where_(std::move(where)), fields_(std::move(fields)) {}

  /// "durations.tsv:12", for SCOPED_TRACE.
  const std::string& where() const { return where_; }

  /// Nothing where the field is `\z`.
  const std::optional<std::string>& Maybe(const std::string& column) const;
  const std::string& Text(const std::string& column) const;
  /// "true" or "false".
  bool Bool(const std::string& column) const;

 private:
  std::string where_;
  std::map<std::string, std::optional<std::string>> fields_;
};

/// All rows of a file in the directory that the environment's OCIREPOFS_TEST_VECTORS names, else in
/// the tests' own. Never empty.
std::vector<TsvRow> LoadVectors(const std::string& name);

/// The decoded field; nothing for `\z`.
std::optional<std::string> DecodeTsvField(std::string_view field);

/// "a/b" as the components that IgnoreRules take. Views into `path`.
std::vector<std::string_view> SplitPath(std::string_view path);

}  // namespace ocirepofs::test
