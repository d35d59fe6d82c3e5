#include "pg/value/cause.hpp"

#include <algorithm>

#include "core/ascii.hpp"
#include "core/diagnosis.hpp"
#include "pg/report/report.hpp"

namespace fernet::pg {
namespace {

// Advise says what has probably happened to a value that is not a token.
const char *Advise(LikelyCause cause) {
  switch (cause) {
    case LikelyCause::kPlaintext:
      return "The value is probably a plaintext that was never encrypted.";
    case LikelyCause::kEmpty:
      return "The value is empty.";
    case LikelyCause::kTruncated:
      return "The value begins like a token and was probably cut, for example "
             "by a varchar(n) that is too short.";
    case LikelyCause::kDamaged:
      return "The value begins like a token and was probably changed "
             "afterwards.";
    case LikelyCause::kWhiteSpaceInside:
      return "The value is probably a token that was broken into lines. Remove "
             "the white space.";
    case LikelyCause::kStandardAlphabet:
      return "The value is probably a token in the standard base64 alphabet. "
             "Translate \"+/\" to \"-_\".";
    case LikelyCause::kUrlEncoded:
      return "The value is probably a token that was encoded for a URL. Decode "
             "it.";
    case LikelyCause::kBase64Twice:
      return "The value is probably a token that was encoded in base64 twice. "
             "Decode it once.";
    case LikelyCause::kHex:
      return "The value is probably a token that was kept as bytea and written "
             "as hexadecimal text. Decode it.";
    case LikelyCause::kQuoted:
      return "The value is probably a token between quotes, as in a JSON "
             "string. Take it out, for example with ->> or #>> '{}'.";
    case LikelyCause::kBytesLiteral:
      return "The value is probably a token as Python prints bytes, b'...'. "
             "The application must decode it to text before it stores it.";
    case LikelyCause::kFernetPrefix:
      return "An application put \"fernet:\" before the token. Pass what "
             "follows.";
    case LikelyCause::kEncFernetPrefix:
      return "An application put \"enc:fernet:\" and the name of a key before "
             "the base64 of the token. Decode that base64 and pass the result.";
    case LikelyCause::kEncryptedPrefix:
      return "The value is Fernet256, a format of another product with a key "
             "for each value. No Fernet key decrypts it.";
    case LikelyCause::kKey:
      return "The value is a Fernet key, not a token. Do not store keys in a "
             "table.";
  }
  return "";
}

// WordFor is the short word for a cause, the same in every version.
const char *WordFor(LikelyCause cause) {
  switch (cause) {
    case LikelyCause::kPlaintext:
      return "plaintext";
    case LikelyCause::kEmpty:
      return "empty";
    case LikelyCause::kTruncated:
      return "truncated";
    case LikelyCause::kDamaged:
      return "damaged";
    case LikelyCause::kWhiteSpaceInside:
      return "white space";
    case LikelyCause::kStandardAlphabet:
      return "standard alphabet";
    case LikelyCause::kUrlEncoded:
      return "url encoded";
    case LikelyCause::kBase64Twice:
      return "base64 twice";
    case LikelyCause::kHex:
      return "hex";
    case LikelyCause::kQuoted:
      return "json string";
    case LikelyCause::kBytesLiteral:
      return "bytes repr";
    case LikelyCause::kFernetPrefix:
    case LikelyCause::kEncFernetPrefix:
      return "prefix";
    case LikelyCause::kEncryptedPrefix:
      return "other format";
    case LikelyCause::kKey:
      return "a key";
  }
  return "";
}

// CauseAround is for a token that stands in the value as it is.
Cause CauseAround(std::span<const char> value, const Place &place) {
  const auto trimmed = TrimSpace(value);
  const auto before = static_cast<std::size_t>(trimmed.data() - value.data());
  const auto rest = value.subspan(place.offset + place.size);
  const auto after = TrimSpace(rest);
  const bool only_padding =
      std::ranges::all_of(after, [](char c) { return c == '='; });
  if (place.offset == before && only_padding) {
    return {"unpadded",
            "The value is a token with the wrong number of \"=\" at its end. "
            "Other libraries refuse it."};
  }
  if (place.offset == before) {
    return {"trailing characters",
            "The value is a token with something after it. Other libraries "
            "refuse it. Remove what follows."};
  }
  if (only_padding) {
    return {"prefix",
            "Something stands before the token. Pass the token alone."};
  }
  return {"inside", "The value holds a token. Take it out."};
}

}  // namespace

Cause CauseOf(std::span<const char> value, const TokenTraces &traces) {
  const LikelyCause cause = DiagnoseNonToken(value);
  const bool is_named = !IsNoTraceOfToken(cause) &&
                        cause != LikelyCause::kTruncated &&
                        cause != LikelyCause::kDamaged &&
                        cause != LikelyCause::kWhiteSpaceInside &&
                        cause != LikelyCause::kStandardAlphabet;
  if (traces.status == Status::kTooManyCandidates) {
    return {"too many candidates",
            "Too much in the value looks like a token to try it all."};
  }
  if (traces.has_token() && !is_named) {
    const Place &place = traces.first;
    if (place.decodings == 0) {
      return CauseAround(value, place);
    }
    return place.layers[0].encoding == Encoding::kHex
               ? Cause{"hex", Advise(LikelyCause::kHex)}
               : Cause{"base64 twice", Advise(LikelyCause::kBase64Twice)};
  }
  if (traces.remnants > 0 && IsNoTraceOfToken(cause)) {
    return {"damaged",
            "The value holds the beginning of a token that was cut "
            "or changed."};
  }
  return {WordFor(cause), Advise(cause)};
}

const char *ExplainNonToken(const SessionKeys &keys, const varlena *value,
                            const Outcome &outcome) {
  const auto text = ViewText(value);
  const Cause cause = CauseOf(text, TraceTokens(keys, value));
  return psprintf("%s %s (Cause: %s.)", TokenDefect(outcome), cause.advice,
                  cause.word);
}

void ReportFailure(const Outcome &outcome, const SessionKeys &keys,
                   const varlena *value) {
  if (IsMalformedToken(outcome.status)) {
    ReportMalformed(ExplainNonToken(keys, value, outcome));
  }
  ReportTokenFailure(outcome, *keys.list);
}

}  // namespace fernet::pg
