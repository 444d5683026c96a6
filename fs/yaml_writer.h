#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace ocirepofs {

/// A JSON value as a YAML document in the form that kubectl prints: block style, two spaces, list
/// items at the level of their key, strings quoted only where a reader of YAML 1.1 or 1.2 would
/// take them for something else. Every string is read back as it was, but for bytes that are not
/// UTF-8. (yaml-cpp's emitter indents lists under their key, and leaves characters unescaped that
/// YAML forbids.) A pure function.
std::string WriteYaml(const nlohmann::ordered_json& value);

}  // namespace ocirepofs
