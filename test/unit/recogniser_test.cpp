#include "core/recogniser.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "support/recogniser_reference.hpp"
#include "support/reference.hpp"
#include "unit/recogniser_support.hpp"
#include "unit/support.hpp"

namespace fernet {
namespace {

using namespace std::string_literals;
using test::Hex;
using test::InLines;
using test::Keep;
using test::Look;
using test::Replaced;
using test::Rotated;
using test::SealedBy;
using test::Standard;
using test::Told;
using test::UrlSafe;

constexpr std::uint64_t kTime = test::kSealTime;

std::string Token(std::string_view plaintext = "a plaintext of 26 bytes...") {
  return SealedBy(1, plaintext);
}

// CheckFound requires that `value` holds one token, which opens, that the
// reference says the same, and that rotation leaves it where it is.
void CheckFound(const std::string &value, std::size_t decodings) {
  SCOPED_TRACE(value);
  const auto ring = test::RingOf({1});
  const Told told = Look(ring.get(), value);
  EXPECT_EQ(told.status, Status::kOk);
  EXPECT_TRUE(told.scratch_is_clean);
  EXPECT_EQ(told.sorted(),
            test::reference::Recognise({test::TestKeyBytes(1)}, value));
  ASSERT_EQ(told.places.size(), 1u);
  EXPECT_EQ(told.places[0].kind, Place::kOpened);
  EXPECT_EQ(told.places[0].timestamp, kTime);
  EXPECT_EQ(told.places[0].decodings, decodings);

  const Told untried = Look(nullptr, value);
  ASSERT_EQ(untried.places.size(), 1u);
  // Without a key, the end of a token is where its run ends.
  EXPECT_TRUE(untried.places[0].kind == Place::kNotTried ||
              (untried.places[0].kind == Place::kRemnant &&
               untried.places[0].size > told.places[0].size));

  bool changed = false;
  const std::string rotated = Rotated(value, &changed);
  EXPECT_TRUE(changed);
  EXPECT_EQ(rotated.size(), value.size());
  const auto new_ring = test::RingOf({2});
  const Told after = Look(new_ring.get(), rotated);
  EXPECT_EQ(after.sorted(), told.sorted());
  const bool is_same = Rotated(rotated, &changed) == rotated;
  EXPECT_TRUE(is_same);
  EXPECT_FALSE(changed);
}

TEST(Recogniser, FindsTokensInEveryShape) {
  const std::string token = Token();
  for (const std::string &value : {
           token,
           " \t" + token + "\r\n",
           "v1:" + token,
           "enc:" + token,
           "enc:fernet:k1:" + token,
           "fernet:" + token,
           "fernet$" + token,
           "Bearer " + token,
           "Authorization: Bearer " + token + "\r\nHost: a.example",
           R"({"token": ")" + token + R"(", "n": 1})",
           R"(["a", ")" + token + R"("])",
           R"("{\"token\": \")" + token + R"(\"}")",
           "\xef\xbb\xbf" + token,
           "\xc2\xa0" + token + "\xc2\xa0",
           "\xe2\x80\x8b" + token,
           '"' + token + '"',
           '\'' + token + '\'',
           '`' + token + '`',
           "\xe2\x80\x9c" + token + "\xe2\x80\x9d",
           "\xc2\xab" + token + "\xc2\xbb",
           "b'" + token + '\'',
           "b\"" + token + '"',
           "<Token " + token + '>',
           "<t>" + token + "</t>",
           "(1," + token + ",2)",
           '{' + token + '}',
           "token=" + token + "&a=b",
           token + ";",
           token + " 2",
           "x" + token,
           "a_" + token,
           "n-gAAAAA-" + token,
           token.substr(0, token.find('=')) + "%3D%3D",
           token.substr(0, token.find('=')),
           token.substr(0, token.find('=')) + '=',
           token + '=',
           "a,b," + token + ",c",
       }) {
    CheckFound(value, 0);
  }
}

TEST(Recogniser, SeesThroughBase64OfEveryAlignment) {
  for (const std::string &before : {""s, "a"s, "ab"s, "{\"k\":\""s, "?~?>"s}) {
    for (const std::string &after : {""s, " "s, "\"}"s, "\xff"s}) {
      const std::string inside = before + Token() + after;
      // Where a run begins is no guide to where its groups of four do.
      for (const std::string &prefix : {""s, "k"s, "kk"s, "kkk"s, "k:"s}) {
        CheckFound(prefix + UrlSafe(inside), 1);
        CheckFound(prefix + Standard(inside), 1);
        CheckFound(prefix + Replaced(UrlSafe(inside), '=', '.'), 1);
      }
      CheckFound(InLines(Standard(inside), "\r\n", 76), 1);
      CheckFound(InLines(Standard(inside), "\n", 5), 1);
      CheckFound("a\n" + InLines(UrlSafe(inside), "\n\n", 1), 1);
    }
  }
}

TEST(Recogniser, SeesThroughHex) {
  for (const bool upper : {false, true}) {
    for (const std::string &prefix : {""s, "\\x"s, "0x"s, "x'"s, "7"s}) {
      CheckFound(prefix + Hex("v1:" + Token(), upper), 1);
      CheckFound(prefix + InLines(Hex(Token() + "\n", upper), "\n", 60), 1);
    }
  }
}

// SmallToken has no '=': only this does not say where it ends.
std::string SmallToken(int number = 1) {
  return SealedBy(number, std::string(40, 's'));
}

TEST(Recogniser, FindsTokensBetweenDigits) {
  ASSERT_TRUE(SmallToken().find('=') == std::string::npos);
  for (const std::string &before : {""s, "x"s, "gAAAA"s, "a-b_"s}) {
    for (const std::string &after :
         {"y"s, "_"s, std::string(22, 'A'), std::string(64, 'a'),
          std::string(300, 'b')}) {
      CheckFound(before + SmallToken() + after, 0);
      CheckFound(UrlSafe(before + SmallToken() + after), 1);
      CheckFound(Hex(before + SmallToken() + after), 1);
    }
  }
  // Without '=', the end of any other token is no more certain.
  for (const std::size_t size : {3u, 20u}) {
    const std::string token = Token(std::string(size, 's'));
    CheckFound("x" + token.substr(0, token.find('=')) + "y", 0);
  }
}

TEST(Recogniser, FindsTokensThatFollowEachOther) {
  const auto ring = test::RingOf({1});
  const std::string value = SmallToken() + SmallToken() + "x" + SmallToken();
  const Told told = Look(ring.get(), value);
  EXPECT_EQ(told.places.size(), 3u);
  bool changed = false;
  const std::string rotated = Rotated(value, &changed);
  EXPECT_EQ(Look(test::RingOf({2}).get(), rotated).sorted(), told.sorted());
}

// The last digit of base64 that a token has a part in, shared with the byte
// behind it, may be one that the two alphabets do not share.
TEST(Recogniser, RotatesTheDigitThatATokenSharesWithTheByteBehindIt) {
  for (int i = 0; i < 300; ++i) {
    const std::string token = SealedBy(
        1, "a plaintext of about 40 bytes, number " + std::to_string(100 + i));
    ASSERT_EQ(token.size() % 3, 2u);
    for (const bool url_safe : {true, false}) {
      const std::string text = token + (i % 2 == 0 ? "\xff" : "\x80\xff");
      bool changed = false;
      const std::string rotated =
          Rotated(url_safe ? UrlSafe(text) : Standard(text), &changed);
      EXPECT_TRUE(changed);
      EXPECT_EQ(rotated.find_first_of(url_safe ? "+/" : "-_"),
                std::string::npos);
      const test::Bytes decoded = test::reference::Decode(
          Replaced(Replaced(rotated, '+', '-'), '/', '_'));
      ASSERT_EQ(decoded.size(), text.size());
      EXPECT_EQ(decoded.back(), 0xff);
      EXPECT_EQ(decoded[token.size()],
                text[token.size()] == '\xff' ? 0xff : 0x80);
      EXPECT_EQ(Look(test::RingOf({2}).get(), rotated).places.size(), 1u);
    }
  }
}

std::string TextOf(const test::Bytes &bytes) {
  return {bytes.begin(), bytes.end()};
}

std::string FromUrlSafe(std::string_view text) {
  return TextOf(test::reference::Decode(text));
}

std::string FromStandard(std::string_view text) {
  return FromUrlSafe(Replaced(Replaced(std::string(text), '+', '-'), '/', '_'));
}

std::string FromHex(std::string_view text) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes += static_cast<char>(
        std::stoi(std::string(text.substr(i, 2)), nullptr, 16));
  }
  return bytes;
}

