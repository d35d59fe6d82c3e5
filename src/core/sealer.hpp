// Sealer writes tokens. Private to src/core: callers use Keyring.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/token.hpp"

namespace fernet {

// Sealer writes one token while its plaintext comes in: each chunk goes through
// cipher, MAC and base64, so that a large value needs no second buffer.
//
// The stage holds plaintext only from the copy into it until it is encrypted in
// place, right after. If any is left when something fails, the destructor wipes
// the stage.
//
// Source: Fernet spec, section "Generating".
class Sealer {
 public:
  // Writes to the start of `out`, which must hold TokenSize of all appended
  // bytes. `key` and `scratch` (see PreparedKey::BeginMac) must outlive the
  // Sealer. `go_on` is called after each chunk.
  Sealer(PreparedKey *key, EVP_MD_CTX *scratch, std::span<char> out,
         GoOn go_on = Always) noexcept
      : key_(key), scratch_(scratch), out_(out), go_on_(go_on) {}
  Sealer(const Sealer &) = delete;
  Sealer &operator=(const Sealer &) = delete;
  ~Sealer();

  // Start, any number of Append, Finish. Each returns kCryptoFailed when
  // libcrypto fails, Append also kStopped. After that, `out` holds no token and
  // nothing else may be called. No two tokens may have the same `iv`, and
  // nobody may know it before: it is random.
  Status Start(std::uint64_t timestamp,
               std::span<const std::uint8_t, kIvSize> iv) noexcept;
  Status Append(std::span<const std::uint8_t> plaintext) noexcept;
  Status Finish() noexcept;

 private:
  bool EncryptStaged() noexcept;
  void EmitStaged() noexcept;

  PreparedKey *const key_;
  EVP_MD_CTX *const scratch_;
  std::span<char> out_;  // what is still to be written
  const GoOn go_on_;
  // The stage: [0, encrypted_) is header and ciphertext, of which [0, maced_)
  // is in the MAC; [encrypted_, filled_) is plaintext.
  bool mac_has_begun_ = false;
  std::size_t maced_ = 0;
  std::size_t encrypted_ = 0;
  std::size_t filled_ = 0;
  // Room for the padding and the HMAC after a full stage.
  static constexpr std::size_t kStageSize = kChunkSize;
  std::array<std::uint8_t, kStageSize + kBlockSize + kHmacSize> stage_;
};

}  // namespace fernet
