// SQL function fernet_inspect: the diagnosis of a value, in one row. No value
// makes it raise an error.

#include <algorithm>

#include "core/ascii.hpp"
#include "core/diagnosis.hpp"
#include "pg/report/report.hpp"
#include "pg/server/boundary.hpp"
#include "pg/server/result_rows.hpp"
#include "pg/server/unix_time.hpp"
#include "pg/session/session_keys.hpp"
#include "pg/value/token_value.hpp"
#include "pg/value/verdict.hpp"

namespace fernet::pg {
namespace {

// Inspection is the result row: plain data, null where SQL gets NULL.
struct Inspection {
  const char *status;
  const char *cause;
  const char *detail = nullptr;
  std::uint32_t key_index = 0;
  const Key *key = nullptr;
  bool has_created = false;
  TimestampTz created = 0;
  bool has_size = false;
  std::size_t payload_bytes = 0;
};

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

// Finding is what inspect says of a value that is not a token.
struct Finding {
  const char *cause;
  const char *advice;
};

// FindingAround is for a token that stands in the value as it is.
Finding FindingAround(std::span<const char> value, const Place &place) {
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

Finding Find(std::span<const char> value, const TokenTraces &traces) {
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
      return FindingAround(value, place);
    }
    return place.layers[0].encoding == Encoding::kHex
               ? Finding{"hex", Advise(LikelyCause::kHex)}
               : Finding{"base64 twice", Advise(LikelyCause::kBase64Twice)};
  }
  if (traces.remnants > 0 && IsNoTraceOfToken(cause)) {
    return {"damaged",
            "The value holds the beginning of a token that was cut "
            "or changed."};
  }
  return {WordFor(cause), Advise(cause)};
}

// WhoDecrypts says which key decrypts the token at `place`.
const char *WhoDecrypts(const Place &place) {
  if (place.kind == Place::kOpened) {
    return psprintf("key %u decrypts it", place.key_index + 1);
  }
  return place.kind == Place::kNotTried ? "there is no key to try"
                                        : "no key of the session decrypts it";
}

Inspection InspectMalformed(const SessionKeys &keys, const Outcome &outcome,
                            const varlena *value) {
  const auto text = ViewText(value);
  const TokenTraces traces = TraceTokens(keys, value);
  const Finding finding = Find(text, traces);
  const bool is_empty = TrimSpace(text).empty();
  Inspection inspection = {
      .status = is_empty ? "empty" : "malformed",
      .cause = finding.cause,
      .detail = psprintf("%s %s", TokenDefect(outcome), finding.advice)};
  if (traces.has_token()) {
    inspection.detail =
        psprintf("%s A token begins at offset %zu; %s.", inspection.detail,
                 OffsetInValue(text, traces.first), WhoDecrypts(traces.first));
  }
  return inspection;
}

// ClaimedTime is the timestamp of a token whose HMAC no key has verified.
const char *ClaimedTime(const TokenReader &reader) {
  return psprintf("Its timestamp (not verified) is %s.",
                  DescribeTime(reader.timestamp()));
}

Inspection InspectUnknownKey(const SessionKeys &keys,
                             const TokenReader &reader) {
  return {.status = "unknown key",
          .cause = "unknown key",
          .detail = psprintf("No key of the session decrypts the token, or the "
                             "token was changed. %s %s",
                             ClaimedTime(reader), TriedKeys(*keys.list))};
}

// RequireCrypto raises a failure of libcrypto: such a failure says nothing
// about the value, and the result must not look as if it did.
void RequireCrypto(Status status) {
  if (status == Status::kCryptoFailed) {
    ReportCryptoFailure(status);
  }
}

// SizeOfPlaintext stores the size of the plaintext, for which it decrypts the
// token. Returns false when the padding is wrong.
bool SizeOfPlaintext(const SessionKeys &keys, TokenReader *reader,
                     std::uint32_t index, std::size_t *out_size) {
  varlena *plaintext = nullptr;
  const Status status = OpenLoaded(keys, reader, index, &plaintext);
  RequireCrypto(status);
  if (status != Status::kOk) {
    return false;
  }
  *out_size = VARSIZE_ANY_EXHDR(plaintext);
  OPENSSL_cleanse(VARDATA_ANY(plaintext), *out_size);
  pfree(plaintext);
  return true;
}

// InspectForm adds what is unusual about the form of a token that a key
// decrypts.
void InspectForm(const varlena *value, Inspection *inspection) {
  const auto text = ViewText(value);
  const auto token = TrimSpace(text);
  if (token.size() % 4 != 0) {
    inspection->cause = "unpadded";
    inspection->detail = psprintf(
        "%s The \"=\" at its end are missing; other libraries refuse "
        "it.",
        inspection->detail);
  } else if (token.size() != text.size()) {
    inspection->cause = "trailing characters";
    inspection->detail =
        psprintf("%s White space stands around it; some libraries refuse it.",
                 inspection->detail);
  }
}

void InspectInside(const TokenTraces &inside, Inspection *inspection) {
  if (inside.status == Status::kTooManyCandidates) {
    inspection->cause = "too many candidates";
    inspection->detail =
        "Too much in the plaintext looks like a token to try it all.";
  } else if (inside.has_token()) {
    inspection->cause = "encrypted twice";
    inspection->detail = psprintf(
        "The plaintext holds another token; %s.%s", WhoDecrypts(inside.first),
        inside.secondary > 0
            ? " Rotation re-encrypts every layer with the first key."
            : "");
  }
}

Inspection InspectOpened(const SessionKeys &keys, const varlena *value,
                         TokenReader *reader, std::uint32_t index) {
  Inspection inspection = {
      .status = index == 0 ? "primary" : "secondary",
      .cause = "ok",
      .key_index = index + 1,
      .key = &keys.list->keys()[index],
  };
  if (!SizeOfPlaintext(keys, reader, index, &inspection.payload_bytes)) {
    return InspectUnknownKey(keys, *reader);
  }
  inspection.has_size = true;
  inspection.has_created =
      UnixSecondsToTimestamp(reader->timestamp(), &inspection.created);
  inspection.detail = index == 0
                          ? "Nothing to do."
                          : "A later key of the list decrypts the token. "
                            "Rotation re-encrypts it with the first key.";
  if (!inspection.has_created) {
    inspection.detail =
        psprintf("Its timestamp is %s.", DescribeTime(reader->timestamp()));
  }
  InspectForm(value, &inspection);
  InspectInside(TraceTokensInside(keys, reader, index), &inspection);
  return inspection;
}

Inspection InspectWithoutKey(const TokenReader &reader) {
  return {.status = "no key set",
          .cause = "no key set",
          .detail = psprintf("The value has the form of a token. %s",
                             ClaimedTime(reader))};
}

Inspection Inspect(const varlena *value) {
  const SessionKeys keys = session_keys::CurrentOrNone();
  TokenReader reader(MayGoOn);
  const Verdict verdict = JudgeValue(keys, value, &reader);
  switch (verdict.kind) {
    case Verdict::kMalformed:
      return InspectMalformed(keys, verdict.outcome, value);
    case Verdict::kOpened:
      return InspectOpened(keys, value, &reader, verdict.key_index);
    case Verdict::kUnknownKey:
      return InspectUnknownKey(keys, reader);
    case Verdict::kKeyMissing:
      break;
  }
  return InspectWithoutKey(reader);
}

void AddKey(ResultRow *row, const Inspection &inspection) {
  if (inspection.key == nullptr) {
    row->Null();
    row->Null();
    return;
  }
  FingerprintText fingerprint;
  row->Int(static_cast<std::int32_t>(inspection.key_index));
  row->Text(Fingerprint(*inspection.key, &fingerprint) == Status::kOk
                ? fingerprint.data()
                : nullptr);
}

Datum AsResult(FunctionCallInfo fcinfo, const Inspection &inspection) {
  ResultRow row;
  row.Text(inspection.status);
  row.Text(inspection.cause);
  row.Text(inspection.detail);
  AddKey(&row, inspection);
  if (inspection.has_created) {
    row.Time(inspection.created);
  } else {
    row.Null();
  }
  if (inspection.has_size) {
    row.Int(static_cast<std::int32_t>(inspection.payload_bytes));
  } else {
    row.Null();
  }
  return row.AsResult(fcinfo);
}

}  // namespace
}  // namespace fernet::pg

// fernet_inspect(token text or bytea, OUT status text, OUT cause text,
//     OUT detail text, OUT key_index integer, OUT fingerprint text,
//     OUT created timestamptz, OUT payload_bytes integer)
FERNET_SQL_FUNCTION(fernet_inspect) {
  namespace pg = fernet::pg;
  return pg::AsResult(fcinfo, pg::Inspect(PG_GETARG_VARLENA_PP(0)));
}
