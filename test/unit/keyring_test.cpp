#include "core/keyring.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <numeric>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "support/reference.hpp"
#include "unit/failing_openssl.hpp"
#include "unit/support.hpp"

namespace fernet {
namespace {

using test::Bytes;
using test::kTestIv;
using test::Opened;
using test::OpenText;
using test::RingOf;
using test::SomeBytes;
using test::TestKeyBytes;

constexpr std::uint64_t kTimestamp = 1'795'478'400;
constexpr std::string_view kCanary = "canary";

// Reference is the token of `plaintext`, encrypted with test key `number`.
std::string Reference(int number, const Bytes &plaintext,
                      std::uint64_t timestamp = kTimestamp) {
  return test::reference::Seal(TestKeyBytes(number), timestamp, kTestIv,
                               plaintext);
}

// SealText seals with an IV of its own, and checks that nothing is written
// beyond the token.
std::string SealText(Keyring *ring, const Bytes &plaintext,
                     std::uint64_t timestamp = kTimestamp) {
  RandomBuffer ivs;
  const std::size_t size = TokenSize(plaintext.size());
  std::string text = std::string(size, '?') + std::string(kCanary);
  EXPECT_EQ(ring->Seal(plaintext, timestamp, &ivs, text), Status::kOk);
  EXPECT_EQ(text.substr(size), kCanary);
  text.resize(size);
  return text;
}

// RotateText rotates a token that `ring` decrypts, and checks that RotatedSize
// is the size of a token of its largest plaintext, and that nothing is written
// beyond it.
std::string RotateText(Keyring *ring, std::string_view text) {
  TokenReader reader;
  EXPECT_TRUE(reader.Load(text).ok());
  std::uint32_t index = 0;
  EXPECT_TRUE(ring->FindKey(&reader, &index).ok());
  RandomBuffer ivs;
  const std::size_t room = Keyring::RotatedSize(reader);
  std::string rotated = std::string(room, '?') + std::string(kCanary);
  std::size_t size = 0;
  EXPECT_EQ(ring->Rotate(&reader, index, &ivs, rotated, &size), Status::kOk);
  EXPECT_LE(size, room);
  EXPECT_EQ(room, TokenSize(reader.ciphertext_size() - 1));
  EXPECT_EQ(rotated.substr(room), kCanary);
  rotated.resize(size);
  return rotated;
}

Bytes IvOf(std::string_view text) {
  TokenReader reader;
  EXPECT_TRUE(reader.Load(text).ok());
  return {reader.iv().begin(), reader.iv().end()};
}

TEST(Keyring, SealsAsTheReferenceDoes) {
  const auto ring = RingOf({1, 2});
  for (const std::size_t size : test::PlaintextSizes()) {
    const Bytes plaintext = SomeBytes(size);
    std::string text = std::string(TokenSize(size), '?') + std::string(kCanary);
    ASSERT_EQ(ring->SealWithIv(plaintext, kTimestamp, kTestIv, text),
              Status::kOk);
    // ASSERT_EQ would print megabytes.
    ASSERT_TRUE(text == Reference(1, plaintext) + std::string(kCanary)) << size;
  }
}

TEST(Keyring, OpensWhatTheReferenceSealed) {
  const auto ring = RingOf({1, 2});
  for (const std::size_t size : test::PlaintextSizes()) {
    const Bytes plaintext = SomeBytes(size);
    const Opened opened = OpenText(ring.get(), Reference(2, plaintext));
    ASSERT_EQ(opened.status, Status::kOk) << size;
    ASSERT_EQ(opened.index, 1u);
    ASSERT_EQ(opened.timestamp, kTimestamp);
    ASSERT_TRUE(opened.plaintext == plaintext) << size;
  }
}

TEST(Keyring, OpensWithAndWithoutPaddingAndWhiteSpace) {
  const auto ring = RingOf({1});
  for (const std::size_t size : {0u, 16u, 32u}) {
    const Bytes plaintext = SomeBytes(size);
    std::string text = Reference(1, plaintext);
    text.erase(text.find_last_not_of('=') + 1);
    EXPECT_EQ(OpenText(ring.get(), text).plaintext, plaintext);
    EXPECT_EQ(OpenText(ring.get(), "\n" + text + " ").plaintext, plaintext);
  }
}

TEST(Keyring, OpensWhatItSealed) {
  const auto ring = RingOf({3});
  std::set<Bytes> ivs;
  for (const std::size_t size : test::PlaintextSizes()) {
    const Bytes plaintext = SomeBytes(size);
    const std::string text = SealText(ring.get(), plaintext);
    const Opened opened = OpenText(ring.get(), text);
    ASSERT_EQ(opened.status, Status::kOk) << size;
    ASSERT_TRUE(opened.plaintext == plaintext) << size;
    ASSERT_TRUE(ivs.insert(IvOf(text)).second) << size;
  }
}

TEST(Keyring, KeepsAnyTimestamp) {
  const auto ring = RingOf({2, 1});
  for (const std::uint64_t timestamp :
       {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 63,
        std::numeric_limits<std::uint64_t>::max()}) {
    const std::string text = SealText(ring.get(), SomeBytes(5), timestamp);
    EXPECT_EQ(OpenText(ring.get(), text).timestamp, timestamp);
    const std::string old = Reference(1, SomeBytes(5), timestamp);
    EXPECT_EQ(OpenText(ring.get(), RotateText(ring.get(), old)).timestamp,
              timestamp);
  }
}

TEST(Keyring, FindsEachOfSixtyFourKeys) {
  std::vector<int> numbers(kMaxKeys);
  std::iota(numbers.begin(), numbers.end(), 1);
  const auto ring = RingOf(std::span<const int>(numbers));
  ASSERT_EQ(ring->size(), kMaxKeys);
  for (std::uint32_t i = 0; i < kMaxKeys; ++i) {
    const Bytes plaintext = SomeBytes(20, i);
    const Opened opened =
        OpenText(ring.get(), Reference(numbers[i], plaintext));
    ASSERT_EQ(opened.status, Status::kOk);
    EXPECT_EQ(opened.index, i);
    EXPECT_EQ(opened.plaintext, plaintext);
  }
  EXPECT_EQ(OpenText(ring.get(), Reference(65, {})).found, Status::kNoKeyOpens);
  EXPECT_TRUE(test::ErrorQueueIsEmpty());
}

TEST(Keyring, NeedsBothHalvesOfAKey) {
  const auto ring = RingOf({1});
  const Bytes right = TestKeyBytes(1);
  const Bytes plaintext = SomeBytes(64);
  // The signing half alone finds the key; the key then decrypts to noise.
  Bytes key = TestKeyBytes(2);
  std::copy_n(right.begin(), 16, key.begin());
  Opened opened = OpenText(
      ring.get(), test::reference::Seal(key, kTimestamp, kTestIv, plaintext));
  EXPECT_EQ(opened.found, Status::kOk);
  EXPECT_NE(opened.plaintext, plaintext);
  // The encryption half alone does not find it.
  key = TestKeyBytes(2);
  std::copy_n(right.begin() + 16, 16, key.begin() + 16);
  opened = OpenText(ring.get(),
                    test::reference::Seal(key, kTimestamp, kTestIv, plaintext));
  EXPECT_EQ(opened.found, Status::kNoKeyOpens);
}

// WithSigningHalfOf is test key `number` with the half of `other` that signs.
Bytes WithSigningHalfOf(const Bytes &other, int number) {
  Bytes key = TestKeyBytes(number);
  std::copy_n(other.begin(), 16, key.begin());
  return key;
}

std::unique_ptr<Keyring> RingOfBytes(const std::vector<Bytes> &bytes) {
  std::vector<Key> keys(bytes.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    test::LoadKey(bytes[i], &keys[i]);
  }
  auto ring = std::make_unique<Keyring>();
  EXPECT_EQ(ring->Prepare(keys), Status::kOk);
  return ring;
}

// Keys that were made of words may share the half that signs: then the padding
// decides.
TEST(Keyring, TellsKeysThatShareTheSigningHalfByThePadding) {
  const Bytes first = TestKeyBytes(1);
  const Bytes second = WithSigningHalfOf(first, 2);
  const auto ring = RingOfBytes({first, second});
  std::uint32_t of_second = 0;
  for (std::uint32_t seed = 0; seed < 20; ++seed) {
    const Bytes plaintext = SomeBytes(40, seed);
    const std::string text =
        test::reference::Seal(second, kTimestamp, kTestIv, plaintext);
    // By chance, the first key may decrypt it to something with a padding.
    if (test::reference::Open(first, test::reference::Decode(text))) {
      continue;
    }
    const Opened opened = OpenText(ring.get(), text);
    ASSERT_TRUE(opened.ok());
    EXPECT_EQ(opened.index, 1u);
    EXPECT_EQ(opened.plaintext, plaintext);
    ++of_second;
    // The first key is tried first all the same.
    EXPECT_EQ(OpenText(ring.get(), Reference(1, plaintext)).index, 0u);
  }
  EXPECT_GT(of_second, 0u);
}

TEST(Keyring, FindsAnyTwoKeysThatShareTheSigningHalf) {
  for (std::size_t second = 1; second < 4; ++second) {
    for (std::size_t first = 0; first < second; ++first) {
      std::vector<Bytes> bytes = {TestKeyBytes(1), TestKeyBytes(2),
                                  TestKeyBytes(3), TestKeyBytes(4)};
      bytes[first] = WithSigningHalfOf(TestKeyBytes(9), 5);
      bytes[second] = WithSigningHalfOf(TestKeyBytes(9), 6);
      const auto ring = RingOfBytes(bytes);
      std::uint32_t found = 0;
      for (std::uint32_t seed = 0; seed < 5; ++seed) {
        const Opened opened = OpenText(
            ring.get(), test::reference::Seal(bytes[second], kTimestamp,
                                              kTestIv, SomeBytes(40, seed)));
        found += opened.ok() && opened.index == second ? 1 : 0;
      }
      // By chance, the first key may decrypt one to something with a padding.
      EXPECT_GE(found, 3u) << first << " and " << second;
    }
  }
}

TEST(Keyring, TakesTheFirstOfTwoKeysWhosePaddingIsRight) {
  const Bytes first = TestKeyBytes(1);
  const Bytes second = WithSigningHalfOf(first, 2);
  const auto ring = RingOfBytes({first, second});
  // One of 256 tokens has a padding under the other key too.
  std::uint32_t ambiguous = 0;
  for (std::uint32_t seed = 0; seed < 5000 && ambiguous < 3; ++seed) {
    const std::string text =
        test::reference::Seal(first, kTimestamp, kTestIv, SomeBytes(40, seed));
    if (test::reference::Open(second, test::reference::Decode(text))) {
      EXPECT_EQ(OpenText(ring.get(), text).index, 0u);
      ++ambiguous;
    }
  }
  EXPECT_EQ(ambiguous, 3u);
}

// WithEachFailure calls `treat` until no call of OpenSSL is left that could
// fail, and `check` after each failure. Returns how many there were.
template <typename Treat, typename Check>
int WithEachFailure(const Treat &treat, const Check &check) {
  using test::FailingOpenSsl;
  int failures = 0;
  for (const auto when :
       {FailingOpenSsl::When::kBefore, FailingOpenSsl::When::kAfter}) {
    bool has_failed = false;
    int number = 0;
    do {
      ++number;
      const auto attempt = [&] {
        const FailingOpenSsl failing(number, when);
        const Status of_attempt = treat();
        has_failed = FailingOpenSsl::HasFailed();
        return of_attempt;
      };
      const Status status = attempt();
      EXPECT_EQ(status, has_failed ? Status::kCryptoFailed : Status::kOk)
          << "call " << number;
      EXPECT_TRUE(test::ErrorQueueIsEmpty());
      failures += has_failed ? 1 : 0;
      // Twice: the second is chained to the first.
      check();
      check();
    } while (has_failed);
  }
  return failures;
}

TEST(Keyring, MakesNoWrongTokenAfterAnyFailureOfOpenSsl) {
  for (const std::size_t size :
       {std::size_t{40}, kChunkSize, 2 * kChunkSize + 100}) {
    const auto ring = RingOf({1, 2});
    const Bytes plaintext = SomeBytes(size);
    const std::string expected = Reference(1, plaintext);
    std::string text(TokenSize(size), '?');
    const auto seal = [&] {
      return ring->SealWithIv(plaintext, kTimestamp, kTestIv, text);
    };
    const int failures = WithEachFailure(seal, [&] {
      ASSERT_EQ(seal(), Status::kOk);
      EXPECT_EQ(text, expected);
    });
    // A MAC alone is two copies, two updates and two ends.
    EXPECT_GE(failures, 2 * 7) << size;
  }
}

TEST(Keyring, OpensNothingWrongAfterAnyFailureOfOpenSsl) {
  for (const std::size_t size :
       {std::size_t{40}, kChunkSize, 2 * kChunkSize + 100}) {
    const auto ring = RingOf({1, 2});
    const Bytes plaintext = SomeBytes(size);
    const std::string text = Reference(2, plaintext);
    Bytes out(CiphertextSize(size));
    std::size_t out_size = 0;
    const auto open = [&] {
      TokenReader reader;
      EXPECT_TRUE(reader.Load(text).ok());
      std::uint32_t index = 0;
      std::ranges::fill(out, 0xee);
      out_size = 0;
      const Status found = ring->FindKey(&reader, &index).status;
      return found == Status::kOk ? ring->Open(&reader, index, out, &out_size)
                                  : found;
    };
    const int failures = WithEachFailure(open, [&] {
      ASSERT_EQ(open(), Status::kOk);
      EXPECT_TRUE(
          std::ranges::equal(std::span(out).first(out_size), plaintext));
    });
    EXPECT_GE(failures, 2 * 7) << size;
  }
}

TEST(Keyring, RotatesNothingWrongAfterAnyFailureOfOpenSsl) {
  for (const std::size_t size :
       {std::size_t{40}, kChunkSize, 2 * kChunkSize + 100}) {
    const auto ring = RingOf({1, 2});
    const Bytes plaintext = SomeBytes(size);
    const std::string text = Reference(2, plaintext);
    std::string rotated;
    RandomBuffer ivs;
    const auto rotate = [&] {
      TokenReader reader;
      EXPECT_TRUE(reader.Load(text).ok());
      std::uint32_t index = 0;
      const Status found = ring->FindKey(&reader, &index).status;
      if (found != Status::kOk) {
        return found;
      }
      rotated.assign(Keyring::RotatedSize(reader), '?');
      std::size_t rotated_size = 0;
      const Status status =
          ring->Rotate(&reader, index, &ivs, rotated, &rotated_size);
      rotated.resize(rotated_size);
      return status;
    };
    const int failures = WithEachFailure(rotate, [&] {
      ASSERT_EQ(rotate(), Status::kOk);
      const Bytes iv = IvOf(rotated);
      EXPECT_EQ(rotated, test::reference::Seal(TestKeyBytes(1), kTimestamp,
                                               std::span(iv).first<kIvSize>(),
                                               plaintext));
    });
    EXPECT_GE(failures, 2 * 14) << size;
  }
}

TEST(Keyring, PreparingReplacesTheKeys) {
  const auto ring = RingOf({1, 2, 3});
  // The ring remembers which key was found last.
  EXPECT_TRUE(OpenText(ring.get(), Reference(3, {})).ok());
  std::vector<Key> keys(1);
  test::LoadKey(TestKeyBytes(4), keys.data());
  ASSERT_EQ(ring->Prepare(keys), Status::kOk);
  EXPECT_EQ(ring->size(), 1u);
  EXPECT_TRUE(OpenText(ring.get(), Reference(4, {})).ok());
  for (const int forgotten : {1, 2, 3}) {
    EXPECT_TRUE(test::OpensNever(ring.get(), Reference(forgotten, {})));
  }
}

TEST(Keyring, HasNoKeyAtFirst) {
  const auto ring = std::make_unique<Keyring>();
  EXPECT_EQ(ring->size(), 0u);
  EXPECT_EQ(OpenText(ring.get(), Reference(1, {})).found, Status::kNoKeyOpens);
}

TEST(Keyring, ClearForgetsEveryKey) {
  const auto ring = RingOf({1, 2});
  ring->Clear();
  EXPECT_EQ(ring->size(), 0u);
  EXPECT_EQ(OpenText(ring.get(), Reference(1, {})).found, Status::kNoKeyOpens);
  // Nothing of the first key is left to encrypt with.
  std::string text(TokenSize(0), '?');
  EXPECT_EQ(ring->SealWithIv({}, kTimestamp, kTestIv, text),
            Status::kCryptoFailed);
  EXPECT_TRUE(test::ErrorQueueIsEmpty());
  ASSERT_EQ(ring->Prepare({}), Status::kOk);
  EXPECT_EQ(ring->size(), 0u);
  EXPECT_EQ(OpenText(ring.get(), Reference(1, {})).found, Status::kNoKeyOpens);
}

TEST(Keyring, SealsNothingWithoutRandomness) {
  const auto ring = RingOf({2, 1});
  const std::string old = Reference(1, SomeBytes(100));
  TokenReader reader;
  ASSERT_TRUE(reader.Load(old).ok());

  const test::FailingRandom no_randomness;
  RandomBuffer ivs;
  std::string text(TokenSize(100), '?');
  EXPECT_EQ(ring->Seal(SomeBytes(100), kTimestamp, &ivs, text),
            Status::kRandomFailed);
  std::size_t size = 99;
  EXPECT_EQ(ring->Rotate(&reader, 1, &ivs, text, &size), Status::kRandomFailed);
  EXPECT_EQ(size, 0u);
  EXPECT_EQ(text, std::string(TokenSize(100), '?'));
  EXPECT_TRUE(test::ErrorQueueIsEmpty());
}

TEST(Keyring, RefusesEveryOneBitChangeOfTheBytes) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{40}}) {
    const auto ring = RingOf({1, 2});
    const Bytes token = test::reference::Decode(Reference(1, SomeBytes(size)));
    for (std::size_t bit = 0; bit < 8 * token.size(); ++bit) {
      Bytes damaged = token;
      damaged[bit / 8] ^= static_cast<std::uint8_t>(1u << (bit % 8));
      const Opened opened =
          OpenText(ring.get(), test::reference::Encode(damaged));
      if (bit < 8) {
        ASSERT_EQ(opened.loaded.status, Status::kTokenBadVersion) << bit;
      } else {
        ASSERT_EQ(opened.loaded.status, Status::kOk) << bit;
        ASSERT_EQ(opened.found, Status::kNoKeyOpens) << bit;
      }
      ASSERT_TRUE(test::ErrorQueueIsEmpty()) << bit;
    }
  }
}