TEST(Recogniser, RotatesNoBitAroundAToken) {
  const std::string token = Token();
  const auto new_ring = test::RingOf({2});
  struct Way {
    std::string (*encode)(std::string_view);
    std::string (*decode)(std::string_view);
  };
  const Way ways[] = {
      {UrlSafe, FromUrlSafe},
      {Standard, FromStandard},
      {[](std::string_view text) { return Hex(text); }, FromHex},
      {[](std::string_view text) { return Hex(text, true); }, FromHex},
      {[](std::string_view text) {
         return Standard("\xff" + UrlSafe("{\xfe\x7f" + std::string(text)));
       },
       [](std::string_view text) {
         return FromUrlSafe(FromStandard(text).substr(1)).substr(3);
       }}};
  for (const Way &way : ways) {
    for (const char around : {'{', '\x7f', '\xff', '\x95', '\x6a'}) {
      for (std::size_t before = 0; before < 4; ++before) {
        for (std::size_t after = 0; after < 4; ++after) {
          const std::string text =
              std::string(before, around) + token + std::string(after, around);
          bool changed = false;
          const std::string value = way.encode(text);
          SCOPED_TRACE(value);
          const std::string rotated = Rotated(value, &changed);
          ASSERT_TRUE(changed);
          ASSERT_EQ(rotated.size(), value.size());
          const std::string decoded = way.decode(rotated);
          ASSERT_EQ(decoded.size(), text.size());
          EXPECT_EQ(decoded.substr(0, before), text.substr(0, before));
          EXPECT_EQ(decoded.substr(before + token.size()),
                    text.substr(before + token.size()));
          EXPECT_EQ(Look(new_ring.get(), rotated).places.size(), 1u);
        }
      }
    }
  }
}

