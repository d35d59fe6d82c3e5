#include "core/key_digits.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>

#include "support/reference.hpp"
#include "unit/support.hpp"

namespace fernet {
namespace {

using test::Bytes;

std::string Encoded(const Bytes &key) {
  std::array<char, kEncodedKeySize> text;
  EncodeKey(std::span(key).first<kKeySize>(), text);
  return {text.begin(), text.end()};
}

bool Decoded(const std::string &text, Bytes *out) {
  out->assign(kKeySize, 0);
  return DecodeKey(std::span(text).first<kKeyDigits>(),
                   std::span(*out).first<kKeySize>());
}

TEST(KeyDigits, AreThoseOfTheReferenceBothWays) {
  for (std::uint32_t seed = 1; seed <= 2000; ++seed) {
    const Bytes key = test::SomeBytes(kKeySize, seed);
    const std::string text = Encoded(key);
    ASSERT_EQ(text, test::reference::Encode(key));
    Bytes decoded;
    ASSERT_TRUE(Decoded(text, &decoded));
    ASSERT_EQ(decoded, key);
  }
}

TEST(KeyDigits, TakeEveryValueOfEveryByte) {
  for (std::size_t at = 0; at < kKeySize; ++at) {
    for (int value = 0; value < 256; ++value) {
      for (const int other : {0x00, 0xff}) {
        Bytes key(kKeySize, static_cast<std::uint8_t>(other));
        key[at] = static_cast<std::uint8_t>(value);
        const std::string text = Encoded(key);
        ASSERT_EQ(text, test::reference::Encode(key));
        Bytes decoded;
        ASSERT_TRUE(Decoded(text, &decoded));
        ASSERT_EQ(decoded, key);
      }
    }
  }
}

TEST(KeyDigits, RefuseEveryOtherCharacterInEveryPlace) {
  const std::string good = test::TestKeyText(1);
  for (std::size_t at = 0; at < kKeyDigits; ++at) {
    for (int c = 0; c < 256; ++c) {
      std::string text = good;
      text[at] = static_cast<char>(c);
      const int value = test::DigitValue(text[at]);
      // The last digit has two bits that belong to no byte.
      const bool is_good =
          value >= 0 && (at + 1 != kKeyDigits || value % 4 == 0);
      Bytes decoded;
      ASSERT_EQ(Decoded(text, &decoded), is_good) << at << " " << c;
    }
  }
}

}  // namespace
}  // namespace fernet