TEST(Keyring, RefusesEveryOneBitChangeOfTheText) {
  const auto ring = RingOf({1, 2});
  for (const std::size_t size : {0u, 16u, 32u}) {
    const std::string text = Reference(1, SomeBytes(size));
    for (std::size_t bit = 0; bit < 8 * text.size(); ++bit) {
      std::string damaged = text;
      damaged[bit / 8] = static_cast<char>(
          static_cast<unsigned char>(damaged[bit / 8]) ^ (1u << (bit % 8)));
      ASSERT_TRUE(test::OpensNever(ring.get(), damaged)) << bit;
    }
  }
}

TEST(Keyring, RefusesOneBitChangesInEveryChunkOfALargeToken) {
  const auto ring = RingOf({1});
  const Bytes token =
      test::reference::Decode(Reference(1, SomeBytes(3 * kChunkSize)));
  for (std::size_t at = 1; at < token.size(); at += 509) {
    Bytes damaged = token;
    damaged[at] ^= 0x10;
    ASSERT_EQ(OpenText(ring.get(), test::reference::Encode(damaged)).found,
              Status::kNoKeyOpens)
        << at;
  }
}

TEST(Keyring, RefusesEveryTruncation) {
  const auto ring = RingOf({1});
  for (const std::size_t size : {0u, 16u, 32u, 200u}) {
    const std::string text = Reference(1, SomeBytes(size));
    const std::size_t digits = text.find_last_not_of('=') + 1;
    for (std::size_t length = 0; length < text.size(); ++length) {
      const std::string truncated = text.substr(0, length);
      if (length == digits) {  // only the '=' are gone
        ASSERT_TRUE(OpenText(ring.get(), truncated).ok());
      } else {
        ASSERT_TRUE(test::OpensNever(ring.get(), truncated)) << length;
      }
    }
  }
}

