#include "core/token.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "support/reference.hpp"
#include "unit/support.hpp"

namespace fernet {
namespace {

using test::Bytes;
using test::SomeBytes;
using test::TestKeyBytes;

constexpr std::uint64_t kTimestamp = 1'795'478'400;

std::string Seal(std::size_t plaintext_size) {
  return test::reference::Seal(TestKeyBytes(1), kTimestamp, test::kTestIv,
                               SomeBytes(plaintext_size));
}

// Raw is a text of `size` bytes that start like a token.
std::string Raw(std::size_t size) {
  Bytes bytes = SomeBytes(size);
  if (size > 0) {
    bytes[0] = kVersion;
  }
  return test::reference::Encode(bytes);
}

std::string WithoutEquals(std::string text) {
  text.erase(text.find_last_not_of('=') + 1);
  return text;
}

Outcome Load(std::string_view text) {
  TokenReader reader;
  return reader.Load(text);
}

// Judge is what Load must return for `text` if only its length and its end may
// be wrong. It is written from the contract, not from the code.
Outcome Judge(std::string_view text) {
  const std::size_t digits = WithoutEquals(std::string(text)).size();
  const std::size_t bytes = digits * 6 / 8;
  const std::size_t spare_bits = digits * 6 % 8;
  if (spare_bits == 6) {
    return {Status::kTokenBadLength};
  }
  if (text.size() > digits && text.size() % 4 != 0) {
    return {.status = Status::kTokenBadPadding, .offset = digits};
  }
  if (digits > 0 &&
      test::DigitValue(text[digits - 1]) % (1 << spare_bits) != 0) {
    return {.status = Status::kTokenTrailingBits, .offset = digits - 1};
  }
  if (bytes < 73) {
    return {Status::kTokenTooShort};
  }
  if ((bytes - 57) % 16 != 0) {
    return {Status::kTokenPartialBlock};
  }
  return {};
}

void ExpectSame(const Outcome &actual, const Outcome &expected) {
  EXPECT_EQ(actual.status, expected.status);
  EXPECT_EQ(actual.offset, expected.offset);
  EXPECT_EQ(actual.key_position, expected.key_position);
}

TEST(TokenSizes, AreThoseOfTheReference) {
  for (std::size_t size = 0; size <= 200; ++size) {
    EXPECT_EQ(TokenSize(size), Seal(size).size()) << size;
  }
}

TEST(TokenSizes, MaxPlaintextSizeIsTheLargestThatFits) {
  for (std::size_t size = TokenSize(0); size <= 20'000; ++size) {
    const std::size_t largest = MaxPlaintextSize(size);
    ASSERT_LE(TokenSize(largest), size);
    ASSERT_GT(TokenSize(largest + 1), size);
  }
}

TEST(TokenReader, HandsOutThePartsOfTokensOfAllSizes) {
  for (const std::size_t size : test::PlaintextSizes()) {
    SCOPED_TRACE(size);
    const std::string text = Seal(size);
    const Bytes token = test::reference::Decode(text);
    const auto bytes = std::span(token);
    const auto signed_part = bytes.first(token.size() - 32);

    TokenReader reader;
    ASSERT_TRUE(reader.Load(text).ok());
    ASSERT_EQ(reader.timestamp(), kTimestamp);
    ASSERT_TRUE(std::ranges::equal(reader.iv(), test::kTestIv));
    ASSERT_TRUE(std::ranges::equal(reader.hmac(), bytes.last(32)));
    ASSERT_EQ(reader.ciphertext_size(), signed_part.size() - 25);
    TokenReader::Block previous;
    TokenReader::Block last;
    reader.LastBlock(&previous, &last);
    ASSERT_TRUE(std::ranges::equal(previous, signed_part.last(32).first(16)));
    ASSERT_TRUE(std::ranges::equal(last, signed_part.last(16)));

    Bytes signed_chunks;
    Bytes ciphertext_chunks;
    for (std::size_t i = 0; i < reader.chunk_count(); ++i) {
      std::span<const std::uint8_t> chunk;
      ASSERT_TRUE(reader.ReadSigned(i, &chunk).ok());
      ASSERT_LE(chunk.size(), kChunkSize + 25);
      ASSERT_FALSE(chunk.empty());
      signed_chunks.insert(signed_chunks.end(), chunk.begin(), chunk.end());
      ASSERT_TRUE(reader.ReadCiphertext(i, &chunk).ok());
      ASSERT_EQ(chunk.size() % 16, 0u);
      ciphertext_chunks.insert(ciphertext_chunks.end(), chunk.begin(),
                               chunk.end());
    }
    ASSERT_TRUE(std::ranges::equal(signed_chunks, signed_part));
    ASSERT_TRUE(std::ranges::equal(ciphertext_chunks, signed_part.subspan(25)));
  }
}

TEST(TokenReader, ReadsALargeTokenOnceMore) {
  const std::string text = Seal(3 * kChunkSize);
  const Bytes token = test::reference::Decode(text);
  const auto ciphertext =
      std::span(token).subspan(25, token.size() - 25 - kHmacSize);
  TokenReader reader;
  ASSERT_TRUE(reader.Load(text).ok());
  ASSERT_EQ(reader.chunk_count(), 5u);
  for (int turn = 0; turn < 2; ++turn) {
    for (std::size_t index = 1; index < reader.chunk_count(); ++index) {
      const std::size_t from = (index - 1) * kChunkSize;
      const std::size_t size = std::min(kChunkSize, ciphertext.size() - from);
      std::span<const std::uint8_t> chunk;
      ASSERT_TRUE(reader.ReadCiphertext(index, &chunk).ok());
      ASSERT_TRUE(std::ranges::equal(chunk, ciphertext.subspan(from, size)))
          << index;
      TokenReader::Block previous;
      TokenReader::Block last;
      reader.LastBlock(&previous, &last);
      ASSERT_TRUE(std::ranges::equal(last, ciphertext.last(16))) << index;
      ASSERT_TRUE(std::ranges::equal(previous, ciphertext.last(32).first(16)));
    }
  }
}

TEST(TokenReader, KeepsALargeCiphertextWhereItIsTold) {
  std::string text = Seal(2 * kChunkSize + 100);
  const Bytes token = test::reference::Decode(text);
  const Bytes ciphertext(token.begin() + 25, token.end() - kHmacSize);
  TokenReader reader;
  ASSERT_TRUE(reader.LoadToRead(text).ok());
  Bytes memory(reader.ciphertext_size() + 1, 0xee);
  reader.KeepCiphertextIn(memory);
  for (int turn = 0; turn < 2; ++turn) {
    std::size_t from = 0;
    for (std::size_t i = 0; i < reader.chunk_count(); ++i) {
      std::span<const std::uint8_t> chunk;
      ASSERT_TRUE(reader.ReadCiphertext(i, &chunk).ok());
      ASSERT_TRUE(chunk.empty() || chunk.data() == memory.data() + from);
      from += chunk.size();
    }
    ASSERT_EQ(from, ciphertext.size());
    // The second turn reads the bytes that are kept.
    text.assign(text.size(), '!');
  }
  EXPECT_EQ(memory.back(), 0xee);
  memory.pop_back();
  EXPECT_EQ(memory, ciphertext);
}

TEST(TokenReader, ForgetsWhereItHasKeptTheTokenBefore) {
  const std::string before = Seal(2 * kChunkSize);
  const Bytes other = SomeBytes(2 * kChunkSize, 2);
  const std::string text =
      test::reference::Seal(TestKeyBytes(1), kTimestamp, test::kTestIv, other);
  const Bytes token = test::reference::Decode(text);
  TokenReader reader;
  ASSERT_TRUE(reader.Load(before).ok());
  Bytes memory(reader.ciphertext_size());
  reader.KeepCiphertextIn(memory);
  std::span<const std::uint8_t> chunk;
  for (std::size_t i = 0; i < reader.chunk_count(); ++i) {
    ASSERT_TRUE(reader.ReadSigned(i, &chunk).ok());
  }
  const Bytes kept = memory;
  ASSERT_TRUE(reader.Load(text).ok());
  ASSERT_TRUE(reader.ReadCiphertext(1, &chunk).ok());
  EXPECT_TRUE(std::ranges::equal(
      chunk, std::span(token).subspan(kHeaderSize, kChunkSize)));
  EXPECT_EQ(memory, kept);
}

TEST(TokenReader, LoadToReadFindsABadCharacterSoonerOrLater) {
  const std::string good = Seal(2 * kChunkSize);
  for (std::size_t place = 0; place < good.size(); place += 7) {
    std::string text = good;
    text[place] = '/';
    TokenReader reader;
    Outcome outcome = reader.LoadToRead(text);
    for (std::size_t i = 0; outcome.ok() && i < reader.chunk_count(); ++i) {
      std::span<const std::uint8_t> chunk;
      outcome = reader.ReadSigned(i, &chunk);
    }
    ASSERT_EQ(outcome.status, Status::kTokenBadCharacter) << place;
    ASSERT_EQ(outcome.offset, place);
    // The bad character is reported before any other defect.
    text += 'A';
    ExpectSame(reader.LoadToRead(text),
               {.status = Status::kTokenBadCharacter, .offset = place});
  }
}

// StopAfter is a GoOn that returns false after some calls.
int turns_left = 0;
bool StopAfter() noexcept { return turns_left-- > 0; }

TEST(TokenReader, StopsBetweenTheChunksOfALargeToken) {
  const std::string large = Seal(3 * kChunkSize);
  const std::string small = Seal(kChunkSize - 1);
  const auto read_all = [](std::string_view text) {
    TokenReader reader(StopAfter);
    Outcome outcome = reader.Load(text);
    for (std::size_t i = 0; outcome.ok() && i < reader.chunk_count(); ++i) {
      std::span<const std::uint8_t> chunk;
      outcome = reader.ReadSigned(i, &chunk);
    }
    return outcome.status;
  };
  for (int turns = 0; turns < 7; ++turns) {
    turns_left = turns;
    EXPECT_EQ(read_all(large), Status::kStopped) << turns;
  }
  turns_left = 7;
  EXPECT_EQ(read_all(large), Status::kOk);
  EXPECT_EQ(turns_left, 0);
  EXPECT_EQ(read_all(small), Status::kOk);
}

TEST(TokenReader, CanLoadAnotherToken) {
  TokenReader reader;
  for (const std::size_t size :
       {std::size_t{100}, 2 * kChunkSize, std::size_t{0}, kChunkSize}) {
    const std::string text = Seal(size);
    ASSERT_TRUE(reader.Load(text).ok());
    const Bytes token = test::reference::Decode(text);
    EXPECT_TRUE(std::ranges::equal(reader.hmac(), std::span(token).last(32)));
    EXPECT_FALSE(Load("AAAA").ok());
    ASSERT_FALSE(reader.Load("AAAA").ok());
  }
}

TEST(TokenReader, ReadsAnyTimestamp) {
  for (const std::uint64_t timestamp :
       {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{0x0123456789abcdef},
        std::uint64_t{1} << 63, std::numeric_limits<std::uint64_t>::max()}) {
    TokenReader reader;
    ASSERT_TRUE(reader
                    .Load(test::reference::Seal(TestKeyBytes(1), timestamp,
                                                test::kTestIv, {}))
                    .ok());
    EXPECT_EQ(reader.timestamp(), timestamp);
  }
}

TEST(TokenReader, AcceptsBothSpellingsWithWhiteSpaceAround) {
  for (const std::size_t size : {0u, 16u, 32u}) {  // with "==", "=" and none
    const std::string text = Seal(size);
    for (const std::string &spelling : {text, WithoutEquals(text)}) {
      EXPECT_TRUE(Load(spelling).ok()) << spelling;
      EXPECT_TRUE(Load(" \t\r\n\v\f" + spelling).ok()) << spelling;
      EXPECT_TRUE(Load(spelling + " \t\r\n\v\f").ok()) << spelling;
      EXPECT_TRUE(Load("\n" + spelling + "\r\n").ok()) << spelling;
    }
  }
}

TEST(TokenReader, RefusesWhatIsNoToken) {
  const std::string two = Seal(0);    // ends in "=="
  const std::string one = Seal(16);   // ends in "="
  const std::string none = Seal(32);  // ends in a digit
  ASSERT_TRUE(two.ends_with("==") && !none.ends_with("="));
  const std::size_t digits = two.size() - 2;
  std::string trailing = two;
  trailing[digits - 1] = '_';
  std::string version = none;
  version[0] = 'A';
  const struct {
    const char *what;
    std::string text;
    Status status;
    std::size_t offset;
  } cases[] = {
      {"nothing", "", Status::kTokenTooShort, 0},
      {"white space", " \n ", Status::kTokenTooShort, 0},
      {"version alone", "gA==", Status::kTokenTooShort, 0},
      {"one digit", "g", Status::kTokenBadLength, 0},
      {"one digit outside the alphabet", "!", Status::kTokenBadCharacter, 0},
      {"words", "hello world", Status::kTokenBadCharacter, 5},
      {"padding alone", "=", Status::kTokenBadPadding, 0},
      {"only padding", "====", Status::kTokenBadCharacter, 0},
      {"another version", version, Status::kTokenBadVersion, 0},
      {"another version, too short", "AAAA", Status::kTokenBadVersion, 0},
      {"one '=' for two", two.substr(0, digits + 1), Status::kTokenBadPadding,
       digits},
      {"three '=' for two", two + "=", Status::kTokenBadCharacter, digits},
      {"two '=' for one", one + "=", Status::kTokenBadPadding, one.size() - 1},
      {"an '=' for none", none + "=", Status::kTokenBadPadding, none.size()},
      {"two '=' for none", none + "==", Status::kTokenBadPadding, none.size()},
      {"four '=' for none", none + "====", Status::kTokenBadCharacter,
       none.size()},
      {"'=' inside", one + one, Status::kTokenBadCharacter, one.size() - 1},
      {"white space before '='",
       WithoutEquals(two) + " ==", Status::kTokenBadCharacter, digits},
      {"offset counts white space before", " \n" + two.substr(0, digits + 1),
       Status::kTokenBadPadding, 2 + digits},
      {"trailing bits", trailing, Status::kTokenTrailingBits, digits - 1},
      {"trailing bits without '='", WithoutEquals(trailing),
       Status::kTokenTrailingBits, digits - 1},
      {"trailing bits after white space", "\t" + trailing,
       Status::kTokenTrailingBits, digits},
      {"a line end inside", none.substr(0, 64) + "\n" + none.substr(64),
       Status::kTokenBadCharacter, 64},
      {"a NUL at the end", none + std::string(1, '\0'),
       Status::kTokenBadCharacter, none.size()},
      {"a no-break space before", "\xc2\xa0" + none, Status::kTokenBadCharacter,
       0},
      {"a byte order mark before", "\xef\xbb\xbf" + none,
       Status::kTokenBadCharacter, 0},
      {"no ciphertext", Raw(57), Status::kTokenTooShort, 0},
      {"a byte short of a block", Raw(72), Status::kTokenTooShort, 0},
      {"a byte more than a block", Raw(74), Status::kTokenPartialBlock, 0},
      {"a byte short of two blocks", Raw(88), Status::kTokenPartialBlock, 0},
  };
  for (const auto &[what, text, status, offset] : cases) {
    SCOPED_TRACE(what);
    ExpectSame(Load(text), {.status = status, .offset = offset});
    EXPECT_TRUE(IsMalformedToken(status));
  }
}

TEST(TokenReader, JudgesEveryByteValueInEveryPlace) {
  const std::string good = Seal(32);
  ASSERT_FALSE(good.ends_with("="));
  // The first digits hold the version, the ends may be white space or '='.
  for (std::size_t place = 2; place + 1 < good.size(); ++place) {
    for (int value = 0; value < 256; ++value) {
      std::string text = good;
      text[place] = static_cast<char>(value);
      const Outcome outcome = Load(text);
      const bool digit = test::DigitValue(text[place]) >= 0;
      ASSERT_EQ(outcome.status,
                digit ? Status::kOk : Status::kTokenBadCharacter)
          << value << " in place " << place;
      ASSERT_EQ(outcome.offset, digit ? 0 : place);
    }
  }
}

TEST(TokenReader, JudgesEveryByteValueAtTheEnds) {
  constexpr std::string_view kSpaces = " \t\n\v\f\r";
  const std::string good = Seal(32);
  for (int value = 0; value < 256; ++value) {
    SCOPED_TRACE(value);
    const char c = static_cast<char>(value);
    const bool space = kSpaces.find(c) != std::string_view::npos;
    const bool digit = test::DigitValue(c) >= 0;
    ExpectSame(
        Load(c + good),
        space   ? Outcome{}
        : digit ? Outcome{Status::kTokenBadLength}
                : Outcome{.status = Status::kTokenBadCharacter, .offset = 0});
    ExpectSame(Load(good + c),
               space      ? Outcome{}
               : digit    ? Outcome{Status::kTokenBadLength}
               : c == '=' ? Outcome{.status = Status::kTokenBadPadding,
                                    .offset = good.size()}
                          : Outcome{.status = Status::kTokenBadCharacter,
                                    .offset = good.size()});
  }
}

TEST(TokenReader, FindsABadCharacterInAnyChunk) {
  const std::string good = Seal(3 * kChunkSize);
  const std::size_t chunk = kChunkSize / 3 * 4;
  std::vector<std::size_t> places = {good.size() - 5, good.size() - 4};
  for (std::size_t end = chunk; end <= 3 * chunk; end += chunk) {
    for (std::size_t place = end - 5; place <= end + 5; ++place) {
      places.push_back(place);
    }
  }
  for (const std::size_t place : places) {
    std::string text = good;
    text[place] = '/';
    ExpectSame(Load(text),
               {.status = Status::kTokenBadCharacter, .offset = place});
    ExpectSame(Load("  " + text),
               {.status = Status::kTokenBadCharacter, .offset = place + 2});
    // Of several bad characters, the first is reported.
    text.back() = '+';
    ExpectSame(Load(text),
               {.status = Status::kTokenBadCharacter, .offset = place});
  }
}

TEST(TokenReader, JudgesEveryTruncation) {
  for (const std::size_t size : {0u, 16u, 32u, 100u}) {
    const std::string text = Seal(size);
    for (std::size_t length = 0; length <= text.size(); ++length) {
      SCOPED_TRACE(length);
      ExpectSame(Load(text.substr(0, length)), Judge(text.substr(0, length)));
    }
  }
}

TEST(TokenReader, JudgesEveryTruncationAroundTheEndOfAChunk) {
  const std::size_t chunk = kChunkSize / 3 * 4;
  const std::string text = Seal(2 * kChunkSize);
  for (std::size_t end = chunk; end <= 2 * chunk; end += chunk) {
    for (std::size_t length = end - 200; length <= end + 200; ++length) {
      const std::string truncated = text.substr(0, length);
      const Outcome expected = Judge(truncated);
      const Outcome actual = Load(truncated);
      ASSERT_EQ(actual.status, expected.status) << length;
      ASSERT_EQ(actual.offset, expected.offset) << length;
    }
  }
}

TEST(TokenReader, JudgesEverySizeInBytes) {
  for (std::size_t size = 0; size <= 300; ++size) {
    SCOPED_TRACE(size);
    const std::string text = Raw(size);
    ExpectSame(Load(text), Judge(text));
    ExpectSame(Load(WithoutEquals(text)), Judge(WithoutEquals(text)));
  }
}

TEST(Status, SaysWhichOnesMeanNoToken) {
  for (int value = 0; value <= static_cast<int>(Status::kStopped); ++value) {
    const auto status = static_cast<Status>(value);
    const bool expected = status == Status::kTokenBadCharacter ||
                          status == Status::kTokenBadPadding ||
                          status == Status::kTokenBadLength ||
                          status == Status::kTokenTrailingBits ||
                          status == Status::kTokenBadVersion ||
                          status == Status::kTokenTooShort ||
                          status == Status::kTokenPartialBlock;
    EXPECT_EQ(IsMalformedToken(status), expected) << value;
  }
}

__extension__ using Wide = __int128;

// The rule of the contract in numbers that cannot overflow.
Status JudgeAgeWide(std::uint64_t timestamp, std::uint64_t ttl_seconds,
                    std::int64_t now) {
  if (Wide{timestamp} + Wide{ttl_seconds} < Wide{now}) {
    return Status::kTokenExpired;
  }
  if (Wide{now} + 60 < Wide{timestamp}) {
    return Status::kTokenFromFuture;
  }
  return Status::kOk;
}

// Around is every number up to `distance` away from each of `centers`, modulo
// 2^64.
std::vector<std::uint64_t> Around(std::initializer_list<std::uint64_t> centers,
                                  std::uint64_t distance) {
  std::vector<std::uint64_t> numbers;
  for (const std::uint64_t center : centers) {
    for (std::uint64_t i = 0; i <= 2 * distance; ++i) {
      numbers.push_back(center - distance + i);
    }
  }
  return numbers;
}

TEST(JudgeAge, AgreesWithWiderArithmeticOnAGrid) {
  constexpr std::uint64_t kTop = std::uint64_t{1} << 63;
  const auto timestamps =
      Around({0, 1000, kTimestamp, kTop, 3 * (kTop / 2)}, 65);
  const auto ttls = Around({0, 60, kTimestamp, kTop}, 5);
  const auto nows = Around({0, 1000, kTimestamp, kTop, kTop / 2}, 65);
  for (const std::uint64_t timestamp : timestamps) {
    for (const std::uint64_t ttl_seconds : ttls) {
      for (const std::uint64_t bits : nows) {
        const auto now = static_cast<std::int64_t>(bits);
        ASSERT_EQ(JudgeAge(timestamp, ttl_seconds, now),
                  JudgeAgeWide(timestamp, ttl_seconds, now))
            << timestamp << " " << ttl_seconds << " " << now;
      }
    }
  }
}

TEST(JudgeAge, KnowsItsLimits) {
  constexpr std::uint64_t kMaxU = std::numeric_limits<std::uint64_t>::max();
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
  constexpr struct {
    std::uint64_t timestamp;
    std::uint64_t ttl_seconds;
    std::int64_t now;
    Status expected;
  } kCases[] = {
      {1000, 60, 1000, Status::kOk},
      {1000, 60, 1060, Status::kOk},
      {1000, 60, 1061, Status::kTokenExpired},
      {1000, 60, 940, Status::kOk},
      {1000, 60, 939, Status::kTokenFromFuture},
      {1000, 0, 1000, Status::kOk},
      {1000, 0, 1001, Status::kTokenExpired},
      {1000, kMaxU, kMax, Status::kOk},
      {0, 0, kMax, Status::kTokenExpired},
      {0, 0, 0, Status::kOk},
      {0, 0, -60, Status::kOk},
      {0, 0, -61, Status::kTokenFromFuture},
      {0, kMaxU, kMin, Status::kTokenFromFuture},
      {60, 0, 0, Status::kOk},
      {61, 0, 0, Status::kTokenFromFuture},
      {kMaxU, 0, -1, Status::kTokenFromFuture},
      {kMaxU, kMaxU, kMin, Status::kTokenFromFuture},
      {kMaxU, kMaxU, kMax, Status::kTokenFromFuture},
      {std::uint64_t{kMax} + 60, 0, kMax, Status::kOk},
      {std::uint64_t{kMax} + 61, 0, kMax, Status::kTokenFromFuture},
  };
  for (const auto &[timestamp, ttl_seconds, now, expected] : kCases) {
    EXPECT_EQ(JudgeAge(timestamp, ttl_seconds, now), expected)
        << timestamp << " " << ttl_seconds << " " << now;
  }
}

}  // namespace
}  // namespace fernet
