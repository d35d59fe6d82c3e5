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
  // `go_on` is asked after each chunk.
  Sealer(const PreparedKey &key, EVP_MD_CTX *scratch, std::span<char> out,
         GoOn go_on = Always) noexcept
      : key_(key), scratch_(scratch), out_(out), go_on_(go_on) {}
  Sealer(const Sealer &) = delete;
  Sealer &operator=(const Sealer &) = delete;
  ~Sealer();

  // Start, any number of Append, Finish. Each returns kCryptoFailed when
  // libcrypto fails, Append also kStopped; then nothing else may be called, and
  // what is in `out` is no token.
  //
  // The IV is the encryption of `random`, see PreparedKey::EncryptBlocks.
  Status Start(std::uint64_t timestamp,
               std::span<const std::uint8_t, kIvSize> random) noexcept;
  Status Append(std::span<const std::uint8_t> plaintext) noexcept;
  Status Finish() noexcept;

  // StartWithIv is Start with an IV of the caller's choice.
  Status StartWithIv(std::uint64_t timestamp,
                     std::span<const std::uint8_t, kIvSize> iv) noexcept;

 private:
  bool StageHeader(std::uint64_t timestamp,
                   std::span<const std::uint8_t, kIvSize> last) noexcept;
  bool EncryptStaged() noexcept;
  void EmitStaged() noexcept;

  const PreparedKey &key_;
  EVP_MD_CTX *const scratch_;
  std::span<char> out_;  // what is still to be written
  const GoOn go_on_;
  // The stage: [0, encrypted_) is signed part and MACed up to maced_, then
  // plaintext up to filled_.
  std::size_t maced_ = 0;
  std::size_t encrypted_ = 0;
  std::size_t filled_ = 0;
  // Room for the padding and the HMAC after a full stage.
  static constexpr std::size_t kStageSize = kChunkSize;
  std::array<std::uint8_t, kStageSize + kBlockSize + kHmacSize> stage_;
};

}  // namespace fernet