// Padded is `blocks` blocks of plaintext of which the last ends in `padding`.
Bytes Padded(std::size_t blocks, const Bytes &padding) {
  Bytes bytes = SomeBytes(blocks * kBlockSize);
  std::ranges::copy(padding,
                    bytes.end() - static_cast<std::ptrdiff_t>(padding.size()));
  return bytes;
}

// A padding, and whether RFC 5652, section 6.3, allows it.
struct PaddingCase {
  Bytes padding;
  bool good;
};

// AllPaddings are all values, each repeated the right number of times, and each
// valid padding with each of its bytes changed.
std::vector<PaddingCase> AllPaddings() {
  std::vector<PaddingCase> cases;
  for (std::size_t value = 0; value < 256; ++value) {
    const std::size_t count = std::clamp<std::size_t>(value, 1, kBlockSize);
    const Bytes padding(count, static_cast<std::uint8_t>(value));
    const bool good = value >= 1 && value <= kBlockSize;
    cases.push_back({padding, good});
    for (std::size_t i = 0; good && i + 1 < count; ++i) {
      for (const int change : {1, 2, 0x80}) {
        Bytes changed = padding;
        changed[i] = static_cast<std::uint8_t>(changed[i] ^ change);
        cases.push_back({changed, false});
      }
    }
  }
  return cases;
}

