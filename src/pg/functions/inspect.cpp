// SQL function fernet_inspect: what is the matter with a value, in one row. It
// raises nothing on account of the value, whatever that is.

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

// Inspection is the result row; plain data, null where SQL shall have NULL.
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

// Advise says what has probably happened to a value that is no token.
const char *Advise(LikelyCause cause) {
  switch (cause) {
    case LikelyCause::kPlaintext:
      return "Nothing points to a token: this is probably a plaintext that was "
             "never encrypted.";
    case LikelyCause::kEmpty:
      return "It is empty.";
    case LikelyCause::kTruncated:
      return "It begins like a token and was probably cut, as by a varchar(n) "
             "that is too short.";
    case LikelyCause::kDamaged:
      return "It begins like a token and was probably changed afterwards.";
    case LikelyCause::kWhiteSpaceInside:
      return "It is probably a token that was broken into lines; remove the "
             "white space.";
    case LikelyCause::kStandardAlphabet:
      return "It is probably a token in the standard base64 alphabet; "
             "translate \"+/\" to \"-_\".";
    case LikelyCause::kUrlEncoded:
      return "It is probably a token that was encoded for a URL; decode it.";
    case LikelyCause::kBase64Twice:
      return "It is probably a token to which base64 was applied a second "
             "time; decode it once.";
    case LikelyCause::kHex:
      return "It is probably a token kept as bytea and written as text in "
             "hexadecimal; decode it.";
    case LikelyCause::kQuoted:
      return "It is probably a token between quotes, as in a JSON string; "
             "take it out, as by ->> or #>> '{}'.";
    case LikelyCause::kBytesLiteral:
      return "It is probably a token as Python prints bytes, b'...'; the "
             "application has to decode it to text before it stores it.";
    case LikelyCause::kFernetPrefix:
      return "An application has put \"fernet:\" before the token; pass what "
             "follows.";
    case LikelyCause::kEncFernetPrefix:
      return "An application has put \"enc:fernet:\" and the name of a key "
             "before the base64 of the token; pass that, decoded.";
    case LikelyCause::kEncryptedPrefix:
      return "It is Fernet256, a format of another product with a key for each "
             "value; no Fernet key opens it.";
    case LikelyCause::kKey:
      return "It is a Fernet key, not a token: a key does not belong in a "
             "table.";
  }
  return "";
}

Inspection InspectMalformed(const Outcome &outcome, const varlena *value) {
  return {.status = "malformed",
          .detail = psprintf("%s %s", TokenDefect(outcome),
                             Advise(DiagnoseNonToken(ViewText(value))))};
}

// ClaimedTime is the timestamp of a token that no key vouches for.
const char *ClaimedTime(const TokenReader &reader) {
  return psprintf("It says it was made at %s, which no key vouches for.",
                  DescribeTime(reader.timestamp()));
}

Inspection InspectUnknownKey(const SessionKeys &keys,
                             const TokenReader &reader) {
  return {.status = "unknown key",
          .detail = psprintf("No key opens it, or it was changed. %s %s",
                             TriedKeys(*keys.list), ClaimedTime(reader))};
}

// RequireCrypto raises what became of libcrypto: that says nothing about the
// value, so it must not look as if it did.
void RequireCrypto(Status status) {
  if (status == Status::kCryptoFailed) {
    ReportCryptoFailure(status);
  }
}

// SizeOfPlaintext: for its size it has to be decrypted.
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
  inspection.detail =
      index == 0 ? "Nothing to do."
                 : "It opens, and rotation brings it under the first key.";
  if (!inspection.has_created) {
    inspection.detail =
        psprintf("Its timestamp is %s.", DescribeTime(reader->timestamp()));
  }
  return inspection;
}

Inspection InspectWithoutKey(const TokenReader &reader) {
  return {.status = "no key set",
          .detail =
              psprintf("It has the form of a token. %s", ClaimedTime(reader))};
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
