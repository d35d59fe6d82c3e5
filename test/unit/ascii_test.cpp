#include "core/ascii.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace fernet {
namespace {

std::string Trimmed(std::string_view text) {
  const auto trimmed = TrimSpace(text);
  return {trimmed.begin(), trimmed.end()};
}

std::string Unpadded(std::string_view text) {
  const auto unpadded = WithoutPadding(text);
  return {unpadded.begin(), unpadded.end()};
}

TEST(Ascii, SpaceIsSixOfAllByteValues) {
  constexpr std::string_view kSpaces = " \t\n\v\f\r";
  for (int value = 0; value < 256; ++value) {
    const char c = static_cast<char>(value);
    EXPECT_EQ(IsSpace(c), kSpaces.find(c) != std::string_view::npos) << value;
  }
}

TEST(Ascii, HexDigitsAreTwentyTwoOfAllByteValues) {
  constexpr std::string_view kHexDigits = "0123456789abcdefABCDEF";
  for (int value = 0; value < 256; ++value) {
    const char c = static_cast<char>(value);
    EXPECT_EQ(IsHexDigit(c), kHexDigits.find(c) != std::string_view::npos)
        << value;
  }
}

TEST(Ascii, TrimSpaceTakesBothEndsAndNothingInside) {
  EXPECT_EQ(Trimmed(""), "");
  EXPECT_EQ(Trimmed(" \t\r\n\v\f"), "");
  EXPECT_EQ(Trimmed("a"), "a");
  EXPECT_EQ(Trimmed("  a"), "a");
  EXPECT_EQ(Trimmed("a\r\n"), "a");
  EXPECT_EQ(Trimmed("\n a b\tc \n"), "a b\tc");
  EXPECT_EQ(Trimmed("\xa0"
                    "a\x85"),
            "\xa0"
            "a\x85");
}

TEST(Ascii, TrimSpaceStaysInsideTheText) {
  constexpr std::string_view kText = "  ab ";
  const auto trimmed = TrimSpace(kText);
  EXPECT_EQ(trimmed.data(), kText.data() + 2);
  EXPECT_EQ(trimmed.size(), 2u);
}

TEST(Ascii, WithoutPaddingTakesTwoAtMost) {
  EXPECT_EQ(Unpadded(""), "");
  EXPECT_EQ(Unpadded("="), "");
  EXPECT_EQ(Unpadded("=="), "");
  EXPECT_EQ(Unpadded("==="), "=");
  EXPECT_EQ(Unpadded("ab"), "ab");
  EXPECT_EQ(Unpadded("ab="), "ab");
  EXPECT_EQ(Unpadded("ab=="), "ab");
  EXPECT_EQ(Unpadded("ab==="), "ab=");
  EXPECT_EQ(Unpadded("=a"), "=a");
  EXPECT_EQ(Unpadded("a=b="), "a=b");
}

}  // namespace
}  // namespace fernet
