// The vector instructions that base64url uses where the processor has them.
// Private to base64url.cpp and to the tests, which run each kernel.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace fernet::base64url {

inline constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

// kInvalid is the value of a character outside the alphabet. It has the top bit
// set, which no value of a character has, so one "or" tests several characters.
inline constexpr std::uint8_t kInvalid = 0x80;

// kDecodeTable holds the value of each character.
inline constexpr std::array<std::uint8_t, 256> kDecodeTable = []() {
  std::array<std::uint8_t, 256> table{};
  table.fill(kInvalid);
  for (std::size_t i = 0; i < kAlphabet.size(); ++i) {
    table[static_cast<std::uint8_t>(kAlphabet[i])] =
        static_cast<std::uint8_t>(i);
  }
  return table;
}();

// Kernel converts as much as it can with vectors, from the start, and leaves
// the rest to the caller. `out` is as large as the whole result; a kernel may
// write anywhere in it.
struct Kernel {
  const char *name;
  // encode writes whole groups of four characters and returns how many bytes of
  // `in` it converted, a multiple of 3.
  std::size_t (*encode)(std::span<const std::uint8_t> in, char *out) noexcept;
  // decode reads whole groups of four characters and returns how many
  // characters it converted. It stops somewhere before a character outside the
  // alphabet.
  std::size_t (*decode)(std::span<const char> digits,
                        std::uint8_t *out) noexcept;
};

// Kernels are the kernels that this processor can run, the fastest first. The
// last one is always there and does nothing.
std::span<const Kernel> Kernels() noexcept;

// EncodeWith and DecodeWith are Encode and Decode with the kernel given, which
// is one of Kernels().
void EncodeWith(const Kernel &kernel, std::span<const std::uint8_t> in,
                std::span<char> out) noexcept;
std::size_t DecodeWith(const Kernel &kernel, std::span<const char> digits,
                       std::span<std::uint8_t> out) noexcept;

}  // namespace fernet::base64url
