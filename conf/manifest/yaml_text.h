#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "conf/manifest/yaml_reader.h"

namespace ocirepofs {

/// Looks at a text before a YAML parser does, and tells why it should not get it: bytes that are
/// not UTF-8, control characters (one of them is the parser's own end mark), or more than
/// `max_open_brackets` brackets of any kind open at once. The parser queues all that stands in a
/// bracket before it asks anyone how deep to go, so deep nesting has to be met here.
///
/// Brackets are counted without regard to quotes: that is cheap, and a text which is refused for
/// nothing would have to open that many more in its strings than it closes, in one document.
std::optional<YamlError> FindTextError(std::string_view text, int max_open_brackets);

/// A piece of the user's text for a message: in quotes, control characters escaped, cut when long.
std::string QuoteForMessage(std::string_view text);

}  // namespace ocirepofs
