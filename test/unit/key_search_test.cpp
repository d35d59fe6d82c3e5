#include "core/key_search.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>

#include "support/reference.hpp"
#include "unit/support.hpp"

namespace fernet {
namespace {

using test::TestKeyText;

bool Holds(std::string_view text) {
  // In a block of just its size, so that the sanitizers see a read beyond.
  const auto exact = std::make_unique<char[]>(text.size());
  std::ranges::copy(text, exact.get());
  return HoldsKey({exact.get(), text.size()});
}

std::string Unpadded(int number) {
  std::string key = TestKeyText(number);
  key.pop_back();
  return key;
}

// Words are what a key may stand between: what is before it and what is after.
struct Between {
  std::string_view before;
  std::string_view after;
};

constexpr Between kWords[] = {
    {"", ""},
    {"'", "'"},
    {"\"", "\""},
    {"fernet.key=", ""},
    {"-c fernet.key=", " -c other=1"},
    {"options=-c%20fernet.key%3D", "&user=app"},
    {"key: ", "\n"},
    {"(", ")"},
    {"$$", "$$"},
    {"SELECT set_config('fernet.key', '", "', false)"},
    {"AAAA,", ",AAAA"},
    {"E'\\n", "\\n'"},
    {"\xc3\xa4", "\xc3\xa4"},
    {std::string_view("webhook\0", 8), std::string_view("\0", 1)},
};

TEST(KeySearch, FindsAKeyThatStandsAsAWord) {
  for (const Between &words : kWords) {
    for (int number = 1; number <= 20; ++number) {
      for (const std::string &key : {TestKeyText(number), Unpadded(number)}) {
        EXPECT_TRUE(
            Holds(std::string(words.before) + key + std::string(words.after)))
            << "test key " << number << " after " << words.before;
      }
    }
  }
}

TEST(KeySearch, FindsAPaddedKeyInPercentEncoding) {
  EXPECT_TRUE(Holds("fernet.key%3D" + Unpadded(1) + "%3D"));
  EXPECT_TRUE(Holds("fernet.key%3d" + Unpadded(1) + "%3d%2c"));
}

TEST(KeySearch, FindsAKeyAfterWhatIsNoEscape) {
  const auto is_hex = [](char c) {
    return ('0' <= c && c <= '9') || ('a' <= c && c <= 'f') ||
           ('A' <= c && c <= 'F');
  };
  int seen = 0;
  for (int number = 1; number <= 100; ++number) {
    const std::string key = TestKeyText(number);
    if (!is_hex(key[0]) && is_hex(key[1])) {
      EXPECT_TRUE(Holds("%" + key)) << "test key " << number;
      ++seen;
    }
  }
  EXPECT_GT(seen, 0);
}

TEST(KeySearch, FindsAKeyAfterAnEscapeWhateverIsBeforeIt) {
  for (const std::string before : {"/%2C", "+\\n", ".\\n", ".%20"}) {
    EXPECT_TRUE(Holds(before + Unpadded(1))) << before;
  }
}

TEST(KeySearch, FindsAKeyAfterWhatIsNone) {
  EXPECT_TRUE(Holds(std::string(43, 'a') + " " + TestKeyText(1)));
  EXPECT_TRUE(Holds(TestKeyText(1) + "=" + ", " + TestKeyText(2)));
  EXPECT_TRUE(Holds("SCRAM-SHA-256$4096:c2FsdA==$" + TestKeyText(1) + ":" +
                    TestKeyText(2) + " " + TestKeyText(3)));
}

TEST(KeySearch, IsNotMisledByWhatHasOnlyTheLength) {
  const std::string key = Unpadded(1);
  for (const std::string &text : {
           std::string(),
           std::string("="),
           std::string("%"),
           std::string("\\"),
           key.substr(1),                 // one short
           key.substr(1) + "=",           //
           key + "A",                     // one long
           key + "==",                    // 31 bytes and a bit
           key + "=A",                    // goes on
           "/" + key,                     // the middle of standard base64
           key + "+" + key,               //
           "e30.e30." + key,              // a JSON web token
           key.substr(0, 42) + "B",       // trailing bits
           std::string(42, 'a') + "A",    // a word
           std::string(43, 'A'),          //
           "schema." + key,               //
           TestKeyText(1).substr(0, 20),  //
           "SCRAM-SHA-256$4096:c2FsdA==$" + TestKeyText(1) + ":" +
               TestKeyText(2),
           std::string("a_name_of_43_characters_that_is_no_key_at_8"),
       }) {
    EXPECT_FALSE(Holds(text)) << text.size() << " characters";
  }
}

TEST(KeySearch, FindsNoKeyInATokenOrALongerText) {
  for (std::size_t size = 0; size <= 100; ++size) {
    EXPECT_FALSE(
        Holds(test::reference::Seal(test::TestKeyBytes(1), 1577836800,
                                    test::kTestIv, test::SomeBytes(size))));
    if (size != 32) {
      EXPECT_FALSE(Holds(test::reference::Encode(test::SomeBytes(size))));
    }
  }
}

}  // namespace
}  // namespace fernet
