// DiagnoseNonToken on any value, and on tokens that were spoilt in each way
// that has a LikelyCause.
//
// An input: 0 and then the value; or how to spoil a token, its time, and what
// to damage.
#include "core/diagnosis.hpp"

#include "fuzz/fuzz.hpp"
#include "fuzz/judge.hpp"
#include "fuzz/mutators.hpp"

namespace fernet::fuzz {
namespace {

bool Has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// JudgeDamage is for a value that begins like a token and is not one.
LikelyCause JudgeDamage(std::string_view token) {
  const std::string_view digits = WithoutEquals(token);
  bool space = false;
  bool standard = false;
  bool other = false;
  for (const char c : digits) {
    if (Has(kAsciiSpace, {&c, 1})) {
      space = true;
    } else if (c == '+' || c == '/') {
      standard = true;
    } else if (DigitValue(c) < 0) {
      other = true;
    }
  }
  return space ? LikelyCause::kWhiteSpaceInside
         : Has(digits, "%3D") || Has(digits, "%3d") ? LikelyCause::kUrlEncoded
         : other                                    ? LikelyCause::kDamaged
         : standard ? LikelyCause::kStandardAlphabet
                    : LikelyCause::kTruncated;
}

LikelyCause JudgeCause(std::string_view value) {
  const std::string_view text = Trim(value);
  const auto begins = [text](std::string_view start) {
    return text.substr(0, start.size()) == start;
  };
  if (text.empty()) {
    return LikelyCause::kEmpty;
  }
  if (begins("gAAAAA")) {
    return JudgeDamage(text);
  }
  if (begins("\"gAAAAA") || begins("'gAAAAA")) {
    return LikelyCause::kQuoted;
  }
  if (begins("b'gAAAAA") || begins("b\"gAAAAA")) {
    return LikelyCause::kBytesLiteral;
  }
  if (begins("Z0FBQUFB")) {
    return LikelyCause::kBase64Twice;
  }
  if (begins("674141414141") || begins("\\x674141414141")) {
    return LikelyCause::kHex;
  }
  if (begins("fernet:")) {
    return LikelyCause::kFernetPrefix;
  }
  if (begins("enc:fernet:")) {
    return LikelyCause::kEncFernetPrefix;
  }
  if (begins("$encrypted$")) {
    return LikelyCause::kEncryptedPrefix;
  }
  return JudgeKey(text).ok() ? LikelyCause::kKey : LikelyCause::kPlaintext;
}

// Spoilt is a value that was a token, and the cause that must be found for it
// unless it is damaged further.
struct Spoilt {
  std::string text;
  LikelyCause cause;
};

Spoilt Spoil(const std::string &token, std::uint8_t how, std::size_t at) {
  const std::string_view bytes = token;
  const View as_bytes(reinterpret_cast<const std::uint8_t *>(bytes.data()),
                      bytes.size());
  std::string text = token;
  switch (how % 11) {
    case 0:
      // Six characters make it look like a token; 96 could be one.
      text.resize(6 + at % 90);
      return {text, LikelyCause::kTruncated};
    case 1:
      text.insert(6 + at % 90, 1, '*');
      return {text, LikelyCause::kDamaged};
    case 2:
      text.insert(6 + at % 90, "\r\n");
      return {text, LikelyCause::kWhiteSpaceInside};
    case 3:
      text[6 + at % 90] = '+';
      return {text, LikelyCause::kStandardAlphabet};
    case 4:
      return {std::string(WithoutEquals(token)) + "%3D",
              LikelyCause::kUrlEncoded};
    case 5:
      return {EncodeBits(as_bytes), LikelyCause::kBase64Twice};
    case 6:
      text = "\\x";
      for (const std::uint8_t byte : as_bytes) {
        text += "0123456789abcdef"[byte / 16];
        text += "0123456789abcdef"[byte % 16];
      }
      return {text, LikelyCause::kHex};
    case 7:
      return {'"' + token + '"', LikelyCause::kQuoted};
    case 8:
      return {"b'" + token + "'", LikelyCause::kBytesLiteral};
    case 9:
      return {"fernet:" + token, LikelyCause::kFernetPrefix};
    default:
      return {"enc:fernet:1:" + token, LikelyCause::kEncFernetPrefix};
  }
}

LikelyCause Diagnose(const std::string &value) {
  Exact<char> exact(value, 0);
  const LikelyCause cause = DiagnoseNonToken(exact.span());
  Require(cause == JudgeCause(value),
          "a value's cause is the one it looks like");
  Require(IsNoTraceOfToken(cause) == (cause == LikelyCause::kPlaintext ||
                                      cause == LikelyCause::kEmpty ||
                                      cause == LikelyCause::kKey ||
                                      cause == LikelyCause::kEncryptedPrefix),
          "whatever looks like a token is never taken for a plaintext");
  return cause;
}

void CheckSpoilt(Input *input) {
  const std::uint8_t how = input->Byte();
  const std::size_t at = input->Byte();
  const std::size_t blocks = 1 + input->Byte() % 8u;
  Input damages = *input;
  // The four zeros are the upper half of the time, before the year 2106.
  Bytes bytes = {kVersion, 0, 0, 0, 0};
  const Bytes content = input->Fill(4 + 16 + 16 * blocks + 32);
  bytes.insert(bytes.end(), content.begin(), content.end());
  const std::string token = EncodeBits(bytes);
  Require(JudgeToken(token).outcome.ok(), "what is to be spoilt is a token");

  Spoilt spoilt = Spoil(token, how, at);
  Require(!TokenReader().Load(spoilt.text).ok(), "what was spoilt is no token");
  const LikelyCause cause = Diagnose(spoilt.text);
  Require(cause == spoilt.cause, "the cause of what was spoilt is found");
  Require(!IsNoTraceOfToken(cause), "what was a token is known to have been");

  DamageText(&damages, &spoilt.text);
  Diagnose(spoilt.text);
}

void Run(Input input) {
  if (input.Byte() != 0) {
    CheckSpoilt(&input);
  } else {
    Diagnose(std::string(AsText(input.rest())));
  }
}

}  // namespace
}  // namespace fernet::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data,
                                      std::size_t size) {
  fernet::fuzz::Run(fernet::fuzz::Input({data, size}));
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t *data,
                                               std::size_t size,
                                               std::size_t most,
                                               unsigned int seed) {
  using namespace fernet::fuzz;
  // Other inputs have no text.
  const bool has_text = size > 0 && data[0] == 0;
  return MutateTail(data, size, most, has_text ? seed : 0, 1, MutateToken);
}
