// How a token is made. Private to src/core: callers use Keyring.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/token.hpp"

namespace fernet {

// Sealer writes one token as its plaintext comes in: chunk by chunk through
// cipher, MAC and base64, so that a large value needs no second buffer.
//
// Its stage holds plaintext only between a copy into it and the encryption in
// place that follows; it is wiped when anything fails.
//
// Source: Fernet spec, section "Generating".
class Sealer {
 public:
  // Writes to the start of `out`, which must hold TokenSize of all that is
  // appended. `key` and `scratch` (see PreparedKey::BeginMac) must stay.
  Sealer(const PreparedKey &key, EVP_MD_CTX *scratch,
         std::span<char> out) noexcept
      : key_(key), scratch_(scratch), out_(out) {}
  Sealer(const Sealer &) = delete;
  Sealer &operator=(const Sealer &) = delete;
  ~Sealer();

  // Start, any number of Append, Finish. Each returns false when libcrypto
  // fails; then nothing else may be called, and what is in `out` is no token.
  [[nodiscard]] bool Start(std::uint64_t timestamp,
                           std::span<const std::uint8_t, kIvSize> iv) noexcept;
  [[nodiscard]] bool Append(std::span<const std::uint8_t> plaintext) noexcept;
  [[nodiscard]] bool Finish() noexcept;

 private:
  bool EncryptStaged() noexcept;
  void EmitStaged() noexcept;

  const PreparedKey &key_;
  EVP_MD_CTX *const scratch_;
  std::span<char> out_;  // what is still to be written
  // The stage: [0, encrypted_) is signed part and MACed up to maced_, then
  // plaintext up to filled_.
  std::size_t maced_ = 0;
  std::size_t encrypted_ = 0;
  std::size_t filled_ = 0;
  // Room for the padding and the HMAC after a full chunk.
  std::array<std::uint8_t, kChunkSize + kBlockSize + kHmacSize> stage_;
};

}  // namespace fernet