TEST(Recogniser, WritesHexadecimalDigitsInTheCaseThatIsThere) {
  for (const bool upper : {false, true}) {
    bool changed = false;
    const std::string rotated = Rotated(Hex("{" + Token(), upper), &changed);
    EXPECT_TRUE(changed);
    EXPECT_EQ(rotated.find_first_of(upper ? "abcdef" : "ABCDEF"),
              std::string::npos);
  }
}

TEST(Recogniser, LeavesTheBitsBehindTheLastByte) {
  // 140 digits are two more than whole groups of three: of the last digit of
  // their base64, two bits belong to no byte.
  const std::string token = Token(std::string(40, 'p'));
  ASSERT_EQ(token.size(), 140U);
  for (int i = 0; i < 400; ++i) {
    const int more = i % 4;
    std::string value = test::WithoutEquals(UrlSafe(token));
    const int last = test::DigitValue(value.back());
    ASSERT_EQ(last % 4, 0);
    value.back() = test::kUrlAlphabet[static_cast<std::size_t>(last + more)];
    bool changed = false;
    const std::string rotated = Rotated(value, &changed);
    EXPECT_TRUE(changed);
    EXPECT_EQ(Look(test::RingOf({2}).get(), rotated).places.size(), 1u);
    // The last digit may be one that the alphabets do not share. No other digit
    // says of which alphabet it should be.
    const std::string url_safe =
        Replaced(Replaced(rotated, '+', '-'), '/', '_');
    EXPECT_EQ(test::DigitValue(url_safe.back()) % 4, more);
  }
}

TEST(Recogniser, ReadsToTheEndOfWhatMayBeAnEscape) {
  const auto ring = test::RingOf({1});
  const std::string half = Token().substr(0, 60);
  for (const std::string &end : {"\\"s, "\\\\"s, "\\u"s, "\\u000"s, "%"s, "%0"s,
                                 "&"s, "&#"s, "&#1"s, "&#xA"s, " "s, " \t"s}) {
    EXPECT_EQ(Look(ring.get(), Token() + end).places.size(), 1u) << end;
    EXPECT_EQ(Look(ring.get(), half + end).places.size(), 1u) << end;
  }
}

TEST(Recogniser, FindsATokenInATokenWithDigitsBehindIt) {
  const auto ring = test::RingOf({2, 1});
  for (const std::string &inside :
       {SmallToken() + "x", "x" + SmallToken() + "x"}) {
    const std::string value = SealedBy(2, inside);
    ASSERT_EQ(Look(ring.get(), value).places.size(), 2u);
    bool changed = false;
    const std::string rotated = Rotated(value, &changed);
    EXPECT_TRUE(changed);
    const Told after = Look(test::RingOf({2}).get(), rotated);
    ASSERT_EQ(after.places.size(), 2u);
    EXPECT_EQ(after.places[1].kind, Place::kOpened);
  }
}

TEST(Recogniser, NamesWhatNoKeyOpensBetweenDigits) {
  const auto ring = test::RingOf({1});
  const std::string token = SmallToken(3);
  for (const std::string &value :
       {"x" + token + "y", UrlSafe("x" + token + "y"),
        "v1:x" + Replaced(Replaced(token, '-', '+'), '_', '/'),
        "x" + InLines(token, "\n", 20), Hex("-" + token + "0")}) {
    const Told told = Look(ring.get(), value);
    ASSERT_EQ(told.places.size(), 1u);
    EXPECT_EQ(told.places[0].kind, Place::kUnknownKey);
    EXPECT_EQ(told.places[0].timestamp, kTime);
    const Told untried = Look(nullptr, value);
    ASSERT_EQ(untried.places.size(), 1u);
    EXPECT_EQ(untried.places[0].kind, Place::kNotTried);
  }
  // Inside of a token, what is left of one that was cut needs no key.
  for (const std::string &inside : {token + "x", "x" + token + "y"}) {
    const Told told = Look(ring.get(), Token(inside));
    ASSERT_EQ(told.places.size(), 2u);
    EXPECT_EQ(told.places[1].kind, Place::kUnknownKey);
  }
}

TEST(Recogniser, TakesZerosAndWhatRepeatsForNoToken) {
  const auto ring = test::RingOf({1});
  for (const std::string &rest : {std::string(200, 'A'), std::string(200, 'B'),
                                  "AAAAAA" + SmallToken().substr(8)}) {
    EXPECT_TRUE(Look(ring.get(), "x_gAAAAA" + rest).places.empty());
  }
}

TEST(Recogniser, SeesThroughWhatHasTheStructureOfATokenAndIsNone) {
  // The version 0x80, and whole blocks between a header and an HMAC.
  std::string inside = "\x80" + Token() + "\xff";
  while (inside.size() % kBlockSize != (kHeaderSize + kHmacSize) % kBlockSize) {
    inside += '\xff';
  }
  ASSERT_TRUE(TokenReader().Load(UrlSafe(inside)).ok());
  CheckFound(UrlSafe(inside), 1);
}

