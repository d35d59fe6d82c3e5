#include "core/diagnosis.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/ascii.hpp"
#include "core/token.hpp"
#include "support/reference.hpp"
#include "unit/support.hpp"

namespace fernet {

void PrintTo(LikelyCause cause, std::ostream *out) {
  *out << "cause " << static_cast<int>(cause);
}

namespace {

using namespace std::string_literals;

constexpr std::string_view kTokenStart = "gAAAAA";

// A token of 2020-01-01, encrypted with test key 1.
std::string Token() {
  return test::reference::Seal(test::TestKeyBytes(1), 1577836800, test::kTestIv,
                               test::SomeBytes(16));
}

LikelyCause Diagnose(std::string_view value) {
  // Copied to a block of exactly its size, so that the sanitizers see a read
  // beyond it.
  const auto exact = std::make_unique<char[]>(value.size());
  std::ranges::copy(value, exact.get());
  return DiagnoseNonToken({exact.get(), value.size()});
}

std::string Encoded(std::string_view text) {
  return test::reference::Encode(test::ToBytes(text));
}

std::string Hex(std::string_view text) {
  std::string digits;
  for (const char c : text) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    digits += kDigits[static_cast<unsigned char>(c) >> 4];
    digits += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return digits;
}

// With is `text` with `part` in place of the characters from `at` on.
std::string With(std::string text, std::size_t at, std::string_view part) {
  return text.replace(at, part.size(), part);
}

std::string Inserted(std::string text, std::size_t at, std::string_view part) {
  return text.insert(at, part);
}

struct Case {
  const char *what;
  std::string value;
  LikelyCause cause;
};

void Check(const std::vector<Case> &cases) {
  for (const Case &c : cases) {
    EXPECT_EQ(Diagnose(c.value), c.cause) << c.what;
    // White space around a value never matters.
    EXPECT_EQ(Diagnose(" \t" + c.value + "\r\n"), c.cause)
        << c.what << ", with white space around it";
  }
}

TEST(Diagnosis, NamesEachCause) {
  const std::string token = Token();
  Check({
      {"empty", "", LikelyCause::kEmpty},
      {"white space", " \t\n\v\f\r", LikelyCause::kEmpty},
      {"a word", "hunter2", LikelyCause::kPlaintext},
      {"a JSON object", R"({"password": "x"})", LikelyCause::kPlaintext},
      {"a JWT", "eyJhbGciOiJIUzI1NiJ9.e30.AAAA", LikelyCause::kPlaintext},
      {"a byte that is no text", "\xff\xfe", LikelyCause::kPlaintext},
      {"a NUL", "\0"s, LikelyCause::kPlaintext},
      {"cut in the middle", token.substr(0, 61), LikelyCause::kTruncated},
      {"cut to varchar(100)", token.substr(0, 100), LikelyCause::kTruncated},
      {"twice after each other, without padding",
       token.substr(0, token.size() - 1) + token, LikelyCause::kTruncated},
      {"another character", With(token, 40, "*"), LikelyCause::kDamaged},
      {"a NUL inside", With(token, 40, "\0"s), LikelyCause::kDamaged},
      {"= inside", With(token, 40, "="), LikelyCause::kDamaged},
      {"two after each other", token + token, LikelyCause::kDamaged},
      {"lines of 76", Inserted(token, 76, "\n"),
       LikelyCause::kWhiteSpaceInside},
      {"a carriage return", Inserted(token, 64, "\r\n"),
       LikelyCause::kWhiteSpaceInside},
      {"a space", Inserted(token, 10, " "), LikelyCause::kWhiteSpaceInside},
      {"+", With(token, 30, "+"), LikelyCause::kStandardAlphabet},
      {"/", With(token, 30, "/"), LikelyCause::kStandardAlphabet},
      {"+ and /", With(With(token, 30, "+"), 60, "/"),
       LikelyCause::kStandardAlphabet},
      {"%3D", token.substr(0, 98) + "%3D%3D", LikelyCause::kUrlEncoded},
      {"%3d", token.substr(0, 98) + "%3d%3d", LikelyCause::kUrlEncoded},
      {"base64url twice", Encoded(token), LikelyCause::kBase64Twice},
      {"and cut", Encoded(token).substr(0, 50), LikelyCause::kBase64Twice},
      {"hexadecimal", Hex(token), LikelyCause::kHex},
      {"bytea's output", "\\x" + Hex(token), LikelyCause::kHex},
      {"a JSON string", "\"" + token + "\"", LikelyCause::kQuoted},
      {"SQL quotes", "'" + token + "'", LikelyCause::kQuoted},
      {"Python's b''", "b'" + token + "'", LikelyCause::kBytesLiteral},
      {"Python's b\"\"", "b\"" + token + "\"", LikelyCause::kBytesLiteral},
      {"only the first quote", "\"" + token, LikelyCause::kQuoted},
      {"fernet:", "fernet:" + token, LikelyCause::kFernetPrefix},
      {"enc:fernet:", "enc:fernet:k1:" + Encoded(token),
       LikelyCause::kEncFernetPrefix},
      {"$encrypted$", "$encrypted$UTF8$AESCBC$" + Encoded(token),
       LikelyCause::kEncryptedPrefix},
      {"a key", test::TestKeyText(1), LikelyCause::kKey},
      {"a key without =", test::TestKeyText(1).substr(0, 43),
       LikelyCause::kKey},
  });
}

TEST(Diagnosis, IsNotMisledByNearMisses) {
  const std::string token = Token();
  const std::string key = test::TestKeyText(1);
  Check({
      {"one character short of a token's start", "gAAAA",
       LikelyCause::kPlaintext},
      {"another case", "GAAAAA" + token.substr(6), LikelyCause::kPlaintext},
      {"a token later in a text", "token: " + token, LikelyCause::kPlaintext},
      {"a quote at the end only", token + "\"", LikelyCause::kDamaged},
      {"quotes around a word", "\"gAAAA\"", LikelyCause::kPlaintext},
      {"B'", "B'" + token + "'", LikelyCause::kPlaintext},
      {"u'", "u'" + token + "'", LikelyCause::kPlaintext},
      {"\\X", "\\X" + Hex(token), LikelyCause::kPlaintext},
      {"0x", "0x" + Hex(token), LikelyCause::kPlaintext},
      {"hexadecimal of gAAAA", "\\x6741414141", LikelyCause::kPlaintext},
      {"base64 of gAAAA", "Z0FBQUE=", LikelyCause::kPlaintext},
      {"Fernet:", "Fernet:" + token, LikelyCause::kPlaintext},
      {"fernet without colon", "fernet" + token, LikelyCause::kPlaintext},
      {"enc:fernet without colon", "enc:fernet", LikelyCause::kPlaintext},
      {"enc:", "enc:" + token, LikelyCause::kPlaintext},
      {"nothing after fernet:", "fernet:", LikelyCause::kFernetPrefix},
      {"nothing after enc:fernet:", "enc:fernet:",
       LikelyCause::kEncFernetPrefix},
      {"$encrypted", "$encrypted", LikelyCause::kPlaintext},
      {"$ENCRYPTED$", "$ENCRYPTED$", LikelyCause::kPlaintext},
      {"a key cut", key.substr(0, 42), LikelyCause::kPlaintext},
      {"a key and a character", key + "x", LikelyCause::kPlaintext},
      {"two keys", key + "," + test::TestKeyText(2), LikelyCause::kPlaintext},
      {"a key in hexadecimal", Hex(key), LikelyCause::kPlaintext},
      // Of several defects, the one that explains most is reported.
      {"white space and +", Inserted(With(token, 30, "+"), 76, "\n"),
       LikelyCause::kWhiteSpaceInside},
      {"white space and %3D",
       Inserted(token.substr(0, 98) + "%3D%3D", 76, "\n"),
       LikelyCause::kWhiteSpaceInside},
      {"+ and %3D", With(token.substr(0, 98), 30, "+") + "%3D%3D",
       LikelyCause::kUrlEncoded},
      {"+ and *", With(With(token, 30, "+"), 60, "*"), LikelyCause::kDamaged},
      {"%3", token.substr(0, 98) + "%3", LikelyCause::kDamaged},
      {"another percent code", Inserted(token, 30, "%2F"),
       LikelyCause::kDamaged},
  });
}

// A token that lost its end is recognized, wherever it was cut.
TEST(Diagnosis, KnowsEveryCut) {
  const std::string token = Token();
  for (std::size_t size = 0; size <= token.size(); ++size) {
    const LikelyCause expected = size == 0 ? LikelyCause::kEmpty
                                 : size < kTokenStart.size()
                                     ? LikelyCause::kPlaintext
                                     : LikelyCause::kTruncated;
    EXPECT_EQ(Diagnose(token.substr(0, size)), expected) << size;
  }
}

// The cause for each byte at each place of a token's digits but the last, where
// white space is not part of the token.
LikelyCause CauseOf(char c) {
  if (test::DigitValue(c) >= 0) {
    return LikelyCause::kTruncated;
  }
  if (IsSpace(c)) {
    return LikelyCause::kWhiteSpaceInside;
  }
  return c == '+' || c == '/' ? LikelyCause::kStandardAlphabet
                              : LikelyCause::kDamaged;
}

TEST(Diagnosis, JudgesEveryByteAtEveryPlace) {
  const std::string token = Token();
  const std::size_t last = token.find('=') - 1;
  for (std::size_t at = kTokenStart.size(); at < last; ++at) {
    for (int byte = 0; byte < 256; ++byte) {
      const char c = static_cast<char>(byte);
      ASSERT_EQ(Diagnose(With(token, at, {&c, 1})), CauseOf(c))
          << "byte " << byte << " at " << at;
    }
  }
}

// Any bytes get an answer, and only bytes with a known start are taken for a
// token.
TEST(Diagnosis, TakesAnyBytes) {
  const std::vector<std::string> starts = {
      "",        "gAAAAA",          "\"gAAAAA",    "b'gAAAAA",   "Z0FBQUFB",
      "fernet:", "\\x674141414141", "enc:fernet:", "$encrypted$"};
  for (std::uint32_t seed = 1; seed <= 2000; ++seed) {
    const test::Bytes bytes = test::SomeBytes(seed % 300, seed);
    const std::string tail(bytes.begin(), bytes.end());
    for (const std::string &start : starts) {
      const LikelyCause cause = Diagnose(start + tail);
      ASSERT_LE(cause, LikelyCause::kKey) << seed;
      const bool is_known = !start.empty();
      ASSERT_EQ(is_known, cause != LikelyCause::kPlaintext &&
                              cause != LikelyCause::kEmpty)
          << start << ", seed " << seed;
    }
  }
}

// DiagnoseNonToken is only for values that Load refuses: Load refuses each of
// these.
TEST(Diagnosis, IsOfWhatIsNoToken) {
  const std::string token = Token();
  TokenReader reader;
  EXPECT_TRUE(reader.Load(token).ok());
  for (const std::string &value :
       {"\"" + token + "\"", "fernet:" + token, Hex(token), Encoded(token),
        Inserted(token, 76, "\n"), test::TestKeyText(1)}) {
    EXPECT_TRUE(IsMalformedToken(reader.Load(value).status));
  }
}

}  // namespace
}  // namespace fernet
