#include "core/key.hpp"

#include <gtest/gtest.h>
#include <openssl/err.h>

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "support/reference.hpp"
#include "unit/support.hpp"

namespace fernet {
namespace {

using test::Bytes;
using test::TestKeyBytes;
using test::TestKeyText;

Bytes BytesOf(const Key &key) {
  return {key.bytes().begin(), key.bytes().end()};
}

std::string Without(std::string text, std::size_t count) {
  text.resize(text.size() - count);
  return text;
}

std::string Standard(std::string text) {
  std::ranges::replace(text, '-', '+');
  std::ranges::replace(text, '_', '/');
  return text;
}

std::string EncodeText(std::string_view text) {
  return test::reference::Encode(test::ToBytes(text));
}

// List is test keys `first` to `last`, separated by commas.
std::string List(int first, int last) {
  std::string text = TestKeyText(first);
  for (int number = first + 1; number <= last; ++number) {
    text += "," + TestKeyText(number);
  }
  return text;
}

// FingerprintOf is the fingerprint of 32 `bytes`.
std::string FingerprintOf(const Bytes &bytes) {
  Key key;
  test::LoadKey(bytes, &key);
  FingerprintText text;
  EXPECT_EQ(Fingerprint(key, &text), Status::kOk);
  EXPECT_EQ(text.back(), '\0');
  return text.data();
}

TEST(Key, HalvesSignAndEncrypt) {
  const Bytes bytes = TestKeyBytes(1);
  Key key;
  test::LoadKey(bytes, &key);
  EXPECT_TRUE(
      std::ranges::equal(key.signing_half(), std::span(bytes).first(16)));
  EXPECT_TRUE(
      std::ranges::equal(key.encryption_half(), std::span(bytes).last(16)));
}

TEST(Key, ReadsBothSpellings) {
  for (int number = 1; number <= 100; ++number) {
    const std::string text = TestKeyText(number);
    for (const std::string &spelling : {text, Without(text, 1)}) {
      Key key;
      const Outcome outcome = ParseKey(spelling, &key);
      EXPECT_EQ(outcome.status, Status::kOk) << spelling;
      EXPECT_EQ(BytesOf(key), TestKeyBytes(number)) << spelling;
    }
  }
}

TEST(Key, JudgesEveryByteValueInEveryPlace) {
  for (std::size_t place = 0; place < 43; ++place) {
    for (int value = 0; value < 256; ++value) {
      std::string text = TestKeyText(1);
      const char c = text[place] = static_cast<char>(value);
      Status expected = Status::kOk;
      if (c == '+' || c == '/') {
        expected = Status::kKeyStandardAlphabet;
      } else if (test::DigitValue(c) < 0) {
        expected = Status::kKeyBadCharacter;
      } else if (place == 42 && test::DigitValue(c) % 4 != 0) {
        expected = Status::kKeyTrailingBits;
      }
      Key key;
      const Outcome outcome = ParseKey(text, &key);
      ASSERT_EQ(outcome.status, expected) << value << " in place " << place;
      ASSERT_EQ(outcome.offset, expected == Status::kOk ? 0 : place);
      ASSERT_EQ(test::AllZero(key.bytes()), expected != Status::kOk);
    }
  }
}

TEST(Key, RefusesEveryOtherLength) {
  for (std::size_t size = 0; size <= 200; ++size) {
    if (size == 43 || size == 44) {
      continue;
    }
    Key key;
    test::LoadKey(TestKeyBytes(1), &key);
    const Outcome outcome = ParseKey(std::string(size, 'g'), &key);
    EXPECT_EQ(outcome.status, Status::kKeyBadLength) << size;
    EXPECT_EQ(outcome.offset, size);
    EXPECT_TRUE(test::AllZero(key.bytes())) << size;
  }
}

TEST(Key, JudgesSpellings) {
  const std::string good = TestKeyText(3);
  const std::string hex(64, 'a');
  const std::string all_ones = test::reference::Encode(Bytes(32, 0xff));
  const struct {
    const char *what;
    std::string text;
    Status status;
    std::size_t offset;
  } cases[] = {
      {"canonical", good, Status::kOk, 0},
      {"valid: without padding", Without(good, 1), Status::kOk, 0},
      {"valid: all ones", all_ones, Status::kOk, 0},
      {"standard alphabet", Standard(all_ones), Status::kKeyStandardAlphabet,
       0},
      {"padding for a digit", Without(good, 2) + "==", Status::kKeyBadCharacter,
       42},
      {"white space inside", "  " + good.substr(2), Status::kKeyBadCharacter,
       0},
      {"hex, lower case", hex, Status::kKeyHex, 64},
      {"hex, upper case", std::string(64, 'F'), Status::kKeyHex, 64},
      {"hex, mixed", std::string(32, '0') + std::string(32, 'b'),
       Status::kKeyHex, 64},
      {"almost hex", std::string(63, '0') + "g", Status::kKeyBadLength, 64},
      {"hex, one short", Without(hex, 1), Status::kKeyBadLength, 63},
      {"base64 twice", EncodeText(good), Status::kKeyBase64Twice, 60},
      {"base64 twice, inner without padding", EncodeText(Without(good, 1)),
       Status::kKeyBase64Twice, 60},
      {"base64 twice, outer without padding",
       Without(EncodeText(Without(good, 1)), 2), Status::kKeyBase64Twice, 58},
      {"base64 twice, with echo's newline", EncodeText(good + "\n"),
       Status::kKeyBase64Twice, 60},
      {"base64 twice, 43 characters and echo's newline",
       EncodeText(Without(good, 1) + "\n"), Status::kKeyBase64Twice, 60},
      {"base64 twice, with a newline of Windows", EncodeText(good + "\r\n"),
       Status::kKeyBase64Twice, 64},
      {"base64 of a key and more white space", EncodeText(good + " \r\n"),
       Status::kKeyBadLength, 64},
      {"base64 twice, standard alphabet outside", Standard(EncodeText(good)),
       Status::kKeyBase64Twice, 60},
      {"in double quotes", '"' + good + '"', Status::kKeyQuoted, 46},
      {"in single quotes", '\'' + good + '\'', Status::kKeyQuoted, 46},
      {"in quotes without padding", '"' + Without(good, 1) + '"',
       Status::kKeyQuoted, 45},
      {"a quote before it", '"' + Without(good, 1), Status::kKeyQuoted, 44},
      {"a quote after it", good + "'", Status::kKeyQuoted, 45},
      {"a byte order mark before it", "\xef\xbb\xbf" + good,
       Status::kKeyByteOrderMark, 47},
      {"a byte order mark after it", good + "\xef\xbb\xbf",
       Status::kKeyUnusualSpace, 47},
      {"a no-break space before it", "\xc2\xa0" + good,
       Status::kKeyUnusualSpace, 46},
      {"a no-break space after it", Without(good, 1) + "\xc2\xa0",
       Status::kKeyUnusualSpace, 45},
      {"a zero-width space after it", good + "\xe2\x80\x8b",
       Status::kKeyUnusualSpace, 47},
      {"bytes of Python", "b'" + good + "'", Status::kKeyBytesLiteral, 47},
      {"the first of a list in bytes", "b\"" + good, Status::kKeyBytesLiteral,
       46},
      {"bytes of Python, B", "B'" + good + "'", Status::kKeyBytesLiteral, 47},
      {"bytes of Python without a key", "b'", Status::kKeyBytesLiteral, 2},
      {"nothing but a b", "b", Status::kKeyBadLength, 1},
      {"two capitals, as if it were bytes", "BB" + good, Status::kKeyBadLength,
       46},
      {"a text of Python", "u'" + good, Status::kKeyBadLength, 46},
      {"a control character that is no white space", "\x0e" + good,
       Status::kKeyBadLength, 45},
      {"a name and an equals sign", "FERNET_KEY=" + good,
       Status::kKeyAssignment, 55},
      {"export, a name and quotes", "export KEY='" + Without(good, 1) + "'",
       Status::kKeyAssignment, 56},
      {"a name and a colon", "key: " + good, Status::kKeyAssignment, 49},
      {"a name and something else", "KEY=" + Without(good, 2),
       Status::kKeyBadLength, 46},
      {"nothing but a quote", "'", Status::kKeyQuoted, 1},
      {"a quote inside", good + "'=", Status::kKeyBadLength, 46},
      {"nothing", "", Status::kKeyBadLength, 0},
      {"base64 of a text that is no key",
       EncodeText(std::string(43, '!') + "="), Status::kKeyBadLength, 60},
      {"base64 of 44 digits", EncodeText(std::string(44, 'A')),
       Status::kKeyBadLength, 60},
      {"base64 three times", EncodeText(EncodeText(good)),
       Status::kKeyBadLength, 80},
  };
  for (const auto &[what, text, status, offset] : cases) {
    SCOPED_TRACE(what);
    Key key;
    const Outcome outcome = ParseKey(text, &key);
    EXPECT_EQ(outcome.status, status);
    EXPECT_EQ(outcome.offset, offset);
    EXPECT_EQ(outcome.key_position, 0u);
    EXPECT_EQ(test::AllZero(key.bytes()), status != Status::kOk);
  }
}

TEST(KeyList, HoldsItsKeysInTheirOrder) {
  KeyList list;
  ASSERT_TRUE(list.Parse(List(1, 64)).ok());
  ASSERT_EQ(list.keys().size(), 64u);
  for (int number = 1; number <= 64; ++number) {
    EXPECT_EQ(BytesOf(list.keys()[static_cast<std::size_t>(number) - 1]),
              TestKeyBytes(number));
  }
}

TEST(KeyList, StartsEmpty) { EXPECT_TRUE(KeyList().keys().empty()); }

TEST(KeyList, IgnoresWhiteSpaceAroundEachKey) {
  const std::string a = TestKeyText(1);
  const std::string b = Without(TestKeyText(2), 1);
  for (const std::string &text :
       {a + "," + b, " " + a + " , " + b + " ", a + ",\n" + b + "\n",
        "\r\n\t" + a + "\v\f,\r\n" + b + "\r\n"}) {
    KeyList list;
    EXPECT_EQ(list.Parse(text).status, Status::kOk) << text;
    ASSERT_EQ(list.keys().size(), 2u) << text;
    EXPECT_EQ(BytesOf(list.keys()[0]), TestKeyBytes(1));
    EXPECT_EQ(BytesOf(list.keys()[1]), TestKeyBytes(2));
  }
}

TEST(KeyList, SaysWhichKeyIsWrongAndWhere) {
  const std::string a = TestKeyText(1);
  const std::string b = TestKeyText(2);
  const std::string c = TestKeyText(3);
  std::string plus = b;
  plus[7] = '+';
  std::string space = b;
  space[20] = ' ';
  std::string trailing = b;
  trailing[42] = 'B';
  const struct {
    const char *what;
    std::string text;
    Status status;
    std::uint32_t position;
    std::size_t offset;
  } cases[] = {
      {"nothing", "", Status::kKeyMissing, 1, 0},
      {"white space", " \n", Status::kKeyMissing, 1, 0},
      {"a comma", ",", Status::kKeyMissing, 1, 0},
      {"comma first", "," + a, Status::kKeyMissing, 1, 0},
      {"comma last", a + ",", Status::kKeyMissing, 2, 0},
      {"comma and newline last", a + ",\n", Status::kKeyMissing, 2, 0},
      {"comma twice", a + ",," + b, Status::kKeyMissing, 2, 0},
      {"a word", "hello", Status::kKeyBadLength, 1, 5},
      {"too short", a + "," + b + "," + Without(c, 2), Status::kKeyBadLength, 3,
       42},
      {"too short, white space not counted", a + ", " + Without(c, 2) + "\n",
       Status::kKeyBadLength, 2, 42},
      {"semicolon for comma", a + ";" + b, Status::kKeyBadLength, 1, 89},
      {"space for comma", a + " " + b, Status::kKeyBadLength, 1, 89},
      {"white space inside", a + "," + space, Status::kKeyBadCharacter, 2, 20},
      {"the control characters beside white space, first", a + "," + "\x08" + b,
       Status::kKeyBadLength, 2, 45},
      {"the control characters beside white space, last", a + "," + "\x0e" + b,
       Status::kKeyBadLength, 2, 45},
      {"standard alphabet", a + "," + plus, Status::kKeyStandardAlphabet, 2, 7},
      {"offset counts from the key, not from the white space",
       a + ", \n" + plus, Status::kKeyStandardAlphabet, 2, 7},
      {"trailing bits", a + "," + trailing, Status::kKeyTrailingBits, 2, 42},
      {"hex", std::string(64, '7') + "," + a, Status::kKeyHex, 1, 64},
      {"base64 twice", a + "," + EncodeText(b), Status::kKeyBase64Twice, 2, 60},
      {"duplicate", a + "," + a, Status::kKeyDuplicate, 2, 0},
      {"duplicate, not its neighbor", a + "," + b + "," + c + "," + a,
       Status::kKeyDuplicate, 4, 0},
      {"duplicate without padding", a + "," + Without(a, 1),
       Status::kKeyDuplicate, 2, 0},
      {"duplicate with padding", Without(a, 1) + "," + b + ", " + a,
       Status::kKeyDuplicate, 3, 0},
      {"65 keys", List(1, 65), Status::kTooManyKeys, 65, 0},
      {"65th is empty", List(1, 64) + ",", Status::kKeyMissing, 65, 0},
      {"the mask", "********", Status::kKeyBadLength, 1, 8},
  };
  for (const auto &[what, text, status, position, offset] : cases) {
    SCOPED_TRACE(what);
    KeyList list;
    const Outcome outcome = list.Parse(text);
    EXPECT_EQ(outcome.status, status);
    EXPECT_EQ(outcome.key_position, position);
    EXPECT_EQ(outcome.offset, offset);
    EXPECT_TRUE(list.keys().empty());
  }
}

TEST(KeyList, TellsKeysApartByEveryByte) {
  for (std::size_t i = 0; i < kKeySize; ++i) {
    Bytes changed = TestKeyBytes(1);
    changed[i] ^= 1;
    KeyList list;
    EXPECT_TRUE(
        list.Parse(TestKeyText(1) + "," + test::reference::Encode(changed))
            .ok())
        << i;
  }
}

TEST(KeyList, ParsingReplacesWhatWasThere) {
  KeyList list;
  ASSERT_TRUE(list.Parse(List(1, 5)).ok());
  ASSERT_TRUE(list.Parse(List(4, 5)).ok());
  ASSERT_EQ(list.keys().size(), 2u);
  EXPECT_EQ(BytesOf(list.keys()[0]), TestKeyBytes(4));
}

TEST(KeyList, LeavesNoKeyBehind) {
  const std::string bad_third = List(1, 2) + ",x";
  const std::string duplicate = List(1, 2) + "," + TestKeyText(2);
  for (const std::string &text : {bad_third, duplicate, List(1, 65)}) {
    test::Memory<KeyList> memory(0xee);
    ASSERT_TRUE(memory.object()->Parse(List(10, 20)).ok());
    ASSERT_FALSE(memory.object()->Parse(text).ok());
    EXPECT_TRUE(test::AllZero(memory.Read()));
  }
}

TEST(KeyList, WipesItselfWhenAskedAndWhenDestroyed) {
  test::Memory<KeyList> memory(0xee);
  ASSERT_TRUE(memory.object()->Parse(List(1, 64)).ok());
  memory.object()->Wipe();
  EXPECT_TRUE(memory.object()->keys().empty());
  EXPECT_TRUE(test::AllZero(memory.Read()));

  ASSERT_TRUE(memory.object()->Parse(List(1, 64)).ok());
  ASSERT_TRUE(test::Contains(memory.Read(), TestKeyBytes(64)));
  memory.Destroy();
  for (int number = 1; number <= 64; ++number) {
    EXPECT_FALSE(test::Contains(memory.Read(), TestKeyBytes(number)));
  }
}

TEST(GenerateKey, MakesKeysThatParseAndNeverRepeat) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    std::array<char, kEncodedKeySize> text;
    ASSERT_EQ(GenerateKey(text), Status::kOk);
    EXPECT_EQ(text.back(), '=');
    Key key;
    ASSERT_TRUE(ParseKey(text, &key).ok());
    EXPECT_TRUE(seen.emplace(text.begin(), text.end()).second);
  }
}

