#include "conf/digest.h"

#include <openssl/evp.h>

#include <new>

namespace ocirepofs {
namespace {

constexpr std::string_view kPrefix = "sha256:";
constexpr std::string_view kHexDigits = "0123456789abcdef";

}  // namespace

Result<Digest> Digest::ParseHex(std::string_view hex) {
  std::array<uint8_t, kSize> bytes{};
  if (hex.size() != 2 * kSize) {
    return Fail(ErrorCode::kInvalid, "a sha256 digest has 64 hexadecimal digits, not {}",
                hex.size());
  }
  for (size_t i = 0; i < hex.size(); ++i) {
    const size_t value = kHexDigits.find(hex[i]);
    if (value == std::string_view::npos) {
      return Fail(ErrorCode::kInvalid, "a sha256 digest has lower-case hexadecimal digits only");
    }
    bytes[i / 2] = static_cast<uint8_t>(bytes[i / 2] << 4 | value);
  }
  return Digest(bytes);
}

Result<Digest> Digest::Parse(std::string_view text) {
  if (!text.starts_with(kPrefix)) {
    return Fail(ErrorCode::kInvalid, "a digest starts with 'sha256:'");
  }
  return ParseHex(text.substr(kPrefix.size()));
}

Digest Digest::Of(std::string_view data) {
  Sha256 hash;
  hash.Update(std::as_bytes(std::span(data)));
  return hash.Finish();
}

std::string Digest::Hex() const {
  std::string hex;
  hex.reserve(2 * kSize);
  for (const uint8_t byte : bytes_) {
    hex += kHexDigits[byte >> 4];
    hex += kHexDigits[byte & 15];
  }
  return hex;
}

std::string Digest::ToString() const { return std::string(kPrefix) + Hex(); }

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  // OpenSSL fails here only when it is out of memory.
  if (state_->context == nullptr ||
      EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) != 1) {
    throw std::bad_alloc();
  }
}

Sha256::~Sha256() = default;

void Sha256::Update(std::span<const std::byte> data) {
  EVP_DigestUpdate(state_->context, data.data(), data.size());
}

Digest Sha256::Finish() {
  std::array<uint8_t, Digest::kSize> bytes{};
  EVP_DigestFinal_ex(state_->context, bytes.data(), nullptr);
  return Digest(bytes);
}

}  // namespace ocirepofs
