#include "core/random.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <vector>

#include "core/secret_pages.hpp"
#include "unit/support.hpp"

namespace fernet {
namespace {

using test::Bytes;
using Iv = std::array<std::uint8_t, 16>;

bool HasDuplicates(std::vector<Iv> ivs) {
  std::ranges::sort(ivs);
  return std::ranges::adjacent_find(ivs) != ivs.end();
}

TEST(RandomBuffer, NeverRepeatsAnIv) {
  RandomBuffer buffer;
  std::vector<Iv> ivs(100'000);
  for (Iv &iv : ivs) {
    ASSERT_TRUE(buffer.Take(iv));
  }
  EXPECT_FALSE(HasDuplicates(ivs));
}

TEST(RandomBuffer, NeverRepeatsWhateverTheSizesTaken) {
  RandomBuffer buffer;
  std::vector<Iv> ivs;
  for (std::size_t size = 16; size <= RandomBuffer::kSize; size += 13) {
    Bytes bytes(size);
    ASSERT_TRUE(buffer.Take(bytes));
    for (std::size_t at = 0; at + sizeof(Iv) <= size; at += sizeof(Iv)) {
      std::memcpy(ivs.emplace_back().data(), bytes.data() + at, sizeof(Iv));
    }
  }
  EXPECT_FALSE(HasDuplicates(ivs));
}

TEST(RandomBuffer, FillsExactlyWhatItIsGiven) {
  RandomBuffer buffer;
  for (std::size_t size = 0; size <= 64; ++size) {
    // A byte that stays zero 20 times over was not written.
    Bytes seen(size, 0);
    for (int round = 0; round < 20; ++round) {
      Bytes bytes(size + 8, 0);
      ASSERT_TRUE(buffer.Take(std::span(bytes).first(size)));
      EXPECT_TRUE(test::AllZero(std::span(bytes).subspan(size)));
      for (std::size_t i = 0; i < size; ++i) {
        seen[i] = static_cast<std::uint8_t>(seen[i] | bytes[i]);
      }
    }
    EXPECT_EQ(std::ranges::count(seen, 0), 0) << size;
  }
}

TEST(RandomBuffer, GivesItsWholeSizeAndNoMore) {
  RandomBuffer buffer;
  Bytes bytes(RandomBuffer::kSize);
  EXPECT_TRUE(buffer.Take(bytes));
  EXPECT_FALSE(test::AllZero(bytes));
  Bytes too_many(RandomBuffer::kSize + 1, 0xee);
  EXPECT_FALSE(buffer.Take(too_many));
  EXPECT_EQ(too_many, Bytes(RandomBuffer::kSize + 1, 0xee));
}

TEST(RandomBuffer, WipesWhatItHandsOut) {
  test::Memory<RandomBuffer> memory(0xee);
  for (int i = 0; i < 1000; ++i) {
    Bytes taken(16);
    ASSERT_TRUE(memory.object()->Take(taken));
    ASSERT_FALSE(test::Contains(memory.Read(), taken)) << i;
  }
}

TEST(RandomBuffer, TouchesNothingWhenThereIsNoRandomness) {
  const test::FailingRandom no_randomness;
  RandomBuffer buffer;
  Bytes bytes(16, 0xee);
  EXPECT_FALSE(buffer.Take(bytes));
  EXPECT_EQ(bytes, Bytes(16, 0xee));
  EXPECT_TRUE(test::ErrorQueueIsEmpty());
}

TEST(RandomBuffer, RecoversWhenThereIsRandomnessAgain) {
  RandomBuffer buffer;
  Bytes most(RandomBuffer::kSize - 8);
  ASSERT_TRUE(buffer.Take(most));
  Iv iv{};
  {
    const test::FailingRandom no_randomness;
    ASSERT_FALSE(buffer.Take(iv));
    // Even the bytes that were left are not handed out now.
    ASSERT_FALSE(buffer.Take(std::span(iv).first(8)));
  }
  EXPECT_TRUE(buffer.Take(iv));
  EXPECT_FALSE(test::AllZero(iv));
}

TEST(RandomBuffer, OfZerosIsEmpty) {
  RandomBuffer buffer;
  Iv iv{};
  ASSERT_TRUE(buffer.Take(iv));
  std::memset(static_cast<void *>(&buffer), 0, sizeof buffer);
  ASSERT_TRUE(buffer.Take(iv));
  EXPECT_FALSE(test::AllZero(iv));
}

TEST(RandomBuffer, InSecretPagesGivesAForkedChildOtherBytes) {
  const SecretPages pages = SecretPages::Map(sizeof(RandomBuffer));
  ASSERT_NE(pages.address, nullptr);
  if (!pages.wiped_on_fork || !test::ForkWipesPages()) {
    GTEST_SKIP() << "this platform does not wipe pages on fork";
  }
  auto *const buffer = new (pages.address) RandomBuffer;
  Iv first;
  ASSERT_TRUE(buffer->Take(first));

  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  constexpr std::size_t kCount = 64;
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    std::array<Iv, kCount> ivs;
    for (Iv &iv : ivs) {
      if (!buffer->Take(iv)) {
        _exit(1);
      }
    }
    _exit(write(ends[1], ivs.data(), sizeof ivs) == sizeof ivs ? 0 : 1);
  }
  std::vector<Iv> ivs(2 * kCount);
  EXPECT_EQ(read(ends[0], ivs.data(), kCount * sizeof(Iv)),
            static_cast<ssize_t>(kCount * sizeof(Iv)));
  int child_status = 0;
  ASSERT_EQ(waitpid(child, &child_status, 0), child);
  EXPECT_EQ(child_status, 0);
  close(ends[0]);
  close(ends[1]);

  for (std::size_t i = kCount; i < 2 * kCount; ++i) {
    ASSERT_TRUE(buffer->Take(ivs[i]));
  }
  EXPECT_FALSE(HasDuplicates(ivs));
}

}  // namespace
}  // namespace fernet
