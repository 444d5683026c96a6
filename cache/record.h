#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "conf/error.h"
#include "conf/status.h"

namespace ocirepofs {

/// What is kept about one repository across restarts, beside its artifact. A value.
struct Record {
  std::string api_version;  // of the manifest, with its annotations and its spec as written
  std::map<std::string, std::string> annotations;
  nlohmann::ordered_json spec;
  SourceStatus status;
  std::string previous_stem;  // of the revision before the current one, for the collection
};

/// JSON with a version. Parse errors, unknown versions included, are kCorrupt.
std::string EncodeRecord(const Record& record);
Result<Record> DecodeRecord(const std::string& text);

}  // namespace ocirepofs