TEST(Keyring, JudgesThePaddingUnderAGenuineHmac) {
  const auto ring = RingOf({2, 1});
  const std::size_t many =
      test::IsShort() ? 3 : 2 * kChunkSize / kBlockSize + 1;
  for (const std::size_t blocks : {std::size_t{1}, std::size_t{2}, many}) {
    for (const PaddingCase &padding_case : AllPaddings()) {
      const auto &[padding, good] = padding_case;
      const Bytes padded = Padded(blocks, padding);
      const std::string text = test::reference::SealPadded(
          TestKeyBytes(1), kTimestamp, kTestIv, padded);
      SCOPED_TRACE(testing::PrintToString(padding));
      const Status expected = good ? Status::kOk : Status::kNoKeyOpens;

      TokenReader reader;
      ASSERT_TRUE(reader.Load(text).ok());
      std::uint32_t index = 99;
      ASSERT_TRUE(ring->FindKey(&reader, &index).ok());
      ASSERT_EQ(index, 1u);
      ASSERT_EQ(ring->CheckPadding(reader, index), expected);

      // More room than needed; all of it is wiped.
      Bytes out(reader.ciphertext_size() + 7, 0xee);
      std::size_t out_size = 99;
      ASSERT_EQ(ring->Open(&reader, index, out, &out_size), expected);
      if (good) {
        const std::size_t size = padded.size() - padding.size();
        ASSERT_EQ(out_size, size);
        ASSERT_TRUE(std::ranges::equal(std::span(out).first(size),
                                       std::span(padded).first(size)));
      } else {
        ASSERT_EQ(out_size, 0u);
        ASSERT_TRUE(test::AllZero(out));
      }

      RandomBuffer ivs;
      std::string rotated(Keyring::RotatedSize(reader), '?');
      out_size = 99;
      ASSERT_EQ(ring->Rotate(&reader, index, &ivs, rotated, &out_size),
                expected);
      if (!good) {
        ASSERT_EQ(out_size, 0u);
        ASSERT_EQ(rotated.find_first_not_of('?'), std::string::npos);
      }
      ASSERT_TRUE(test::ErrorQueueIsEmpty());
    }
  }
}