TEST(Recogniser, SeesThroughBase64BehindAnyByte) {
  for (int byte = 0x70; byte < 256; byte += 5) {
    for (const std::size_t count : {1u, 2u, 3u}) {
      const std::string before(count, static_cast<char>(byte));
      const std::string inside = before + "\xff" + Token() + "\xff";
      CheckFound(UrlSafe(inside), 1);
      CheckFound(Standard(inside), 1);
      CheckFound(Standard(before + "\xfe" + UrlSafe(inside)), 2);
    }
  }
}

TEST(Recogniser, SeesThroughLinesAsOthersWriteThem) {
  for (const std::string &line_end :
       {"\\n"s, "\\r\\n"s, "\\u000a"s, "\\u000D\\u000A"s, "\\\\r\\\\n"s, "%0A"s,
        "%0d%0a"s, "&#10;"s, "&#xD;&#xA;"s, "\n    "s, " \r\n\t"s, "\\\n  "s}) {
    for (const std::string &before : {""s, "a"s, "\xff\xff"s, "ab"s}) {
      const std::string inside = before + Token() + "\xff\xff";
      for (const std::size_t width : {1u, 19u, 64u, 76u}) {
        CheckFound("{\"a\": \"" + InLines(Standard(inside), line_end, width),
                   1);
        CheckFound("/ " + InLines(Hex(inside), line_end, width), 1);
      }
    }
  }
  std::string escaped;
  for (const char c : Standard("\xff\xff" + Token() + "\xff\xff")) {
    escaped += (c == '/' ? "\\/" : "") + std::string(1, c);
  }
  CheckFound(escaped, 1);
}

TEST(Recogniser, KnowsWhereLinesEndToTheLastCharacter) {
  const std::string digits = Standard(Token());
  const auto broken_by = [&](const std::string &line_end) {
    return digits.substr(0, 90) + line_end + digits.substr(90);
  };
  CheckFound(broken_by(std::string(64, '\\') + "n"), 1);
  CheckFound(broken_by(std::string(63, ' ') + "\n"), 1);
  const auto ring = test::RingOf({1});
  for (const std::string &no_line_end :
       {std::string(65, '\\') + "n", std::string(64, ' ') + "\n", "&"s, "%"s,
        "%0"s, "&#1;"s, "\\"s, "\\t"s, "\\u0009"s, " "s}) {
    for (const Place &place : Look(ring.get(), broken_by(no_line_end)).places) {
      EXPECT_EQ(place.kind, Place::kRemnant) << no_line_end;
    }
  }
  // The smallest token without '=', in base64 without '='.
  const std::string smallest = UrlSafe(Token("x").substr(0, kTokenDigits));
  CheckFound(smallest.substr(0, smallest.find('=')), 1);
}

TEST(Recogniser, SeesThroughThreeEncodings) {
  const auto encode = [](int how, const std::string &text) {
    switch (how) {
      case 0:
        return UrlSafe("a:" + text);
      case 1:
        return InLines(Standard(text + "\xff\xfe"), "\n", 76);
      default:
        return Hex(text, true);
    }
  };
  for (int i = 0; i < 9; ++i) {
    CheckFound(encode(i % 3, encode(i / 3, Token())), 2);
  }
  for (int i = 0; i < 27; ++i) {
    CheckFound(encode(i % 3, encode(i / 3 % 3, encode(i / 9, Token()))), 3);
  }
}

TEST(Recogniser, StopsAfterThreeEncodings) {
  const auto ring = test::RingOf({1});
  const Told told = Look(ring.get(), Hex(Hex(Hex(Hex(Token())))));
  EXPECT_EQ(told.status, Status::kOk);
  EXPECT_TRUE(told.places.empty());
}

TEST(Recogniser, FindsTokensInsideOfTokens) {
  const auto ring = test::RingOf({2, 1});
  for (const std::string &inside :
       {Token(), "v1:" + Token(), UrlSafe(Token()), Hex("{" + Token() + "}"),
        " " + Token() + " ", Token("x").substr(0, kTokenDigits)}) {
    for (const int outer : {1, 2}) {
      const std::string value = SealedBy(outer, inside);
      const Told told = Look(ring.get(), value);
      EXPECT_EQ(told.status, Status::kOk);
      EXPECT_TRUE(told.scratch_is_clean);
      ASSERT_EQ(told.places.size(), 2u);
      EXPECT_EQ(told.places[0].key_index, outer == 1 ? 1u : 0u);
      EXPECT_EQ(told.places[0].nesting, 0u);
      EXPECT_EQ(told.places[1].key_index, 1u);
      EXPECT_EQ(told.places[1].nesting, 1u);
      EXPECT_EQ(told.places[1].decodings,
                inside.find("gAAAAA") == std::string::npos ? 1u : 0u);

      bool changed = false;
      const std::string rotated = Rotated(value, &changed);
      EXPECT_TRUE(changed);
      EXPECT_EQ(rotated.size(), value.size());
      const auto new_ring = test::RingOf({2});
      const Told after = Look(new_ring.get(), rotated);
      ASSERT_EQ(after.places.size(), 2u);
      EXPECT_EQ(after.places[0].kind, Place::kOpened);
      EXPECT_EQ(after.places[1].kind, Place::kOpened);
      const test::Opened opened = test::OpenText(new_ring.get(), rotated);
      EXPECT_EQ(opened.plaintext.size(), inside.size());
    }
  }
}

