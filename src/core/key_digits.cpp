#include "core/key_digits.hpp"

#include <array>

#include "core/reveal.hpp"

namespace fernet {
namespace {

// Range is a part of the alphabet: `last - first + 1` characters, whose values
// follow one another from `value` on.
struct Range {
  std::uint32_t first;
  std::uint32_t last;
  std::uint32_t value;
};

constexpr std::array<Range, 5> kRanges = {Range{'A', 'Z', 0},
                                          {'a', 'z', 26},
                                          {'0', '9', 52},
                                          {'-', '-', 62},
                                          {'_', '_', 63}};

// MaskIfWithin is all ones if `first` <= `number` <= `last`, else 0, for
// numbers below 2^31: a difference below zero has the top bit.
constexpr std::uint32_t MaskIfWithin(std::uint32_t number, std::uint32_t first,
                                     std::uint32_t last) noexcept {
  const std::uint32_t outside = (number - first) | (last - number);
  return (outside >> 31) - 1;
}

// Digit is the character of the low six bits of `value`.
constexpr char Digit(std::uint32_t value) noexcept {
  value &= 0x3f;
  std::uint32_t digit = 0;
  for (const Range &range : kRanges) {
    const std::uint32_t last = range.value + (range.last - range.first);
    digit |= MaskIfWithin(value, range.value, last) &
             (range.first + value - range.value);
  }
  return static_cast<char>(digit);
}

// kNotADigit is in what Value returns for a character outside the alphabet.
constexpr std::uint32_t kNotADigit = 0x40;

constexpr std::uint32_t Value(char c) noexcept {
  const std::uint32_t character = static_cast<std::uint8_t>(c);
  std::uint32_t value = 0;
  std::uint32_t found = 0;
  for (const Range &range : kRanges) {
    const std::uint32_t within =
        MaskIfWithin(character, range.first, range.last);
    value |= within & (range.value + character - range.first);
    found |= within;
  }
  return value | (kNotADigit & ~found);
}

// The last digits of a key are those of two bytes: the last has two bits more.
constexpr std::size_t kWholeBytes = kKeySize / 3 * 3;
constexpr std::size_t kWholeDigits = kWholeBytes / 3 * 4;
constexpr std::uint32_t kBitsBeyond = 0x03;
static_assert(kKeySize - kWholeBytes == 2 && kKeyDigits - kWholeDigits == 3);

}  // namespace

void EncodeKey(std::span<const std::uint8_t, kKeySize> key,
               std::span<char, kEncodedKeySize> out) noexcept {
  for (std::size_t i = 0, to = 0; i <= kWholeBytes; i += 3, to += 4) {
    const std::uint32_t third = i == kWholeBytes ? 0 : key[i + 2];
    const std::uint32_t group =
        std::uint32_t{key[i]} << 16 | std::uint32_t{key[i + 1]} << 8 | third;
    out[to] = Digit(group >> 18);
    out[to + 1] = Digit(group >> 12);
    out[to + 2] = Digit(group >> 6);
    out[to + 3] = i == kWholeBytes ? '=' : Digit(group);
  }
}

bool DecodeKey(std::span<const char, kKeyDigits> digits,
               std::span<std::uint8_t, kKeySize> out) noexcept {
  std::uint32_t all = 0;
  for (std::size_t i = 0, to = 0; to < kKeySize; i += 4, to += 3) {
    const bool is_whole = to != kWholeBytes;
    const std::uint32_t a = Value(digits[i]);
    const std::uint32_t b = Value(digits[i + 1]);
    const std::uint32_t c = Value(digits[i + 2]);
    const std::uint32_t d = is_whole ? Value(digits[i + 3]) : 0;
    all |= a | b | c | d;
    out[to] = static_cast<std::uint8_t>(a << 2 | b >> 4);
    out[to + 1] = static_cast<std::uint8_t>(b << 4 | c >> 2);
    if (is_whole) {
      out[to + 2] = static_cast<std::uint8_t>(c << 6 | d);
    }
  }
  const std::uint32_t beyond = Value(digits.back()) & kBitsBeyond;
  return Reveal(Revealed::kIsKey, ((all & kNotADigit) | beyond) == 0);
}

}  // namespace fernet
