#pragma once

#include "conf/manifest/manifest.h"

namespace ocirepofs {

/// What two readings of CONFIG and the layout of the mount have to do with each other. Pure.

/// Keeps what a file that can't be read now said when it could: each repository of `last` that is
/// missing from `next`, and whose file has an error there, becomes an error of that repository, so
/// that it is not taken for removed. Returns what is to be `last` at the next reading.
Configuration CarryOver(const Configuration& last, Configuration* next);

/// Where all repositories lie in one directory, a name can be taken once: the manifest that comes
/// later, by file and line, becomes an error that names the other.
void RefuseNameClashes(Configuration* configuration);

}  // namespace ocirepofs
