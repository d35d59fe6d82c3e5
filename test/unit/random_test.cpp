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

TEST(RandomBuffer, FillsAllOfItsBlocks) {
  constexpr std::size_t kBlocks = RandomBuffer::kSize / sizeof(Iv);
  RandomBuffer buffer;
  // A byte that stays zero 20 times over was not drawn.
  std::vector<Iv> seen(kBlocks);
  for (int round = 0; round < 20; ++round) {
    for (Iv &of_place : seen) {
      Iv iv{};
      ASSERT_TRUE(buffer.Take(iv));
      std::ranges::transform(of_place, iv, of_place.begin(), std::bit_or());
    }
  }
  for (const Iv &of_place : seen) {
    EXPECT_EQ(std::ranges::count(of_place, 0), 0);
  }
}

TEST(RandomBuffer, TouchesNothingWhenThereIsNoRandomness) {
  const test::FailingRandom no_randomness;
  RandomBuffer buffer;
  Iv iv;
  iv.fill(0xee);
  EXPECT_FALSE(buffer.Take(iv));
  EXPECT_EQ(std::ranges::count(iv, 0xee), 16);
  EXPECT_TRUE(test::ErrorQueueIsEmpty());
}

TEST(RandomBuffer, RecoversWhenThereIsRandomnessAgain) {
  RandomBuffer buffer;
  Iv iv{};
  for (std::size_t taken = 0; taken < RandomBuffer::kSize; taken += sizeof iv) {
    ASSERT_TRUE(buffer.Take(iv));
  }
  const Iv last = iv;
  {
    // Twice: a failure leaves an empty buffer, not a full one.
    const test::FailingRandom no_randomness;
    ASSERT_FALSE(buffer.Take(iv));
    ASSERT_FALSE(buffer.Take(iv));
  }
  EXPECT_TRUE(buffer.Take(iv));
  EXPECT_NE(iv, last);
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