TEST(Keyring, CheckPaddingAgreesWithOpenForAllSizes) {
  const auto ring = RingOf({1});
  for (const std::size_t size : test::PlaintextSizes()) {
    const std::string text = Reference(1, SomeBytes(size));
    TokenReader reader;
    ASSERT_TRUE(reader.Load(text).ok());
    ASSERT_EQ(ring->CheckPadding(reader, 0), Status::kOk) << size;
  }
}

TEST(Keyring, WritesNothingOfATokenWithAWrongPadding) {
  const auto ring = RingOf({2, 1});
  for (const std::size_t size :
       {std::size_t{64}, kChunkSize, 2 * kChunkSize, 4 * kChunkSize}) {
    const std::string text = test::reference::SealPadded(
        TestKeyBytes(1), kTimestamp, kTestIv, Bytes(size, 17));
    TokenReader reader;
    std::uint32_t index = 0;
    ASSERT_TRUE(reader.Load(text).ok());
    ASSERT_TRUE(ring->FindKey(&reader, &index).ok());
    RandomBuffer ivs;
    std::string out(Keyring::RotatedSize(reader), '?');
    std::size_t out_size = 1;
    EXPECT_EQ(ring->Rotate(&reader, index, &ivs, out, &out_size),
              Status::kNoKeyOpens);
    EXPECT_EQ(out_size, 0u);
    EXPECT_EQ(out, std::string(out.size(), '?'));
  }
}

