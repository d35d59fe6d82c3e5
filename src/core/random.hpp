#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace fernet {

// RandomBuffer hands out IVs: blocks of OpenSSL's generator, of which it draws
// 4 KiB at a time. A call of RAND_bytes for 16 bytes costs more than to encrypt
// a small token.
//
// A copy in a forked child would hand out the same bytes. So a RandomBuffer
// must lie in SecretPages, which a child finds filled with zeros, where the
// platform can do that: a buffer of zeros is an empty one. Without it, no child
// may go on encrypting.
class RandomBuffer {
 public:
  static constexpr std::size_t kBlockSize = 16;
  static constexpr std::size_t kSize = 256 * kBlockSize;

  // Take fills `block`. Returns false, with `block` untouched, when OpenSSL's
  // generator fails. The buffer keeps what it has handed out until it is filled
  // again: an IV is no secret.
  [[nodiscard]] bool Take(std::span<std::uint8_t, kBlockSize> block) noexcept {
    if (left_ == 0 && !Fill()) {
      return false;
    }
    std::memcpy(block.data(), bytes_.data() + (kSize - left_), kBlockSize);
    left_ -= kBlockSize;
    return true;
  }

 private:
  bool Fill() noexcept;

  // The unused bytes are the last `left_` of `bytes_`.
  std::size_t left_ = 0;
  std::array<std::uint8_t, kSize> bytes_{};
};

}  // namespace fernet
