#pragma once

#include <string>
#include <string_view>

#include "conf/digest.h"
#include "conf/manifest/manifest.h"
#include "conf/status.h"

namespace ocirepofs {

/// Every name that the cache uses on disk. Pure functions.
///
///     <cache>/lock
///     <cache>/ocirepository/<namespace>/<name>/record.json
///                                              <stem>.tar.gz      the artifact, and the image
///                                              <stem>.image.tar.gz  the image, where they differ
///                                              <stem>.idx         the index of the image
///                                              latest.tar.gz      link to the current artifact

inline constexpr std::string_view kLockFile = "lock";
inline constexpr std::string_view kRepositoriesDirectory = "ocirepository";
inline constexpr std::string_view kRecordFile = "record.json";
inline constexpr std::string_view kLatestLink = "latest.tar.gz";

/// What the files of one revision have in common: the digest's 64 digits, and where ignore rules or
/// a layer selector are configured, a hyphen and 16 digits that stand for them. Files of different
/// contents so never share a name, and none is ever overwritten with other bytes.
std::string RevisionStem(const Digest& digest, const ContentConfig& content);

std::string ArtifactName(std::string_view stem);
std::string ImageName(std::string_view stem);
std::string IndexName(std::string_view stem);

/// The stem of an artifact, image or index name; empty for any other name.
std::string_view StemOf(std::string_view name);

/// `name` while it is being written. Removed at start-up if a crash left it there.
std::string TemporaryName(std::string_view name);
bool IsTemporaryName(std::string_view name);

/// "ocirepository/<namespace>/<name>/<file>".
std::string PathOf(const ObjectKey& key, std::string_view file);

}  // namespace ocirepofs
