#include "core/secret.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <type_traits>

#include "unit/support.hpp"

namespace fernet {
namespace {

using test::Bytes;

constexpr std::size_t kSize = 100;
constexpr std::uint8_t kSecretByte = 0x5e;

std::size_t CountSecretBytes(const Bytes &bytes) {
  return static_cast<std::size_t>(std::ranges::count(bytes, kSecretByte));
}

TEST(SecretBytes, AreWipedOnDestruction) {
  test::Memory<SecretBytes<kSize>> memory(0);
  std::ranges::fill(memory.object()->mutable_bytes(), kSecretByte);
  ASSERT_EQ(CountSecretBytes(memory.Read()), kSize);
  memory.Destroy();
  EXPECT_EQ(CountSecretBytes(memory.Read()), 0u);
}

TEST(SecretBytes, AreWipedOnRequest) {
  SecretBytes<kSize> secret;
  std::ranges::fill(secret.mutable_bytes(), kSecretByte);
  secret.Wipe();
  EXPECT_TRUE(test::AllZero(secret.bytes()));
}

TEST(SecretBytes, CannotBeCopied) {
  EXPECT_FALSE(std::is_copy_constructible_v<SecretBytes<kSize>>);
  EXPECT_FALSE(std::is_copy_assignable_v<SecretBytes<kSize>>);
  EXPECT_FALSE(std::is_move_constructible_v<SecretBytes<kSize>>);
}

TEST(SecretScratch, WipesWhatItHandedOut) {
  for (std::size_t size = 0; size <= kSize; ++size) {
    test::Memory<SecretScratch<kSize>> memory(0);
    const auto part = memory.object()->First(size);
    ASSERT_EQ(part.size(), size);
    std::ranges::fill(part, kSecretByte);
    // The count of the bytes in use may be equal to a secret byte.
    ASSERT_GE(CountSecretBytes(memory.Read()), size);
    memory.Destroy();
    EXPECT_LE(CountSecretBytes(memory.Read()), size == kSecretByte ? 1u : 0u)
        << size;
  }
}

TEST(SecretScratch, RemembersTheMostItHandedOut) {
  test::Memory<SecretScratch<kSize>> memory(0);
  std::ranges::fill(memory.object()->First(80), kSecretByte);
  EXPECT_EQ(memory.object()->First(10).data(),
            memory.object()->First(80).data());
  ASSERT_EQ(memory.object()->First(10).size(), 10u);
  memory.Destroy();
  EXPECT_EQ(CountSecretBytes(memory.Read()), 0u);
}

TEST(SecretScratch, CannotBeCopied) {
  EXPECT_FALSE(std::is_copy_constructible_v<SecretScratch<kSize>>);
  EXPECT_FALSE(std::is_copy_assignable_v<SecretScratch<kSize>>);
}

}  // namespace
}  // namespace fernet
