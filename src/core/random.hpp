#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace fernet {

// RandomBuffer hands out bytes of OpenSSL's generator and draws 4 KiB at a
// time: a call of RAND_bytes for 16 bytes costs more than to encrypt a small
// token.
//
// A copy in a forked child would hand out the same bytes. So a RandomBuffer
// must lie in SecretPages, which a child finds filled with zeros: a buffer of
// zeros is an empty one.
class RandomBuffer {
 public:
  static constexpr std::size_t kSize = 4096;

  // Take fills `out`, at most kSize bytes, and wipes its own copy of these
  // bytes. Returns false, with `out` untouched, when OpenSSL's generator fails.
  [[nodiscard]] bool Take(std::span<std::uint8_t> out) noexcept;

 private:
  // The unused bytes are the last `left_` of `bytes_`.
  std::size_t left_ = 0;
  std::array<std::uint8_t, kSize> bytes_{};
};

}  // namespace fernet
