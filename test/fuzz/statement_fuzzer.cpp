// Keys in statements: KeyTraces overwrites what a value or a statement gives
// away, however SQL spells it, and nothing else; HoldsKey sees a key that
// stands alone, and nothing where there is none.
//
// An input: 0 and then a text; or which keys there are, and then one byte for
// each piece of a statement.
#include <array>

#include "core/key_search.hpp"
#include "core/key_traces.hpp"
#include "fuzz/fuzz.hpp"
#include "fuzz/judge.hpp"

namespace fernet::fuzz {
namespace {

// Spelt is a key as SQL can write it: `how` says in which way.
std::string Spelt(const std::string &key, std::uint8_t how) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string text;
  for (std::size_t i = 0; i < key.size(); ++i) {
    const auto c = static_cast<unsigned char>(key[i]);
    const std::string hex = {kHex[c >> 4], kHex[c & 15]};
    switch (i % 5 == 2 ? how % 8 : 0) {
      case 1:
        text += "\\x" + hex;
        break;
      case 2:
        text += "\\u00" + hex;
        break;
      case 3:
        text += "\\U000000" + hex;
        break;
      case 4:
        text += "\\+0000" + hex;
        break;
      case 5:
        text += "\\00" + hex;
        break;
      case 6:
        text += "' || '";
        text += key[i];
        break;
      case 7:
        text += "'\n  'U";
        text.back() = key[i];
        break;
      default:
        text += key[i];
        break;
    }
  }
  return text;
}

std::string Piece(std::uint8_t piece, const std::string &key) {
  constexpr std::array kPieces = {"SET fernet.key = '",
                                  "set_config('fernet.key', '",
                                  "SET LOCAL fernet.index_key TO E'",
                                  "'",
                                  ", ",
                                  ";\n",
                                  " ",
                                  "$$",
                                  "$tag$",
                                  "::text || ",
                                  "E'",
                                  "U&'",
                                  "\\",
                                  "%",
                                  "%3D",
                                  "=",
                                  "SCRAM-SHA-256$4096:",
                                  "eyJhbGciOi.",
                                  "name_of_a_table",
                                  "fernet.",
                                  "/",
                                  "+",
                                  "--"};
  if (piece < 128) {
    return kPieces[piece % kPieces.size()];
  }
  return piece < 192 ? Spelt(key, piece) : key.substr(0, piece - 192u);
}

// HasKey says by a slow search whether 43 digits that are a key stand in
// `text`, with no digit before and after them.
bool HasKey(std::string_view text) {
  for (std::size_t at = 0; at + 43 <= text.size(); ++at) {
    const std::string_view word = text.substr(at, 43);
    if (FirstBadDigit(word) == word.size() && JudgeKey(word).ok()) {
      return true;
    }
  }
  return false;
}

// CheckOverwrite overwrites, and returns what is left.
std::string CheckOverwrite(const KeyTraces &traces, const std::string &text) {
  Exact<char> exact(text, 3);
  const bool occurs = traces.OccurIn(exact.span());
  Require(Equal(exact.span(), text), "a text that is looked at stays");
  const bool found = traces.Overwrite(exact.span());
  Require(found == occurs, "OccurIn says what Overwrite finds");
  exact.CheckFront();
  const std::string after(exact.span().begin(), exact.span().end());
  bool has_changed = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    Require(after[i] == text[i] || after[i] == '*',
            "asterisks are all that is written");
    has_changed = has_changed || after[i] != text[i];
  }
  Require(!has_changed || found, "a change is told of");
  Require(!traces.OccurIn(after), "what was overwritten does not occur");
  return after;
}

void CheckText(const std::string &text, const std::string &key) {
  Exact<char> exact(text, 1);
  KeyTraces of_statement;
  of_statement.AddStatement(exact.span());
  CheckOverwrite(of_statement, text);

  KeyTraces of_value;
  of_value.AddValue(key);
  const std::string after = CheckOverwrite(of_value, text);
  Require(after.find(key.substr(0, 43)) == std::string::npos,
          "a key that was given does not stay");

  const bool holds = HoldsKey(exact.span());
  Require(!holds || HasKey(text), "where no key is, none is seen");
  Require(HoldsKey(text + " '" + key + "' "),
          "a key that stands alone is seen");
}

void Run(Input input) {
  const std::uint8_t which = input.Byte();
  const std::string key = KeyText(which % 8);
  std::string text;
  if (which == 0) {
    text = AsText(input.rest());
  } else {
    for (const std::uint8_t piece : input.rest()) {
      text += Piece(piece, key);
    }
  }
  CheckText(text, key);
  // Given in the way that the statement itself says.
  const std::string statement = "SET fernet.key = '" + key + "'; " + text;
  KeyTraces traces;
  traces.AddStatement(statement);
  const std::string after = CheckOverwrite(traces, statement);
  Require(after.find(key.substr(0, 43)) == std::string::npos,
          "a key that a statement sets does not stay in it");
}

}  // namespace
}  // namespace fernet::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data,
                                      std::size_t size) {
  fernet::fuzz::Run(fernet::fuzz::Input({data, size}));
  return 0;
}
