// SQL function fernet_inspect: the diagnosis of a value, in one row. No value
// makes it raise an error.

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

Inspection InspectMalformed(const Outcome &outcome, const varlena *value) {
  return {.status = "malformed",
          .detail = psprintf("%s %s", TokenDefect(outcome),
                             Advise(DiagnoseNonToken(ViewText(value))))};
}

// ClaimedTime is the timestamp of a token whose HMAC no key has verified.
const char *ClaimedTime(const TokenReader &reader) {
  return psprintf("Its timestamp (not verified) is %s.",
                  DescribeTime(reader.timestamp()));
}

Inspection InspectUnknownKey(const SessionKeys &keys,
                             const TokenReader &reader) {
  return {.status = "unknown key",
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

Inspection InspectOpened(const SessionKeys &keys, TokenReader *reader,
                         std::uint32_t index) {
  Inspection inspection = {
      .status = index == 0 ? "primary" : "secondary",
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
  return inspection;
}

Inspection InspectWithoutKey(const TokenReader &reader) {
  return {.status = "no key set",
          .detail = psprintf("The value has the form of a token. %s",
                             ClaimedTime(reader))};
}

Inspection Inspect(const varlena *value) {
  const SessionKeys keys = session_keys::CurrentOrNone();
  TokenReader reader(MayGoOn);
  const Verdict verdict = JudgeValue(keys, value, &reader);
  switch (verdict.kind) {
    case Verdict::kMalformed:
      return InspectMalformed(verdict.outcome, value);
    case Verdict::kOpened:
      return InspectOpened(keys, &reader, verdict.key_index);
    case Verdict::kUnknownKey:
      return InspectUnknownKey(keys, reader);
    case Verdict::kNoKey:
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

// fernet_inspect(token text or bytea, OUT status text, OUT detail text,
//     OUT key_index integer, OUT fingerprint text, OUT created timestamptz,
//     OUT payload_bytes integer)
FERNET_SQL_FUNCTION(fernet_inspect) {
  namespace pg = fernet::pg;
  return pg::AsResult(fcinfo, pg::Inspect(PG_GETARG_VARLENA_PP(0)));
}
