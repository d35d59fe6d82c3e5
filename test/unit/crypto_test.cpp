#include "core/crypto.hpp"

#include <gtest/gtest.h>
#include <openssl/err.h>

#include <algorithm>
#include <random>
#include <vector>

#include "support/reference.hpp"
#include "unit/failing_openssl.hpp"
#include "unit/support.hpp"

namespace fernet {
namespace {

using test::Bytes;
using test::FailingOpenSsl;
using test::SomeBytes;
using test::TestKeyBytes;

// Prepared is a PreparedKey of a test key, and what it needs.
class Prepared {
 public:
  explicit Prepared(int number) : bytes_(TestKeyBytes(number)) {
    Key key;
    test::LoadKey(bytes_, &key);
    EXPECT_EQ(algorithms_.Fetch(), Status::kOk);
    EXPECT_EQ(key_.Prepare(algorithms_, key), Status::kOk);
  }

  std::span<const std::uint8_t> signing_half() const {
    return std::span(bytes_).first(16);
  }
  std::span<const std::uint8_t> encryption_half() const {
    return std::span(bytes_).last(16);
  }
  PreparedKey &key() { return key_; }
  EVP_MD_CTX *scratch() const { return algorithms_.mac_scratch.get(); }

  // Mac computes the MAC of `parts` one after the other.
  Bytes Mac(const std::vector<Bytes> &parts) const {
    Hmac hmac;
    EXPECT_TRUE(key_.BeginMac(scratch()));
    for (const Bytes &part : parts) {
      EXPECT_TRUE(PreparedKey::AddToMac(scratch(), part));
    }
    EXPECT_TRUE(key_.FinishMac(scratch(), hmac));
    return {hmac.begin(), hmac.end()};
  }

