#include "core/base64url.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "core/ascii.hpp"
#include "support/reference.hpp"
#include "unit/support.hpp"

namespace fernet::base64url {
namespace {

using test::Bytes;

std::string EncodeText(const Bytes &bytes) {
  std::string text(EncodedSize(bytes.size()), '?');
  Encode(bytes, text);
  return text;
}

// Decoded is the result of Decode: bytes, or the offset of the fault.
struct Decoded {
  Bytes bytes;
  std::size_t bad = kNoOffset;
};

Decoded DecodeDigits(std::string_view digits) {
  Decoded decoded{Bytes(DecodedSize(digits.size()))};
  decoded.bad = Decode(digits, decoded.bytes);
  return decoded;
}

TEST(Base64url, EncodesTheVectorsOfRfc4648) {
  // RFC 4648, section 10.
  constexpr std::pair<std::string_view, std::string_view> kVectors[] = {
      {"", ""},
      {"f", "Zg=="},
      {"fo", "Zm8="},
      {"foo", "Zm9v"},
      {"foob", "Zm9vYg=="},
      {"fooba", "Zm9vYmE="},
      {"foobar", "Zm9vYmFy"},
  };
  for (const auto &[plain, encoded] : kVectors) {
    EXPECT_EQ(EncodeText(test::ToBytes(plain)), encoded);
    const auto digits = WithoutPadding(encoded);
    const Decoded decoded = DecodeDigits({digits.data(), digits.size()});
    EXPECT_EQ(decoded.bad, kNoOffset) << encoded;
    EXPECT_EQ(decoded.bytes, test::ToBytes(plain)) << encoded;
  }
}

TEST(Base64url, KnowsEveryDigitInEveryPlace) {
  for (int value = 0; value < 64; ++value) {
    const char digit = test::kUrlAlphabet[static_cast<std::size_t>(value)];
    const std::uint32_t group = static_cast<std::uint32_t>(value) * 0x041041;
    const Bytes bytes = {static_cast<std::uint8_t>(group >> 16),
                         static_cast<std::uint8_t>(group >> 8),
                         static_cast<std::uint8_t>(group)};
    const std::string text(4, digit);
    EXPECT_EQ(EncodeText(bytes), text);
    EXPECT_EQ(DecodeDigits(text).bytes, bytes) << text;
  }
}

TEST(Base64url, EncodesAllOfOneAndTwoBytesLikeTheReference) {
  for (int first = 0; first < 256; ++first) {
    const Bytes one = {static_cast<std::uint8_t>(first)};
    EXPECT_EQ(EncodeText(one), test::reference::Encode(one));
    for (int second = 0; second < 256; ++second) {
      const Bytes two = {static_cast<std::uint8_t>(first),
                         static_cast<std::uint8_t>(second)};
      ASSERT_EQ(EncodeText(two), test::reference::Encode(two));
    }
  }
}

TEST(Base64url, AgreesWithTheReferenceOnAllLengths) {
  for (std::size_t size = 0; size <= 400; ++size) {
    const Bytes bytes = test::SomeBytes(size);
    const std::string text = EncodeText(bytes);
    ASSERT_EQ(text, test::reference::Encode(bytes));
    ASSERT_EQ(text.size(), EncodedSize(size));
    const auto digits = WithoutPadding(text);
    ASSERT_EQ(DecodedSize(digits.size()), size);
    ASSERT_FALSE(HasTrailingBits(digits));
    const Decoded decoded = DecodeDigits({digits.data(), digits.size()});
    ASSERT_EQ(decoded.bad, kNoOffset);
    ASSERT_EQ(decoded.bytes, bytes);
  }
}

TEST(Base64url, WritesNothingBeyondItsOutput) {
  for (std::size_t size = 0; size <= 12; ++size) {
    std::string text(EncodedSize(size) + 8, '?');
    Encode(test::SomeBytes(size), text);
    EXPECT_EQ(text.substr(EncodedSize(size)), "????????") << size;
    Bytes bytes(size + 8, 0xee);
    const std::string digits(size / 3 * 4 + (size % 3 == 0 ? 0 : size % 3 + 1),
                             'A');
    ASSERT_EQ(DecodedSize(digits.size()), size);
    EXPECT_EQ(Decode(digits, bytes), kNoOffset);
    EXPECT_EQ(
        Bytes(bytes.begin() + static_cast<std::ptrdiff_t>(size), bytes.end()),
        Bytes(8, 0xee))
        << size;
  }
}

TEST(Base64url, JudgesEveryByteValueInEveryPlace) {
  // Whole groups, and every number of digits that can be left over.
  for (const std::size_t size : {8u, 9u, 10u, 11u}) {
    for (std::size_t place = 0; place < size; ++place) {
      for (int value = 0; value < 256; ++value) {
        std::string digits(size, 'A');
        digits[place] = static_cast<char>(value);
        const std::size_t expected =
            test::DigitValue(digits[place]) < 0 ? place : kNoOffset;
        ASSERT_EQ(DecodeDigits(digits).bad, expected)
            << "value " << value << " in place " << place << " of " << size;
      }
    }
  }
}

TEST(Base64url, NamesTheFirstOfSeveralBadCharacters) {
  EXPECT_EQ(DecodeDigits("AAAAA+A/").bad, 5u);
  EXPECT_EQ(DecodeDigits("AAAAAA=A=").bad, 6u);
  EXPECT_EQ(DecodeDigits("+AA+").bad, 0u);
  EXPECT_EQ(DecodeDigits("AAAA+/").bad, 4u);
}

TEST(Base64url, AcceptsOfTwoDigitsOneTextForEachByte) {
  int canonical = 0;
  for (const char a : test::kUrlAlphabet) {
    for (const char b : test::kUrlAlphabet) {
      const std::array<char, 2> digits = {a, b};
      const bool trailing = test::DigitValue(b) % 16 != 0;
      ASSERT_EQ(HasTrailingBits(digits), trailing) << a << b;
      const Decoded decoded = DecodeDigits({digits.data(), digits.size()});
      ASSERT_EQ(decoded.bad, kNoOffset);
      const std::string again = EncodeText(decoded.bytes);
      ASSERT_EQ(again == std::string({a, b, '=', '='}), !trailing) << again;
      canonical += trailing ? 0 : 1;
    }
  }
  EXPECT_EQ(canonical, 256);
}

TEST(Base64url, AcceptsOfThreeDigitsOneTextForEachTwoBytes) {
  int canonical = 0;
  for (const char a : test::kUrlAlphabet) {
    for (const char b : test::kUrlAlphabet) {
      for (const char c : test::kUrlAlphabet) {
        const std::array<char, 3> digits = {a, b, c};
        const bool trailing = HasTrailingBits(digits);
        const Decoded decoded = DecodeDigits({digits.data(), digits.size()});
        ASSERT_EQ(decoded.bad, kNoOffset);
        const std::string again = EncodeText(decoded.bytes);
        ASSERT_EQ(again == std::string({a, b, c, '='}), !trailing)
            << a << b << c;
        canonical += trailing ? 0 : 1;
      }
    }
  }
  EXPECT_EQ(canonical, 65536);
}

TEST(Base64url, WholeGroupsHaveNoTrailingBits) {
  EXPECT_FALSE(HasTrailingBits(std::string_view()));
  EXPECT_FALSE(HasTrailingBits(std::string_view("____")));
  EXPECT_TRUE(HasTrailingBits(std::string_view("______")));
  EXPECT_TRUE(HasTrailingBits(std::string_view("_______")));
}

enum class Relation { kCanonical, kValid, kInvalid };

// Judge uses Decode and HasTrailingBits together, as callers should.
Relation Judge(std::string_view text) {
  const auto digits = WithoutPadding(text);
  const Decoded decoded = DecodeDigits({digits.data(), digits.size()});
  if (decoded.bad != kNoOffset || digits.size() % 4 == 1 ||
      HasTrailingBits(digits)) {
    return Relation::kInvalid;
  }
  return EncodeText(decoded.bytes) == text ? Relation::kCanonical
                                           : Relation::kValid;
}

TEST(Base64url, JudgesTheSpellingsOfOneValue) {
  constexpr struct {
    std::string_view text;
    Relation relation;
  } kCases[] = {
      {"", Relation::kCanonical},
      {"-_-_", Relation::kCanonical},
      {"-_8=", Relation::kCanonical},
      {"-_8", Relation::kValid},
      {"-w==", Relation::kCanonical},
      {"-w", Relation::kValid},
      {"+/+/", Relation::kInvalid},
      {"+/8=", Relation::kInvalid},
      {"-_9=", Relation::kInvalid},   // trailing bits
      {"-x==", Relation::kInvalid},   // trailing bits
      {"-", Relation::kInvalid},      // six bits are no byte
      {"-===", Relation::kInvalid},   // nor are they with padding
      {"-_-_-", Relation::kInvalid},  // nor after whole groups
      {"-_\n8", Relation::kInvalid},
      {"-_ _", Relation::kInvalid},
      {"=-_8", Relation::kInvalid},
      {"-w==-w==", Relation::kInvalid},  // two texts joined
  };
  for (const auto &[text, relation] : kCases) {
    EXPECT_EQ(Judge(text), relation) << text;
  }
}

}  // namespace
}  // namespace fernet::base64url