TEST(Keyring, RotatesTokensOfAllSizes) {
  const auto ring = RingOf({3, 2, 1});
  const auto only_first = RingOf({3});
  for (const std::size_t size : test::PlaintextSizes()) {
    const Bytes plaintext = SomeBytes(size);
    const std::string old = Reference(1, plaintext);
    const std::string rotated = RotateText(ring.get(), old);
    ASSERT_EQ(rotated.size(), TokenSize(size));
    const Opened opened = OpenText(only_first.get(), rotated);
    ASSERT_EQ(opened.status, Status::kOk) << size;
    ASSERT_EQ(opened.timestamp, kTimestamp);
    ASSERT_TRUE(opened.plaintext == plaintext) << size;
    // With the IV that was drawn, the reference makes the same token.
    ASSERT_TRUE(rotated == test::reference::Seal(TestKeyBytes(3), kTimestamp,
                                                 IvOf(rotated), plaintext));
    ASSERT_NE(IvOf(rotated), IvOf(old));
  }
}

TEST(Keyring, RotatesFromEveryKeyIncludingTheFirst) {
  std::vector<int> numbers(kMaxKeys);
  std::iota(numbers.begin(), numbers.end(), 1);
  const auto ring = RingOf(std::span<const int>(numbers));
  const auto only_first = RingOf({1});
  for (const int number : numbers) {
    const Bytes plaintext = SomeBytes(1000, static_cast<std::uint32_t>(number));
    const std::string rotated =
        RotateText(ring.get(), Reference(number, plaintext));
    EXPECT_EQ(OpenText(only_first.get(), rotated).plaintext, plaintext)
        << number;
  }
}

