#include "core/sealer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

#include "support/reference.hpp"
#include "unit/support.hpp"

namespace fernet {
namespace {

using test::Bytes;
using test::TestKeyBytes;

constexpr std::uint64_t kTimestamp = 1'795'478'400;

class SealerTest : public testing::Test {
 protected:
  void SetUp() override {
    Key key;
    test::LoadKey(TestKeyBytes(1), &key);
    ASSERT_EQ(algorithms_.Fetch(), Status::kOk);
    ASSERT_EQ(key_.Prepare(algorithms_, key), Status::kOk);
  }
  EVP_MD_CTX *scratch() const { return algorithms_.mac_scratch.get(); }

  static std::string Reference(const Bytes &plaintext) {
    return test::reference::Seal(TestKeyBytes(1), kTimestamp, test::kTestIv,
                                 plaintext);
  }

  // SealInParts appends `plaintext` in parts of at most `largest` bytes.
  std::string SealInParts(const Bytes &plaintext, std::size_t largest,
                          std::uint32_t seed) {
    std::mt19937 generator(seed);
    std::string text(TokenSize(plaintext.size()), '?');
    Sealer sealer(&key_, scratch(), text);
    EXPECT_EQ(sealer.Start(kTimestamp, test::kTestIv), Status::kOk);
    for (auto rest = std::span(plaintext); !rest.empty();) {
      const std::size_t size =
          std::min<std::size_t>(generator() % (largest + 1), rest.size());
      EXPECT_EQ(sealer.Append(rest.first(size)), Status::kOk);
      rest = rest.subspan(size);
    }
    EXPECT_EQ(sealer.Finish(), Status::kOk);
    return text;
  }

  Algorithms algorithms_;
  PreparedKey key_;
};

TEST_F(SealerTest, MakesOneTokenHoweverThePlaintextIsCut) {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{100}, kChunkSize - 26,
        kChunkSize - 25, kChunkSize - 24, kChunkSize, 3 * kChunkSize + 5}) {
    const Bytes plaintext = test::SomeBytes(size);
    const std::string expected = Reference(plaintext);
    for (const std::size_t largest : {1u, 17u, 1000u, 12288u, 20000u}) {
      for (std::uint32_t seed = 1; seed <= 3; ++seed) {
        ASSERT_EQ(SealInParts(plaintext, largest, seed), expected)
            << size << " bytes in parts of up to " << largest;
      }
    }
  }
}

TEST_F(SealerTest, SealsOneTokenAfterTheOther) {
  // The cipher goes on where the token before has left it: one of another IV
  // and size, and one that was not finished.
  std::uint32_t turn = 0;
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{40}, 2 * kChunkSize, std::size_t{16}}) {
    const Bytes plaintext = test::SomeBytes(size, ++turn);
    const Bytes iv = test::SomeBytes(kIvSize, 100 + turn);
    std::string text(TokenSize(size), '?');
    const auto start = std::span(iv).first<kIvSize>();
    Sealer sealer(&key_, scratch(), text);
    ASSERT_EQ(sealer.Start(kTimestamp, start), Status::kOk);
    ASSERT_EQ(sealer.Append(plaintext), Status::kOk);
    ASSERT_EQ(sealer.Finish(), Status::kOk);
    EXPECT_EQ(text, test::reference::Seal(TestKeyBytes(1), kTimestamp, start,
                                          plaintext));
    std::string unfinished(TokenSize(2 * kChunkSize), '?');
    Sealer stopped(&key_, scratch(), unfinished);
    ASSERT_EQ(stopped.Start(kTimestamp, test::kTestIv), Status::kOk);
    ASSERT_EQ(stopped.Append(test::SomeBytes(kChunkSize)), Status::kOk);
  }
}

// No is a GoOn that always returns false.
bool No() noexcept { return false; }

TEST_F(SealerTest, StopsAfterAChunkWithoutPlaintextLeft) {
  const Bytes plaintext = test::SomeBytes(3 * kChunkSize);
  std::string text(TokenSize(plaintext.size()), '?');
  test::Memory<Sealer> memory(0, &key_, scratch(), text, No);
  ASSERT_EQ(memory.object()->Start(kTimestamp, test::kTestIv), Status::kOk);
  // GoOn is not called while the plaintext fits into the stage.
  ASSERT_EQ(memory.object()->Append(std::span(plaintext).first(1000)),
            Status::kOk);
  ASSERT_EQ(memory.object()->Append(std::span(plaintext).subspan(1000)),
            Status::kStopped);
  memory.Destroy();
  const Bytes left = memory.Read();
  for (std::size_t at = 0; at + 6 <= plaintext.size(); at += 3) {
    ASSERT_FALSE(test::Contains(left, std::span(plaintext).subspan(at, 6)));
  }
}

TEST_F(SealerTest, WipesPlaintextThatWasNeverSealed) {
  const Bytes plaintext(100, 'P');
  const Bytes needle(8, 'P');
  std::string text(TokenSize(kChunkSize), '?');
  for (const std::size_t before : {std::size_t{0}, kChunkSize - 40}) {
    test::Memory<Sealer> memory(0, &key_, scratch(), text);
    ASSERT_EQ(memory.object()->Start(kTimestamp, test::kTestIv), Status::kOk);
    ASSERT_EQ(memory.object()->Append(Bytes(before, 'q')), Status::kOk);
    ASSERT_EQ(memory.object()->Append(plaintext), Status::kOk);
    ASSERT_TRUE(test::Contains(memory.Read(), needle));
    memory.Destroy();
    EXPECT_FALSE(test::Contains(memory.Read(), needle)) << before;
  }
}

TEST_F(SealerTest, LeavesNoPlaintextInItsStage) {
  for (const std::size_t size :
       {std::size_t{1}, std::size_t{15}, std::size_t{16}, std::size_t{1000},
        kChunkSize - 26, kChunkSize - 25, kChunkSize - 17, kChunkSize - 9,
        kChunkSize, 2 * kChunkSize + 100}) {
    // Random bytes, so that no ciphertext, tag or counter looks like them.
    const Bytes plaintext = test::SomeBytes(size);
    std::string text(TokenSize(size), '?');
    test::Memory<Sealer> memory(0, &key_, scratch(), text);
    ASSERT_EQ(memory.object()->Start(kTimestamp, test::kTestIv), Status::kOk);
    ASSERT_EQ(memory.object()->Append(plaintext), Status::kOk);
    ASSERT_EQ(memory.object()->Finish(), Status::kOk);
    ASSERT_EQ(text, Reference(plaintext));
    memory.Destroy();
    const Bytes left = memory.Read();
    for (std::size_t at = 0; at + 6 <= size; at += 3) {
      ASSERT_FALSE(test::Contains(left, std::span(plaintext).subspan(at, 6)))
          << "byte " << at << " of " << size;
    }
  }
}

}  // namespace
}  // namespace fernet
