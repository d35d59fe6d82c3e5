#include "core/derivation.hpp"

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "core/base64url.hpp"
#include "unit/support.hpp"

namespace fernet {
namespace {

using test::Bytes;
using test::ToBytes;

// Text is room for a key.
using Text = std::array<char, kEncodedKeySize>;

std::string ToString(const Text &text) { return {text.begin(), text.end()}; }

std::string Hkdf(std::string_view secret, std::string_view salt,
                 std::string_view info) {
  Text key;
  EXPECT_EQ(DeriveByHkdf(ToBytes(secret), ToBytes(salt), ToBytes(info), key),
            Status::kOk);
  return ToString(key);
}

std::string Pbkdf2(std::string_view secret, std::string_view salt,
                   std::uint32_t iterations) {
  Text key;
  EXPECT_EQ(
      DeriveByPbkdf2(ToBytes(secret), ToBytes(salt), iterations, Always, key),
      Status::kOk);
  return ToString(key);
}

std::string Sha256(std::string_view secret) {
  Text key;
  EXPECT_EQ(DeriveBySha256(ToBytes(secret), key), Status::kOk);
  return ToString(key);
}

// Python computed the expected values: `hkdf.HKDF` of cryptography 38.0.4,
// `hashlib.pbkdf2_hmac` and `hashlib.sha256`.

TEST(Derivation, ByHkdfIsWhatPythonDerives) {
  EXPECT_EQ(
      Hkdf("secret", "django-fernet-fields-hkdf-salt", "django-fernet-fields"),
      "eWHXcUXxud6rRb_yANSEsNsfZ0YFs2P6OTSzfFeL55E=");
  EXPECT_EQ(Hkdf("", "", ""), "63DwHe3pr6-kSe7hsShlBOH2I4iz991PlWaXsOgo_hg=");
}

TEST(Derivation, ByHkdfIsTheVectorOfRfc5869) {
  // Appendix A.1, the first 32 of its 42 bytes.
  const Bytes secret(22, 0x0b);
  Bytes salt;
  for (std::uint8_t byte = 0; byte <= 0x0c; ++byte) {
    salt.push_back(byte);
  }
  Bytes info;
  for (std::uint8_t byte = 0xf0; byte <= 0xf9; ++byte) {
    info.push_back(byte);
  }
  Text key;
  ASSERT_EQ(DeriveByHkdf(secret, salt, info, key), Status::kOk);
  const Bytes expected = {0x3c, 0xb2, 0x5f, 0x25, 0xfa, 0xac, 0xd5, 0x7a,
                          0x90, 0x43, 0x4f, 0x64, 0xd0, 0x36, 0x2f, 0x2a,
                          0x2d, 0x2d, 0x0a, 0x90, 0xcf, 0x1a, 0x5a, 0x4c,
                          0x5d, 0xb0, 0x2d, 0x56, 0xec, 0xc4, 0xc5, 0xbf};
  Text expected_text;
  base64url::Encode(expected, expected_text);
  EXPECT_EQ(ToString(key), ToString(expected_text));
}

TEST(Derivation, ByPbkdf2IsWhatPythonDerives) {
  EXPECT_EQ(Pbkdf2("secret", "salt", 1000),
            "qN-JnzxPIE2WfgrWPAkph8EAVeuwF7PZ0ordIY1Peq0=");
  // A short salt and few iterations are accepted.
  EXPECT_EQ(Pbkdf2("s", "", 1), "U_amqFvawW7rIVozQu-kxpV0HxEp5zTph2NH-NOrP0s=");
}

// OpenSsl is what OpenSSL's own PBKDF2 derives.
std::string OpenSsl(std::string_view secret, std::string_view salt,
                    std::uint32_t iterations) {
  Bytes bytes(kKeySize);
  const Bytes salt_bytes = ToBytes(salt);
  EXPECT_EQ(
      PKCS5_PBKDF2_HMAC(secret.data(), static_cast<int>(secret.size()),
                        salt_bytes.data(), static_cast<int>(salt_bytes.size()),
                        static_cast<int>(iterations), EVP_sha256(),
                        static_cast<int>(bytes.size()), bytes.data()),
      1);
  Text text;
  base64url::Encode(bytes, text);
  return ToString(text);
}

TEST(Derivation, ByPbkdf2IsWhatOpenSslDerives) {
  // Around the block of SHA-256, beyond which HMAC digests the secret, and
  // around its padding.
  std::vector<std::size_t> sizes = {0, 1, 8, 5000, 100000};
  for (std::size_t size = 30; size <= 130; ++size) {
    sizes.push_back(size);
  }
  for (const std::size_t size : sizes) {
    SCOPED_TRACE(size);
    for (const std::uint32_t iterations : {1U, 2U, 3U}) {
      const Bytes bytes = test::SomeBytes(size);
      const std::string long_one(bytes.begin(), bytes.end());
      EXPECT_EQ(Pbkdf2(long_one, "salt", iterations),
                OpenSsl(long_one, "salt", iterations));
      EXPECT_EQ(Pbkdf2("secret", long_one, iterations),
                OpenSsl("secret", long_one, iterations));
    }
  }
  // Around the questions whether to go on.
  for (const std::uint32_t iterations :
       {4095U, 4096U, 4097U, 8192U, 8193U, 100000U}) {
    EXPECT_EQ(Pbkdf2("secret", "salt", iterations),
              OpenSsl("secret", "salt", iterations));
  }
}

constinit int questions = 0;

TEST(Derivation, ByPbkdf2StopsWhenAskedToAndWipesTheKey) {
  constexpr std::uint32_t kTooMany = 4000000000;  // minutes of them
  Text key;
  key.fill('x');
  questions = 0;
  const auto three_times = []() noexcept { return ++questions < 3; };
  EXPECT_EQ(
      DeriveByPbkdf2(ToBytes("a"), ToBytes("b"), kTooMany, three_times, key),
      Status::kStopped);
  EXPECT_EQ(questions, 3);
  EXPECT_EQ(ToString(key), std::string(kEncodedKeySize, '\0'));
  EXPECT_TRUE(test::ErrorQueueIsEmpty());
}

TEST(Derivation, ByPbkdf2AsksOnceIn4096Rounds) {
  const auto count = []() noexcept { return ++questions > 0; };
  for (const auto &[iterations, expected] :
       std::initializer_list<std::pair<std::uint32_t, int>>{
           {1, 0}, {4096, 0}, {4097, 1}, {8192, 1}, {8193, 2}, {40961, 10}}) {
    Text key;
    questions = 0;
    EXPECT_EQ(
        DeriveByPbkdf2(ToBytes("a"), ToBytes("b"), iterations, count, key),
        Status::kOk);
    EXPECT_EQ(questions, expected) << iterations;
  }
}

TEST(Derivation, BySha256IsWhatPythonDerives) {
  EXPECT_EQ(Sha256("secret"), "K7gNU3sdo-OL0wNhqoVWhr3g6s1xYv72ol_pe_Unols=");
  EXPECT_EQ(Sha256(""), "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=");
}

TEST(Derivation, DependsOnEachOfItsInputs) {
  const std::string hkdf = Hkdf("a", "b", "c");
  EXPECT_NE(hkdf, Hkdf("A", "b", "c"));
  EXPECT_NE(hkdf, Hkdf("a", "B", "c"));
  EXPECT_NE(hkdf, Hkdf("a", "b", "C"));
  const std::string pbkdf2 = Pbkdf2("a", "b", 2);
  EXPECT_NE(pbkdf2, Pbkdf2("A", "b", 2));
  EXPECT_NE(pbkdf2, Pbkdf2("a", "B", 2));
  EXPECT_NE(pbkdf2, Pbkdf2("a", "b", 3));
}

TEST(Derivation, LeavesNothingInTheErrorQueue) {
  static_cast<void>(Hkdf("a", "b", "c"));
  static_cast<void>(Pbkdf2("a", "b", 1));
  static_cast<void>(Sha256("a"));
  EXPECT_TRUE(test::ErrorQueueIsEmpty());
}

TEST(Derivation, ReportsWhatOpenSslRefusesAndWipesTheKey) {
  Text key;
  key.fill('x');
  // No iterations at all.
  EXPECT_EQ(DeriveByPbkdf2(ToBytes("a"), ToBytes("b"), 0, Always, key),
            Status::kCryptoFailed);
  EXPECT_EQ(ToString(key), std::string(kEncodedKeySize, '\0'));
  EXPECT_TRUE(test::ErrorQueueIsEmpty());
}

}  // namespace
}  // namespace fernet
