// SQL function fernet_inspect: the diagnosis of a value, in one row. No value
// makes it raise an error.

#include "core/ascii.hpp"
#include "pg/report/report.hpp"
#include "pg/server/boundary.hpp"
#include "pg/server/result_rows.hpp"
#include "pg/server/unix_time.hpp"
#include "pg/session/session_keys.hpp"
#include "pg/value/cause.hpp"
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
  const Cause cause = CauseOf(text, traces);
  const bool is_empty = TrimSpace(text).empty();
  Inspection inspection = {
      .status = is_empty ? "empty" : "malformed",
      .cause = cause.word,
      .detail = psprintf("%s %s", TokenDefect(outcome), cause.advice)};
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