 private:
  Bytes bytes_;
  Algorithms algorithms_;
  PreparedKey key_;
};

// Split cuts `bytes` at places that `seed` chooses.
std::vector<Bytes> Split(const Bytes &bytes, std::uint32_t seed) {
  std::mt19937 generator(seed);
  std::vector<Bytes> parts;
  for (auto from = bytes.begin(); from != bytes.end();) {
    const auto left = static_cast<std::size_t>(bytes.end() - from);
    const auto size = static_cast<std::ptrdiff_t>(
        std::min<std::size_t>(left, generator() % 70));
    parts.emplace_back(from, from + size);
    from += size;
  }
  return parts;
}

TEST(Algorithms, LeaveNoErrorOfSomebodyElse) {
  ERR_raise(ERR_LIB_USER, ERR_R_INTERNAL_ERROR);
  Algorithms algorithms;
  EXPECT_EQ(algorithms.Fetch(), Status::kOk);
  EXPECT_TRUE(test::ErrorQueueIsEmpty());
}

TEST(Algorithms, CanBeFetchedAgain) {
  Algorithms algorithms;
  ASSERT_EQ(algorithms.Fetch(), Status::kOk);
  const EVP_CIPHER *const cipher = algorithms.aes_128_cbc.get();
  EXPECT_NE(cipher, nullptr);
  EXPECT_EQ(algorithms.Fetch(), Status::kOk);
  EXPECT_EQ(algorithms.aes_128_cbc.get(), cipher);
}

TEST(PreparedKey, ComputesTheHmacOfTheReference) {
  Prepared prepared(1);
  for (std::size_t size = 0; size <= 300; ++size) {
    const Bytes data = SomeBytes(size, static_cast<std::uint32_t>(size));
    ASSERT_EQ(prepared.Mac({data}),
              test::reference::HmacSha256(prepared.signing_half(), data))
        << size;
  }
}

TEST(PreparedKey, ComputesTheSameHmacInParts) {
  for (int number = 1; number <= 20; ++number) {
    Prepared prepared(number);
    const auto seed = static_cast<std::uint32_t>(number);
    const Bytes data = SomeBytes(1000, seed);
    EXPECT_EQ(prepared.Mac(Split(data, seed)),
              test::reference::HmacSha256(prepared.signing_half(), data));
  }
}

TEST(PreparedKey, ForgetsAMacThatWasNotFinished) {
  Prepared prepared(1);
  const Bytes data = SomeBytes(100);
  const Bytes expected = prepared.Mac({data});
  ASSERT_TRUE(prepared.key().BeginMac(prepared.scratch()));
  ASSERT_TRUE(PreparedKey::AddToMac(prepared.scratch(), data));
  EXPECT_EQ(prepared.Mac({data}), expected);
}

TEST(PreparedKey, SharesTheScratchWithOtherKeys) {
  Prepared first(1);
  Prepared second(2);
  const Bytes data = SomeBytes(100);
  Hmac hmac;
  ASSERT_TRUE(first.key().BeginMac(second.scratch()));
  ASSERT_TRUE(PreparedKey::AddToMac(second.scratch(), data));
  ASSERT_TRUE(first.key().FinishMac(second.scratch(), hmac));
  EXPECT_EQ(Bytes(hmac.begin(), hmac.end()), first.Mac({data}));
  EXPECT_NE(first.Mac({data}), second.Mac({data}));
}

TEST(PreparedKey, EncryptsBlocksInAnyParts) {
  Prepared prepared(3);
  std::uint32_t turn = 0;
  for (std::size_t blocks = 1; blocks <= 40; ++blocks) {
    for (const std::size_t cut : {std::size_t{0}, (blocks - 1) / 2}) {
      // Each IV is another one, and what is chained comes from the last turn.
      const Bytes iv = SomeBytes(kIvSize, ++turn);
      const Bytes plain = SomeBytes(16 * blocks, 1000 + turn);
      Bytes encrypted = plain;
      const auto first = std::span(encrypted).first(16 * cut);
      const auto rest = std::span(encrypted).subspan(16 * cut);
      ASSERT_TRUE(
          prepared.key().BeginEncryption(std::span(iv).first<kIvSize>()));
      ASSERT_TRUE(first.empty() || prepared.key().EncryptBlocks(first));
      ASSERT_TRUE(prepared.key().EncryptBlocks(rest));
      EXPECT_EQ(encrypted, test::reference::EncryptBlocks(
                               prepared.encryption_half(), iv, plain))
          << blocks << " blocks, the first call with " << cut;
    }
  }
}

TEST(PreparedKey, ForgetsAnEncryptionThatWasNotFinished) {
  Prepared prepared(5);
  const Bytes plain = SomeBytes(64);
  const Bytes expected = test::reference::EncryptBlocks(
      prepared.encryption_half(), test::kTestIv, plain);
  // Without a block, and after some.
  for (const bool with_blocks : {false, true}) {
    Bytes unfinished = SomeBytes(32, 8);
    Bytes out = plain;
    ASSERT_TRUE(prepared.key().BeginEncryption(test::kTestIv));
    ASSERT_TRUE(!with_blocks || prepared.key().EncryptBlocks(unfinished));
    ASSERT_TRUE(prepared.key().BeginEncryption(test::kTestIv));
    ASSERT_TRUE(prepared.key().EncryptBlocks(out));
    EXPECT_EQ(out, expected);
  }
}

TEST(PreparedKey, EncryptsTheNextTokenAfterAFailure) {
  Prepared prepared(6);
  const Bytes plain = SomeBytes(48);
  const Bytes expected = test::reference::EncryptBlocks(
      prepared.encryption_half(), test::kTestIv, plain);
  // Before the first token and after a failure, the IV is set in OpenSSL: some
  // rounds fail there, the others at the blocks.
  for (const auto when :
       {FailingOpenSsl::When::kBefore, FailingOpenSsl::When::kAfter}) {
    for (int round = 0; round < 3; ++round) {
      {
        const FailingOpenSsl failing(1, when);
        Bytes failed = SomeBytes(32, 7);
        EXPECT_FALSE(prepared.key().BeginEncryption(test::kTestIv) &&
                     prepared.key().EncryptBlocks(failed));
        EXPECT_TRUE(FailingOpenSsl::HasFailed());
      }
      EXPECT_TRUE(test::ErrorQueueIsEmpty());
      // And the one after that, which is chained to it.
      for (int token = 0; token < round; ++token) {
        Bytes out = plain;
        ASSERT_TRUE(prepared.key().BeginEncryption(test::kTestIv));
        ASSERT_TRUE(prepared.key().EncryptBlocks(out));
        EXPECT_EQ(out, expected);
      }
    }
  }
}

TEST(PreparedKey, DecryptsBlocksInAnyParts) {
  Prepared prepared(4);
  const Bytes plain = SomeBytes(16 * 8);
  const Bytes encrypted = test::reference::EncryptBlocks(
      prepared.encryption_half(), test::kTestIv, plain);
  for (std::size_t cut = 0; cut <= encrypted.size(); cut += 16) {
    Bytes out = encrypted;
    const auto first = std::span(out).first(cut);
    const auto rest = std::span(out).subspan(cut);
    ASSERT_TRUE(prepared.key().BeginDecryption(test::kTestIv));
    ASSERT_TRUE(prepared.key().DecryptBlocks(first, first.data()));
    // In place, and apart.
    ASSERT_TRUE(prepared.key().DecryptBlocks(std::span(encrypted).subspan(cut),
                                             rest.data()));
    EXPECT_EQ(out, plain) << cut;
  }
}

TEST(PreparedKey, ForgetsADecryptionThatWasNotFinished) {
  Prepared prepared(5);
  const Bytes plain = SomeBytes(64);
  const Bytes encrypted = test::reference::EncryptBlocks(
      prepared.encryption_half(), test::kTestIv, plain);
  Bytes out(64);
  ASSERT_TRUE(prepared.key().BeginDecryption(test::kTestIv));
  ASSERT_TRUE(
      prepared.key().DecryptBlocks(std::span(encrypted).first(32), out.data()));
  ASSERT_TRUE(prepared.key().BeginDecryption(test::kTestIv));
  ASSERT_TRUE(prepared.key().DecryptBlocks(encrypted, out.data()));
  EXPECT_EQ(out, plain);
}

TEST(PreparedKey, DecryptsTheNextTokenAfterAFailure) {
  Prepared prepared(6);
  const Bytes plain = SomeBytes(48);
  const Bytes encrypted = test::reference::EncryptBlocks(
      prepared.encryption_half(), test::kTestIv, plain);
  Bytes out(plain.size());
  for (const auto when :
       {FailingOpenSsl::When::kBefore, FailingOpenSsl::When::kAfter}) {
    for (int round = 0; round < 3; ++round) {
      {
        const FailingOpenSsl failing(1, when);
        EXPECT_FALSE(
            prepared.key().BeginDecryption(test::kTestIv) &&
            prepared.key().DecryptBlocks(SomeBytes(32, 7), out.data()));
        EXPECT_TRUE(FailingOpenSsl::HasFailed());
      }
      EXPECT_TRUE(test::ErrorQueueIsEmpty());
      for (int token = 0; token < round; ++token) {
        ASSERT_TRUE(prepared.key().BeginDecryption(test::kTestIv));
        ASSERT_TRUE(prepared.key().DecryptBlocks(encrypted, out.data()));
        EXPECT_EQ(out, plain);
      }
    }
  }
}

TEST(PreparedKey, ComputesNothingUnlessItIsPrepared) {
  Algorithms algorithms;
  ASSERT_EQ(algorithms.Fetch(), Status::kOk);
  PreparedKey prepared;
  for (const bool was_prepared : {false, true}) {
    if (was_prepared) {
      Key key;
      test::LoadKey(TestKeyBytes(1), &key);
      ASSERT_EQ(prepared.Prepare(algorithms, key), Status::kOk);
      ASSERT_TRUE(prepared.BeginMac(algorithms.mac_scratch.get()));
      prepared.Clear();
    }
    EXPECT_FALSE(prepared.BeginMac(algorithms.mac_scratch.get()));
    EXPECT_FALSE(prepared.BeginEncryption(test::kTestIv));
    EXPECT_FALSE(prepared.BeginDecryption(test::kTestIv));
    EXPECT_TRUE(test::ErrorQueueIsEmpty());
  }
}

TEST(PreparedKey, CanBePreparedAgainForAnotherKey) {
  Algorithms algorithms;
  ASSERT_EQ(algorithms.Fetch(), Status::kOk);
  PreparedKey prepared;
  for (const int number : {1, 2}) {
    Key key;
    test::LoadKey(TestKeyBytes(number), &key);
    ASSERT_EQ(prepared.Prepare(algorithms, key), Status::kOk);
    Hmac hmac;
    ASSERT_TRUE(prepared.BeginMac(algorithms.mac_scratch.get()));
    ASSERT_TRUE(prepared.FinishMac(algorithms.mac_scratch.get(), hmac));
    EXPECT_EQ(Bytes(hmac.begin(), hmac.end()),
              test::reference::HmacSha256(key.signing_half(), {}));
    // Nothing is chained to what the other key has left.
    const Bytes plain = SomeBytes(32);
    Bytes blocks = plain;
    ASSERT_TRUE(prepared.BeginEncryption(test::kTestIv));
    ASSERT_TRUE(prepared.EncryptBlocks(blocks));
    EXPECT_EQ(blocks, test::reference::EncryptBlocks(key.encryption_half(),
                                                     test::kTestIv, plain));
    ASSERT_TRUE(prepared.BeginDecryption(test::kTestIv));
    ASSERT_TRUE(prepared.DecryptBlocks(blocks, blocks.data()));
    EXPECT_EQ(blocks, plain);
  }
}

TEST(PreparedKey, UseBeforePreparationFailsAndLeavesNoError) {
  Algorithms algorithms;
  ASSERT_EQ(algorithms.Fetch(), Status::kOk);
  const PreparedKey empty;
  EXPECT_FALSE(empty.BeginMac(algorithms.mac_scratch.get()));
  EXPECT_TRUE(test::ErrorQueueIsEmpty());
}

}  // namespace
}  // namespace fernet
