#pragma once

namespace ocirepofs {

inline constexpr char kVersion[] = OCIREPOFS_VERSION;

}  // namespace ocirepofs