// OneTurn is a GoOn that returns true once.
int turns_left = 0;
bool OneTurn() noexcept { return turns_left-- > 0; }

TEST(Keyring, StopsInTheMiddleOfALargeTokenAndWorksAfterwards) {
  const auto ring = RingOf({2, 1});
  const Bytes plaintext = SomeBytes(4 * kChunkSize);
  const std::string old = Reference(1, plaintext);

  RandomBuffer ivs;
  std::string sealed(TokenSize(plaintext.size()), '?');
  turns_left = 1;
  EXPECT_EQ(ring->Seal(plaintext, kTimestamp, &ivs, sealed, OneTurn),
            Status::kStopped);

  TokenReader reader(OneTurn);
  std::uint32_t index = 0;
  turns_left = 1;
  EXPECT_EQ(reader.Load(old).status, Status::kStopped);
  turns_left = 1;
  ASSERT_TRUE(reader.LoadToRead(old).ok());
  EXPECT_EQ(ring->FindKey(&reader, &index).status, Status::kStopped);
  turns_left = 1000;
  ASSERT_TRUE(ring->FindKey(&reader, &index).ok());

  Bytes out(reader.ciphertext_size(), 0xee);
  std::size_t size = 99;
  turns_left = 1;
  EXPECT_EQ(ring->Open(&reader, index, out, &size), Status::kStopped);
  EXPECT_EQ(size, 0u);
  EXPECT_TRUE(test::AllZero(out));

  std::string rotated(Keyring::RotatedSize(reader), '?');
  turns_left = 1;
  EXPECT_EQ(ring->Rotate(&reader, index, &ivs, rotated, &size),
            Status::kStopped);
  EXPECT_EQ(size, 0u);

  // No state of it is left in the contexts.
  EXPECT_EQ(OpenText(ring.get(), old).plaintext, plaintext);
  EXPECT_EQ(OpenText(ring.get(), RotateText(ring.get(), old)).plaintext,
            plaintext);
  EXPECT_EQ(OpenText(ring.get(), SealText(ring.get(), plaintext)).plaintext,
            plaintext);
}

TEST(Keyring, RotationDrawsANewIvEachTime) {
  const auto ring = RingOf({2, 1});
  const std::string old = Reference(1, SomeBytes(10));
  EXPECT_NE(RotateText(ring.get(), old), RotateText(ring.get(), old));
}

}  // namespace
}  // namespace fernet