TEST(Recogniser, LooksIntoALoadedToken) {
  const auto ring = test::RingOf({2, 1});
  for (const std::size_t size : {3u, 40'000u}) {
    const std::string value =
        SealedBy(2, std::string(size, '.') + Token() + ' ');
    TokenReader token;
    std::uint32_t index = 9;
    ASSERT_TRUE(token.Load(value).ok());
    ASSERT_TRUE(ring->FindKey(&token, &index).ok());
    Told told;
    test::Bytes scratch(Recogniser::ScratchSize(token.ciphertext_size()) +
                        token.ciphertext_size());
    Recogniser recogniser(ring.get(), scratch, Keep, &told);
    EXPECT_EQ(recogniser.LookInto(&token, index), Status::kOk);
    EXPECT_TRUE(test::AllZero(scratch));
    ASSERT_EQ(told.places.size(), 1u);
    EXPECT_EQ(told.places[0].offset, size);
    EXPECT_EQ(told.places[0].nesting, 1u);
    EXPECT_EQ(told.places[0].key_index, 1u);
  }
}

TEST(Allowance, IsAMiBAndMoreForALargerValue) {
  Allowance allowance;
  allowance.AddPart(1000);
  EXPECT_EQ(allowance.to_try, 1024U * 1024 + 16 * 1000);
  EXPECT_EQ(allowance.to_end, 64U * 1024 + 2 * 1000);
  EXPECT_EQ(allowance.to_decode, 1024U * 1024 + 32 * 1000);
}

TEST(Recogniser, RefusesToLookThroughTooManyTokens) {
  const auto ring = test::RingOf({1});
  std::string value = "secret";
  static_assert(kMaxNesting == 8);
  for (std::uint32_t i = 0; i <= kMaxNesting; ++i) {
    value = Token(value);
  }
  const Told told = Look(ring.get(), value);
  EXPECT_EQ(told.status, Status::kOk);
  EXPECT_EQ(told.places.size(), kMaxNesting + 1);
  EXPECT_EQ(Look(ring.get(), Token(Token(value))).status,
            Status::kTooManyCandidates);
}

TEST(Recogniser, NamesTokensOfUnknownKeys) {
  const auto ring = test::RingOf({1});
  const Told told = Look(ring.get(), "v1:" + SealedBy(3, "x") + ", " + Token());
  ASSERT_EQ(told.places.size(), 2u);
  EXPECT_EQ(told.places[0].kind, Place::kUnknownKey);
  EXPECT_EQ(told.places[0].offset, 3u);
  EXPECT_EQ(told.places[1].kind, Place::kOpened);
}

TEST(Recogniser, NamesWhatIsLeftOfATokenByItsBeginning) {
  const auto ring = test::RingOf({1});
  const std::string token = Token();
  for (const std::string &value :
       {token.substr(0, 60), "v1:" + token.substr(0, 99),
        token.substr(0, 80) + '+' + token.substr(80),
        token.substr(0, 76) + '\n' + token.substr(76),
        "{" + token + "abc" + token}) {
    const Told told = Look(ring.get(), value);
    ASSERT_FALSE(told.places.empty());
    EXPECT_EQ(told.places[0].kind, value.ends_with(token) && value[0] == '{'
                                       ? Place::kOpened
                                       : Place::kRemnant);
  }
  EXPECT_TRUE(Look(ring.get(), token.substr(0, 31)).places.empty());
  EXPECT_EQ(Look(ring.get(), token.substr(0, 32)).places.size(), 1u);
  // The first line has the beginning and nothing more.
  const Told in_lines = Look(ring.get(), InLines(token, "\n", 6));
  ASSERT_EQ(in_lines.places.size(), 1u);
  EXPECT_EQ(in_lines.places[0].kind, Place::kRemnant);
}

TEST(Recogniser, NamesWhatIsLeftOfATokenInEncodedBytes) {
  const auto ring = test::RingOf({1});
  const std::string remnant = Token().substr(0, 32);
  const std::string binary(80, '\0');
  for (const std::string &bytes :
       {remnant + binary, binary + remnant, binary + remnant + binary}) {
    for (const std::string &value : {Standard(bytes), Hex(bytes)}) {
      const Told told = Look(ring.get(), value);
      ASSERT_EQ(told.places.size(), 1u);
      EXPECT_EQ(told.places[0].kind, Place::kRemnant);
      EXPECT_EQ(told.places[0].size, 32u);
      EXPECT_EQ(told.places[0].decodings, 1u);
    }
  }
}

TEST(Recogniser, SeesThroughWhatStandsNextToAToken) {
  const auto ring = test::RingOf({1});
  const std::string encoded = test::WithoutEquals(UrlSafe(Token()));
  for (const std::string &value :
       {encoded + '\n' + SmallToken(), SmallToken() + '\n' + encoded,
        SmallToken() + encoded}) {
    const Told told = Look(ring.get(), value);
    ASSERT_EQ(told.places.size(), 2u) << value;
    EXPECT_EQ(told.places[0].kind, Place::kOpened);
    EXPECT_EQ(told.places[1].kind, Place::kOpened);
  }
}

TEST(Recogniser, TakesAnotherBeginningForATokenOnlyIfAKeyOpensIt) {
  const auto ring = test::RingOf({1});
  const auto other = test::RingOf({2});
  for (const std::uint64_t time :
       {std::uint64_t{1} << 40, std::uint64_t{13} << 56, std::uint64_t{1} << 60,
        ~std::uint64_t{0}}) {
    const std::string late = test::reference::Seal(
        test::TestKeyBytes(1), time, test::kTestIv, test::ToBytes("x"));
    EXPECT_EQ(Look(ring.get(), "k:" + late).places.size(), 1u);
    EXPECT_TRUE(Look(nullptr, "k:" + late).places.empty());
    EXPECT_TRUE(Look(other.get(), "k:" + late).places.empty());
  }
}

TEST(Recogniser, FindsNothingInWhatIsNone) {
  const auto ring = test::RingOf({1});
  for (const std::string &value :
       {""s, "secret"s, "gAAAAA"s, "A token begins with gAAAAA and so on."s,
        std::string(5000, 'A'), UrlSafe(std::string(1000, 'x')),
        Hex(std::string(1000, 'y')),
        Standard({reinterpret_cast<const char *>(test::SomeBytes(900).data()),
                  900})}) {
    const Told told = Look(ring.get(), value);
    EXPECT_EQ(told.status, Status::kOk);
    EXPECT_TRUE(told.places.empty());
  }
}

TEST(Recogniser, SaysWhereAnEncodingBegins) {
  const auto ring = test::RingOf({1});
  const auto offset = [&](const std::string &value) {
    const Told told = Look(ring.get(), value);
    EXPECT_EQ(told.places.size(), 1u);
    return OffsetInValue(value, told.places.at(0));
  };
  EXPECT_EQ(offset("v1:" + Token()), 3u);
  EXPECT_EQ(offset("v1:" + UrlSafe(Token())), 3u);
  EXPECT_EQ(offset("v1:" + UrlSafe("abc" + Token())), 7u);
  EXPECT_EQ(offset("\\x" + Hex("ab" + Token())), 6u);
  EXPECT_EQ(offset(InLines(UrlSafe("abcdef" + Token()), "\n", 4)), 10u);
  EXPECT_EQ(offset("\\x" + Hex(UrlSafe(Token()))), 2u);
  // The digits before it share bits with the first byte.
  EXPECT_EQ(offset("k" + UrlSafe("abc" + Token())), 5u);
  EXPECT_EQ(offset("kk" + UrlSafe("abc" + Token())), 6u);
}

std::string Repeated(std::string_view piece, std::size_t size) {
  std::string text;
  while (text.size() < size) {
    text += piece;
  }
  return text;
}

TEST(Recogniser, GivesUpOnTooManyCandidates) {
  const auto ring = test::RingOf({1, 2});
  const std::string value = Repeated("gAAAAA", 1'200'000);
  EXPECT_EQ(Look(ring.get(), value).status, Status::kTooManyCandidates);
  // Without keys there is nothing to try.
  const Told told = Look(nullptr, value);
  EXPECT_EQ(told.status, Status::kOk);
  EXPECT_FALSE(told.places.empty());
}

std::size_t asked = 0;
std::size_t allowed = 0;

TEST(Recogniser, WorksInProportionToTheSizeOfTheValue) {
  const auto ring = test::RingOf({1});
  const auto count = []() noexcept {
    ++asked;
    return true;
  };
  const std::string token = SmallToken(3);
  for (const std::string &piece : {"gAAAAA"s,
                                   "Z0FBQUFB"s,
                                   "674141414141"s,
                                   "VVVV"s,
                                   "gg"s,
                                   "A\n"s,
                                   "-"s,
                                   "6767"s,
                                   "A\\n"s,
                                   "\\"s,
                                   "A "s,
                                   "A\n   "s,
                                   "%0A"s,
                                   "A&#10;"s,
                                   "[{\"A\":"s,
                                   token,
                                   token + ' ',
                                   "x" + token.substr(0, 90),
                                   UrlSafe(UrlSafe(token)),
                                   Hex("gAAAAA"s)}) {
    std::size_t work[2];
    for (const std::size_t i : {0u, 1u}) {
      asked = 0;
      const Told told =
          Look(ring.get(), Repeated(piece, 400'000 * (i + 1)), count);
      EXPECT_TRUE(told.status == Status::kOk ||
                  told.status == Status::kTooManyCandidates);
      work[i] = asked;
    }
    EXPECT_LE(work[1], 2 * work[0] + 6) << piece;
  }
}

TEST(Recogniser, NeedsEnoughDigitsNextToEachOtherForAPlace) {
  const std::string token(kTokenDigits, 'a');
  const std::string remnant = "gAAAAA" + std::string(26, 'a');
  for (std::size_t before = 0; before < 140; ++before) {
    const std::string prefix(before, ' ');
    for (const std::string &digits : {token, remnant, "a-" + remnant}) {
      EXPECT_TRUE(MayHoldPlaces(prefix + digits));
      EXPECT_TRUE(MayHoldPlaces(prefix + digits + "  "));
      EXPECT_TRUE(MayHoldPlaces(prefix + "words, " + digits + ". " + prefix));
    }
    EXPECT_TRUE(
        MayHoldPlaces(prefix + token.substr(49) + "\r\n" + token.substr(49)));
    EXPECT_FALSE(MayHoldPlaces(prefix + token.substr(1)));
    EXPECT_FALSE(MayHoldPlaces(prefix + token.substr(1) + " " + token[0]));
    EXPECT_FALSE(MayHoldPlaces(prefix + remnant.substr(0, 31)));
    EXPECT_FALSE(MayHoldPlaces(prefix + remnant.substr(1)));
    EXPECT_FALSE(MayHoldPlaces(prefix + std::string(90, 'a') + " gAAAAA"));
  }
  EXPECT_FALSE(MayHoldPlaces(""));
  // Right behind what ended another run
  for (std::size_t before = 0; before < 98; ++before) {
    for (const std::string &end : {"."s, ". "s, "..."s}) {
      const std::string prefix = std::string(before, 'a') + end;
      EXPECT_TRUE(MayHoldPlaces(prefix + remnant + "."));
      EXPECT_TRUE(MayHoldPlaces(prefix + token + "."));
    }
  }
}

TEST(Recogniser, CutsSomethingLongOutsideOfRuns) {
  EXPECT_EQ(SizeUpToOpenRun({}), 0u);
  EXPECT_EQ(SizeUpToOpenRun(std::string_view("gAAA\r\nAA")), 0u);
  EXPECT_EQ(SizeUpToOpenRun(std::string_view("gAAAAA.")), 7u);
  // It may be the white space before the end of a line.
  EXPECT_EQ(SizeUpToOpenRun(std::string_view("gAAAAA ")), 0u);
  EXPECT_EQ(SizeUpToOpenRun(std::string_view("a, gAAAAA\\")), 3u);
  EXPECT_EQ(SizeUpToOpenRun(std::string_view("a gAAA\nAA")), 2u);
  // Whatever it is cut into, the same is found.
  const std::string value = "a " + Token("x") + " b " + Standard(Token("y")) +
                            "\n\"" + Token("z") + '"';
  const auto ring = test::RingOf({1});
  const std::size_t all = Look(ring.get(), value).places.size();
  EXPECT_EQ(all, 3u);
  for (std::size_t cut = 0; cut <= value.size(); ++cut) {
    const std::string head = value.substr(
        0, SizeUpToOpenRun(std::string_view(value).substr(0, cut)));
    EXPECT_EQ(Look(ring.get(), head).places.size() +
                  Look(ring.get(), value.substr(head.size())).places.size(),
              all);
  }
}

TEST(Recogniser, AllowsThePartsOfAValueNoMoreThanTheValue) {
  // Each part is tried at most 16 times its size, and the first ones can use
  // what is allowed in addition only once.
  std::string part;
  while (part.size() < 12000) {
    part += "gAAAAA";
  }
  const auto ring = test::RingOf({1});
  EXPECT_EQ(Look(ring.get(), part).status, Status::kOk);
  test::Bytes scratch(Recogniser::ScratchSize(part.size()));
  Told told;
  Allowance shared;
  Recogniser recogniser(ring.get(), scratch, Keep, &told, Always, &shared);
  int parts = 0;
  while (parts < 100 && recogniser.Look(part) == Status::kOk) {
    ++parts;
  }
  EXPECT_GE(parts, 1);
  EXPECT_LE(parts, 5);
}

TEST(Recogniser, CountsWhatItDecodesAndTries) {
  const auto ring = test::RingOf({1});
  const std::string value = UrlSafe(Token()) + " x" + SmallToken() + "y";
  const auto look = [&](Allowance *allowance) {
    Told told;
    test::Bytes scratch(Recogniser::ScratchSize(value.size()));
    Recogniser recogniser(ring.get(), scratch, Keep, &told, Always, allowance);
    return recogniser.Look(value);
  };
  constexpr Allowance kMuch;
  Allowance left;
  EXPECT_EQ(look(&left), Status::kOk);
  Allowance all;
  all.AddPart(value.size());
  EXPECT_LT(left.to_try, all.to_try);
  EXPECT_LT(left.to_end, all.to_end);
  EXPECT_LT(left.to_decode, all.to_decode);
  // Exactly as much as it takes is enough, and one byte less is not.
  for (const std::size_t less : {0u, 1u}) {
    const Status expected =
        less == 0 ? Status::kOk : Status::kTooManyCandidates;
    Allowance to_try;
    to_try.to_try = kMuch.to_try - left.to_try - less;
    EXPECT_EQ(look(&to_try), expected);
    Allowance to_decode;
    to_decode.to_decode = kMuch.to_decode - left.to_decode - less;
    EXPECT_EQ(look(&to_decode), expected);
  }
}

TEST(Recogniser, LooksAtOneValueAfterTheOther) {
  const auto ring = test::RingOf({2, 1});
  // To look at it takes most of what is allowed for a value of its size.
  const std::string candidates = Repeated("gAAAAA", 12'000);
  Told told;
  test::Bytes scratch(Recogniser::ScratchSize(candidates.size()));
  Recogniser recogniser(ring.get(), scratch, Keep, &told);
  RandomBuffer ivs;
  bool changed = false;
  const auto rotate = [&](std::string value) {
    EXPECT_EQ(recogniser.Rotate(value, &ivs, &changed), Status::kOk);
    return value;
  };
  for (int i = 0; i < 3; ++i) {
    const std::string rotated = rotate(Token());
    EXPECT_TRUE(changed);
    EXPECT_NE(rotated, Token());
    EXPECT_EQ(rotate(rotated), rotated);
    EXPECT_FALSE(changed);
    const std::string looked_at = Token();
    EXPECT_EQ(recogniser.Look(looked_at), Status::kOk);
    EXPECT_EQ(looked_at, Token());
    EXPECT_EQ(recogniser.Look(candidates), Status::kOk);
    EXPECT_EQ(rotate(candidates), candidates);

    TokenReader reader;
    std::uint32_t index = 9;
    const std::string outer = SealedBy(2, candidates.substr(0, 8'000));
    ASSERT_TRUE(reader.Load(outer).ok());
    ASSERT_TRUE(ring->FindKey(&reader, &index).ok());
    EXPECT_EQ(recogniser.LookInto(&reader, index), Status::kOk);
    EXPECT_TRUE(test::AllZero(scratch));
  }
}

TEST(Recogniser, AllowsMoreForALargeValue) {
  const auto ring = test::RingOf({1});
  const std::string value = Standard(Token(std::string(1'500'000, '.')) + ' ');
  const Told told = Look(ring.get(), value);
  EXPECT_EQ(told.status, Status::kOk);
  EXPECT_EQ(told.places.size(), 1u);

  const std::string outer = Token(Token(std::string(1'500'000, '.')));
  TokenReader reader;
  std::uint32_t index = 9;
  ASSERT_TRUE(reader.Load(outer).ok());
  ASSERT_TRUE(ring->FindKey(&reader, &index).ok());
  Told inside;
  test::Bytes scratch(Recogniser::ScratchSize(outer.size()));
  Recogniser recogniser(ring.get(), scratch, Keep, &inside);
  EXPECT_EQ(recogniser.LookInto(&reader, index), Status::kOk);
  EXPECT_EQ(inside.places.size(), 1u);
}

TEST(Recogniser, LooksForTheEndOfATokenForAsLongAsAllowed) {
  const auto ring = test::RingOf({1});
  const std::string value = 'x' + Token("x").substr(0, kTokenDigits) + 'y';
  constexpr std::size_t kSize = kHeaderSize + CiphertextSize(0) + kHmacSize;
  for (const std::size_t less : {0u, 1u}) {
    Allowance none = {.to_try = 0, .to_end = 0, .to_decode = 0};
    none.AddPart(value.size());
    Allowance left;
    left.to_end = kSize - none.to_end - less;
    Told told;
    test::Bytes scratch(Recogniser::ScratchSize(value.size()));
    Recogniser recogniser(ring.get(), scratch, Keep, &told, Always, &left);
    EXPECT_EQ(recogniser.Look(value), Status::kOk);
    ASSERT_EQ(told.places.size(), 1u);
    EXPECT_EQ(told.places[0].kind,
              less == 0 ? Place::kOpened : Place::kUnknownKey);
  }
}

TEST(Recogniser, IsStoppedAnywhere) {
  const auto ring = test::RingOf({1});
  const auto go_on = []() noexcept { return ++asked <= allowed; };
  const std::string large = Token(std::string(3'000'000, '.'));
  for (const std::string &value :
       {Repeated("gAAAAA", 1'200'000), Repeated("Z0FBQUFB", 2'000'000),
        Repeated("67", 2'000'000), std::string(2'000'000, ' '), large}) {
    asked = 0;
    allowed = static_cast<std::size_t>(-1);
    const Status status = Look(ring.get(), value, go_on).status;
    EXPECT_NE(status, Status::kStopped);
    const std::size_t questions = asked;
    EXPECT_GE(questions, value.size() >> 20);
    for (allowed = 0; allowed < questions; allowed += 1 + questions / 6) {
      asked = 0;
      const Told told = Look(ring.get(), value, go_on);
      EXPECT_EQ(told.status, Status::kStopped);
      EXPECT_EQ(asked, allowed + 1);
      EXPECT_TRUE(told.scratch_is_clean);
    }
  }
}

}  // namespace
}  // namespace fernet
