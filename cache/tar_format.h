#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ocirepofs {

/// The tar dialect of the artifacts: exactly the bytes that Go's archive/tar writes for Flux, so
/// that the tar stream of an artifact is the same on every host and equals Flux's own. POSIX ustar
/// headers (IEEE 1003.1, pax, "ustar Interchange Format"); a pax extended header only where ustar
/// can't say it. Owner 0, no owner names, modification time 0.

inline constexpr size_t kTarBlock = 512;
/// The two zero blocks that end an archive; nothing is padded beyond them.
inline constexpr size_t kTarEndSize = 2 * kTarBlock;

enum class TarType : char { kFile = '0', kHardLink = '1', kSymlink = '2', kDirectory = '5' };

struct TarEntry {
  std::string_view name;  // relative, no trailing slash; "." for the root
  TarType type = TarType::kFile;
  bool executable = false;
  uint64_t size = 0;                // of a kFile
  std::string_view link_name = {};  // of a kHardLink or kSymlink
};

/// The header blocks of one entry, a multiple of kTarBlock bytes. Its contents follow, padded with
/// TarPadding(size) zero bytes.
std::string TarHeader(const TarEntry& entry);

constexpr size_t TarPadding(uint64_t size) {
  return static_cast<size_t>((kTarBlock - size % kTarBlock) % kTarBlock);
}

}  // namespace ocirepofs
