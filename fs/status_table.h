#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cache/catalog.h"
#include "conf/options.h"
#include "conf/status.h"

namespace ocirepofs {

/// The table of all repositories, as `kubectl get ocirepositories` prints it: NAME, URL, AGE,
/// READY, STATUS, and before them NAMESPACE where the layout has it. A pure function.
std::string RenderTable(const std::vector<std::shared_ptr<const Publication>>& publications,
                        Layout layout, Timestamp now);

/// How long ago, in kubectl's words: "35s", "4m20s", "3h", "12d".
std::string FormatAge(std::chrono::seconds age);

}  // namespace ocirepofs
