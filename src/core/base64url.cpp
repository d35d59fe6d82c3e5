#include "core/base64url.hpp"

#include "core/base64url_kernels.hpp"

namespace fernet::base64url {
namespace {

constexpr std::uint8_t Value(char c) noexcept {
  return kDecodeTable[static_cast<std::uint8_t>(c)];
}

constexpr char Digit(std::uint32_t value) noexcept {
  return kAlphabet[value & 0x3f];
}

std::size_t FirstInvalid(std::span<const char> digits,
                         std::size_t from) noexcept {
  while (from < digits.size() && Value(digits[from]) != kInvalid) {
    ++from;
  }
  return from;
}

}  // namespace

void Encode(std::span<const std::uint8_t> in, std::span<char> out) noexcept {
  EncodeWith(Kernels().front(), in, out);
}

std::size_t Decode(std::span<const char> digits,
                   std::span<std::uint8_t> out) noexcept {
  return DecodeWith(Kernels().front(), digits, out);
}

void EncodeWith(const Kernel &kernel, std::span<const std::uint8_t> in,
                std::span<char> out) noexcept {
  const std::size_t done = kernel.encode(in, out.data());
  const std::uint8_t *from = in.data() + done;
  const std::uint8_t *const whole = in.data() + in.size() / 3 * 3;
  char *to = out.data() + done / 3 * 4;
  for (; from != whole; from += 3, to += 4) {
    const std::uint32_t group =
        std::uint32_t{from[0]} << 16 | std::uint32_t{from[1]} << 8 | from[2];
    to[0] = Digit(group >> 18);
    to[1] = Digit(group >> 12);
    to[2] = Digit(group >> 6);
    to[3] = Digit(group);
  }
  if (in.size() % 3 == 0) {
    return;
  }
  const bool two = in.size() % 3 == 2;
  const std::uint32_t group =
      std::uint32_t{from[0]} << 16 | (two ? std::uint32_t{from[1]} << 8 : 0);
  to[0] = Digit(group >> 18);
  to[1] = Digit(group >> 12);
  to[2] = two ? Digit(group >> 6) : '=';
  to[3] = '=';
}

std::size_t DecodeWith(const Kernel &kernel, std::span<const char> digits,
                       std::span<std::uint8_t> out) noexcept {
  const std::size_t done = kernel.decode(digits, out.data());
  const std::size_t whole = digits.size() / 4 * 4;
  std::uint8_t *to = out.data() + done / 4 * 3;
  for (std::size_t i = done; i < whole; i += 4, to += 3) {
    const std::uint32_t a = Value(digits[i]);
    const std::uint32_t b = Value(digits[i + 1]);
    const std::uint32_t c = Value(digits[i + 2]);
    const std::uint32_t d = Value(digits[i + 3]);
    if (((a | b | c | d) & kInvalid) != 0) {
      return FirstInvalid(digits, i);
    }
    to[0] = static_cast<std::uint8_t>(a << 2 | b >> 4);
    to[1] = static_cast<std::uint8_t>(b << 4 | c >> 2);
    to[2] = static_cast<std::uint8_t>(c << 6 | d);
  }
  const std::size_t bad = FirstInvalid(digits, whole);
  if (bad != digits.size()) {
    return bad;
  }
  const std::size_t rest = digits.size() - whole;
  if (rest >= 2) {
    to[0] = static_cast<std::uint8_t>(Value(digits[whole]) << 2 |
                                      Value(digits[whole + 1]) >> 4);
  }
  if (rest == 3) {
    to[1] = static_cast<std::uint8_t>(Value(digits[whole + 1]) << 4 |
                                      Value(digits[whole + 2]) >> 2);
  }
  return kNoOffset;
}

bool HasTrailingBits(std::span<const char> digits) noexcept {
  switch (digits.size() % 4) {
    case 2:
      return (Value(digits.back()) & 0x0f) != 0;
    case 3:
      return (Value(digits.back()) & 0x03) != 0;
    default:
      return false;
  }
}

}  // namespace fernet::base64url
