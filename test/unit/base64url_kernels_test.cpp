#include "core/base64url_kernels.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

#include "core/base64url.hpp"
#include "support/reference.hpp"
#include "unit/support.hpp"

// Every kernel that this processor can run is compared with the reference;
// base64url_test.cpp tests only the fastest one.

namespace fernet::base64url {
namespace {

using test::Bytes;

// Enough for two turns of the widest loop and every rest.
constexpr std::size_t kMaxSize = 300;

std::string EncodeText(const Kernel &kernel, const Bytes &bytes) {
  std::string text(EncodedSize(bytes.size()), '?');
  EncodeWith(kernel, bytes, text);
  return text;
}

std::string Digits(const Bytes &bytes) {
  std::string text = test::reference::Encode(bytes);
  text.resize(text.find_last_not_of('=') + 1);
  return text;
}

class Base64urlKernel : public testing::TestWithParam<const Kernel *> {
 protected:
  static const Kernel &kernel() { return *GetParam(); }
};

TEST_P(Base64urlKernel, EncodesAllLengthsLikeTheReference) {
  for (std::size_t size = 0; size <= kMaxSize; ++size) {
    const Bytes bytes = test::SomeBytes(size);
    ASSERT_EQ(EncodeText(kernel(), bytes), test::reference::Encode(bytes));
  }
}

TEST_P(Base64urlKernel, DecodesAllLengths) {
  for (std::size_t size = 0; size <= kMaxSize; ++size) {
    const Bytes bytes = test::SomeBytes(size);
    Bytes decoded(size);
    ASSERT_EQ(DecodeWith(kernel(), Digits(bytes), decoded), kNoOffset);
    ASSERT_EQ(decoded, bytes);
  }
}

TEST_P(Base64urlKernel, KnowsEveryDigitInEveryPlaceOfItsVectors) {
  // Every group of three bytes takes every value of each of its four digits.
  for (std::uint32_t value = 0; value < 64; ++value) {
    for (int shift = 0; shift <= 18; shift += 6) {
      Bytes bytes(kMaxSize);
      for (std::size_t i = 0; i < bytes.size(); i += 3) {
        const std::uint32_t group = value << shift;
        bytes[i] = static_cast<std::uint8_t>(group >> 16);
        bytes[i + 1] = static_cast<std::uint8_t>(group >> 8);
        bytes[i + 2] = static_cast<std::uint8_t>(group);
      }
      const std::string text = EncodeText(kernel(), bytes);
      ASSERT_EQ(text, test::reference::Encode(bytes));
      Bytes decoded(bytes.size());
      ASSERT_EQ(DecodeWith(kernel(), text, decoded), kNoOffset);
      ASSERT_EQ(decoded, bytes);
    }
  }
}

TEST_P(Base64urlKernel, LeavesLessThanAGroupToTheTables) {
  const bool is_none = std::string_view(kernel().name) == "none";
  for (std::size_t size = 0; size <= kMaxSize; ++size) {
    const Bytes bytes = test::SomeBytes(size);
    std::string text(EncodedSize(size), '?');
    EXPECT_EQ(kernel().encode(bytes, text.data()),
              is_none || size < 24 ? 0 : size / 3 * 3);
    const std::string digits = Digits(bytes);
    Bytes decoded(size);
    EXPECT_EQ(kernel().decode(digits, decoded.data()),
              is_none || digits.size() < 32 ? 0 : digits.size() / 4 * 4);
  }
}

TEST_P(Base64urlKernel, FindsTheFirstBadCharacterInEveryPlace) {
  const std::string digits(kMaxSize / 3 * 4, 'z');
  Bytes decoded(kMaxSize);
  for (std::size_t place = 0; place < digits.size(); ++place) {
    for (int value = 0; value < 256; ++value) {
      const char character = static_cast<char>(value);
      if (test::kUrlAlphabet.find(character) != std::string_view::npos) {
        continue;
      }
      std::string damaged = digits;
      damaged[place] = character;
      // A second bad character, later, must not hide it.
      damaged[std::min(place + 70, digits.size() - 1)] = '%';
      ASSERT_EQ(DecodeWith(kernel(), damaged, decoded), place) << value;
    }
  }
}

TEST_P(Base64urlKernel, StaysWithinItsMemory) {
  // At the end of an allocation, where a sanitizer sees an access beyond it,
  // and before a guard page, where any program does.
  for (std::size_t size = 0; size <= kMaxSize; ++size) {
    const Bytes bytes = test::SomeBytes(size);
    std::string text(EncodedSize(size) + 64, '?');
    EncodeWith(kernel(), bytes, std::span(text).first(EncodedSize(size)));
    ASSERT_EQ(text.substr(EncodedSize(size)), std::string(64, '?'));
    const std::string digits = Digits(bytes);
    Bytes decoded(size + 64, 0xee);
    ASSERT_EQ(DecodeWith(kernel(), digits, std::span(decoded).first(size)),
              kNoOffset);
    ASSERT_TRUE(std::all_of(decoded.begin() + static_cast<std::ptrdiff_t>(size),
                            decoded.end(),
                            [](std::uint8_t byte) { return byte == 0xee; }));
  }
}

std::vector<const Kernel *> EachKernel() {
  std::vector<const Kernel *> kernels;
  for (const Kernel &kernel : Kernels()) {
    kernels.push_back(&kernel);
  }
  return kernels;
}

INSTANTIATE_TEST_SUITE_P(
    All, Base64urlKernel, testing::ValuesIn(EachKernel()),
    [](const testing::TestParamInfo<const Kernel *> &parameter) {
      std::string name = parameter.param->name;
      std::erase_if(name, [](char c) { return std::isalnum(c) == 0; });
      return name;
    });

TEST(Base64urlKernels, EndWithTheOneThatRunsEverywhere) {
  ASSERT_FALSE(Kernels().empty());
  EXPECT_STREQ(Kernels().back().name, "none");
  const Bytes bytes = test::SomeBytes(kMaxSize);
  std::string text(EncodedSize(bytes.size()), '?');
  EXPECT_EQ(Kernels().back().encode(bytes, text.data()), 0u);
}

}  // namespace
}  // namespace fernet::base64url
