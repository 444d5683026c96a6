#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "conf/error.h"

namespace ocirepofs {

/// A SHA-256 content digest (OCI image specification, descriptor.md). A value; any thread.
/// Other algorithms are not representable: Flux resolves sha256 only.
class Digest {
 public:
  static constexpr size_t kSize = 32;

  /// Accepts exactly "sha256:" and 64 lower-case hexadecimal digits; everything else is kInvalid.
  static Result<Digest> Parse(std::string_view text);
  /// The 64 digits alone.
  static Result<Digest> ParseHex(std::string_view hex);
  /// The digest of `data` itself.
  static Digest Of(std::string_view data);

  explicit Digest(const std::array<uint8_t, kSize>& bytes) : bytes_(bytes) {}

  std::string ToString() const;  // "sha256:…"
  std::string Hex() const;       // the 64 digits
  const std::array<uint8_t, kSize>& bytes() const { return bytes_; }

  friend auto operator<=>(const Digest&, const Digest&) = default;

 private:
  std::array<uint8_t, kSize> bytes_;
};

/// A running SHA-256. One thread at a time.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void Update(std::span<const std::byte> data);
  /// REQUIRES: called once, last.
  Digest Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ocirepofs
