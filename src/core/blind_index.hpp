// Blind indexes: a keyed hash of a value, by which a row is found whose token
// of that value cannot be searched for.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/crypto.hpp"
#include "core/key.hpp"
#include "core/openssl.hpp"
#include "core/status.hpp"

namespace fernet {

inline constexpr std::size_t kMinBlindIndexSize = 2;
inline constexpr std::size_t kMaxBlindIndexSize = kHmacSize;

// BlindIndexer is a list of keys ready to compute blind indexes. It computes
// one at a time and is not for several threads.
class BlindIndexer {
 public:
  constexpr BlindIndexer() noexcept = default;

  // Prepare makes the indexer hold `keys` in their order. On kCryptoFailed (no
  // SHA-256, or no memory) it is empty.
  Status Prepare(std::span<const Key> keys) noexcept;
  // Clear removes every key. OpenSSL wipes the contexts.
  void Clear() noexcept;

  std::uint32_t size() const noexcept { return size_; }

  // Compute writes the blind index of `value` in `context` under the key at
  // `key_index`, from 0, to `out`: the first out.size() bytes of HMAC-SHA256
  // with the whole key over a fixed text, a zero byte, the size of `context` as
  // 8 bytes, `context` and `value`. `out` has kMinBlindIndexSize to
  // kMaxBlindIndexSize bytes. Returns kCryptoFailed or kStopped; `out` is then
  // untouched.
  //
  // Source: the extension's contract, section 10; RFC 2104.
  Status Compute(std::uint32_t key_index, std::span<const std::uint8_t> context,
                 std::span<const std::uint8_t> value,
                 std::span<std::uint8_t> out, GoOn go_on = Always) noexcept;

 private:
  // AddContext adds what comes before the value.
  [[nodiscard]] bool AddContext(std::span<const std::uint8_t> context) noexcept;

  std::uint32_t size_ = 0;
  Digest sha256_;
  DigestContext scratch_;
  std::array<PreparedMac, kMaxKeys> macs_;
};

}  // namespace fernet