TEST(GenerateKey, WipesItsOutputWhenThereIsNoRandomness) {
  const test::FailingRandom no_randomness;
  std::array<char, kEncodedKeySize> text;
  text.fill('?');
  EXPECT_EQ(GenerateKey(text), Status::kRandomFailed);
  EXPECT_EQ(std::string(text.data(), text.size()),
            std::string(kEncodedKeySize, '\0'));
  EXPECT_TRUE(test::ErrorQueueIsEmpty());
}

TEST(Fingerprint, EqualsWhatPythonComputes) {
  // hmac.new(bytes(range(32)), b"pg_fernet key fingerprint v1",
  //          hashlib.sha256).hexdigest()[:16]
  Bytes bytes(kKeySize);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::uint8_t>(i);
  }
  EXPECT_EQ(FingerprintOf(bytes), "b1f00785673a819b");
}

TEST(Fingerprint, LeavesNoErrorOfSomebodyElse) {
  ERR_raise(ERR_LIB_USER, ERR_R_INTERNAL_ERROR);
  FingerprintOf(TestKeyBytes(1));
  EXPECT_TRUE(test::ErrorQueueIsEmpty());
}

TEST(Fingerprint, DependsOnEveryBitOfTheKey) {
  const Bytes bytes = TestKeyBytes(1);
  std::set<std::string> seen = {FingerprintOf(bytes)};
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    Bytes changed = bytes;
    changed[bit / 8] ^= static_cast<std::uint8_t>(1u << (bit % 8));
    EXPECT_TRUE(seen.insert(FingerprintOf(changed)).second) << bit;
  }
}

}  // namespace
}  // namespace fernet
