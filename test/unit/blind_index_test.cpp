#include "core/blind_index.hpp"

#include <gtest/gtest.h>
#include <openssl/hmac.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "unit/support.hpp"

namespace fernet {
namespace {

using test::Bytes;
using test::ToBytes;

std::unique_ptr<BlindIndexer> IndexerOf(std::initializer_list<int> numbers) {
  auto keys = std::make_unique<std::array<Key, kMaxKeys>>();
  std::size_t count = 0;
  for (const int number : numbers) {
    test::LoadKey(test::TestKeyBytes(number), &(*keys)[count++]);
  }
  auto indexer = std::make_unique<BlindIndexer>();
  EXPECT_EQ(indexer->Prepare(std::span(*keys).first(count)), Status::kOk);
  return indexer;
}

Bytes Compute(BlindIndexer *indexer, std::uint32_t key,
              std::string_view context, const Bytes &value,
              std::size_t size = kMaxBlindIndexSize) {
  Bytes out(size);
  EXPECT_EQ(indexer->Compute(key, ToBytes(context), value, out), Status::kOk);
  EXPECT_TRUE(test::ErrorQueueIsEmpty());
  return out;
}

std::string Hex(const Bytes &bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

// Message is what the contract says is hashed.
Bytes Message(std::string_view context, const Bytes &value) {
  Bytes message = ToBytes("pg_fernet blind index v1");
  message.push_back(0);
  for (int shift = 56; shift >= 0; shift -= 8) {
    message.push_back(
        static_cast<std::uint8_t>(std::uint64_t{context.size()} >> shift));
  }
  const Bytes bytes = ToBytes(context);
  message.insert(message.end(), bytes.begin(), bytes.end());
  message.insert(message.end(), value.begin(), value.end());
  return message;
}

Bytes ReferenceHmac(const Bytes &key, const Bytes &message) {
  Bytes mac(kHmacSize);
  unsigned int size = 0;
  EXPECT_NE(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                 message.data(), message.size(), mac.data(), &size),
            nullptr);
  return mac;
}

// Python: hmac.new(sha256(b'pg_fernet test key 1').digest(),
//   b'pg_fernet blind index v1\0' + struct.pack('>Q', 10) + b'user.email'
//   + b'alice@example.com', 'sha256').hexdigest()
TEST(BlindIndex, IsWhatPythonComputes) {
  const auto indexer = IndexerOf({1});
  EXPECT_EQ(Hex(Compute(indexer.get(), 0, "user.email",
                        ToBytes("alice@example.com"))),
            "341a3c96f0198e33c9f9bf3f63a0a24fa9288d0cd10d9f546c1a22246adaf301");
}

TEST(BlindIndex, IsTheHmacOfTheMessageAtEverySize) {
  const auto indexer = IndexerOf({1, 2});
  for (const std::size_t size :
       {0U, 1U, 20U, 21U, 22U, 30U, 63U, 64U, 65U, 200U, 1048575U, 1048576U,
        1048577U, 3000000U}) {
    SCOPED_TRACE(size);
    const Bytes value = test::SomeBytes(size);
    for (const std::string_view context : {"", "c", "user.email"}) {
      const Bytes message = Message(context, value);
      EXPECT_EQ(Compute(indexer.get(), 0, context, value),
                ReferenceHmac(test::TestKeyBytes(1), message));
      EXPECT_EQ(Compute(indexer.get(), 1, context, value),
                ReferenceHmac(test::TestKeyBytes(2), message));
    }
  }
}

TEST(BlindIndex, HoldsTheWholeSizeOfTheContext) {
  const auto indexer = IndexerOf({1});
  const Bytes value = ToBytes("value");
  for (const std::size_t size : {15U, 16U, 255U, 256U, 4096U, 70'000U}) {
    const std::string context(size, 'c');
    EXPECT_EQ(Compute(indexer.get(), 0, context, value),
              ReferenceHmac(test::TestKeyBytes(1), Message(context, value)))
        << size;
  }
}

TEST(BlindIndex, IsCutToTheSizeOfTheOutput) {
  const auto indexer = IndexerOf({1});
  const Bytes value = ToBytes("value");
  const Bytes whole = Compute(indexer.get(), 0, "c", value);
  static_assert(kMinBlindIndexSize == 2 && kMaxBlindIndexSize == 32);
  for (std::size_t size = 2; size <= 32; ++size) {
    const Bytes start(whole.begin(),
                      whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_EQ(Compute(indexer.get(), 0, "c", value, size), start);
  }
}

// The size of the context keeps it apart from the value.
TEST(BlindIndex, DependsOnWhereTheContextEnds) {
  const auto indexer = IndexerOf({1});
  EXPECT_NE(Compute(indexer.get(), 0, "ab", ToBytes("c")),
            Compute(indexer.get(), 0, "a", ToBytes("bc")));
}

TEST(BlindIndex, StopsBetweenSteps) {
  const auto indexer = IndexerOf({1});
  const auto never = []() noexcept { return false; };
  Bytes out(kMaxBlindIndexSize);
  const Bytes large = test::SomeBytes(2 * 1024 * 1024);
  EXPECT_EQ(indexer->Compute(0, {}, large, out, never), Status::kStopped);
  EXPECT_TRUE(test::AllZero(out));
  const Bytes small = test::SomeBytes(1024 * 1024);
  EXPECT_EQ(indexer->Compute(0, {}, small, out, never), Status::kOk);
}

TEST(BlindIndex, CanBePreparedAgain) {
  EXPECT_EQ(BlindIndexer().size(), 0U);
  const auto indexer = IndexerOf({1, 2, 3});
  EXPECT_EQ(indexer->size(), 3U);
  indexer->Clear();
  EXPECT_EQ(indexer->size(), 0U);
  // Nothing of a key is left.
  std::array<std::uint8_t, 32> out;
  for (const std::uint32_t index : {0U, 2U}) {
    EXPECT_EQ(indexer->Compute(index, {}, {}, out, Always),
              Status::kCryptoFailed);
  }
  Key key;
  test::LoadKey(test::TestKeyBytes(2), &key);
  EXPECT_EQ(indexer->Prepare(std::span(&key, 1)), Status::kOk);
  EXPECT_EQ(Compute(indexer.get(), 0, "c", ToBytes("v")),
            Compute(IndexerOf({1, 2}).get(), 1, "c", ToBytes("v")));
}

}  // namespace
}  // namespace fernet
