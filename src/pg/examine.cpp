// SQL functions that tell about a token without giving its plaintext:
// fernet_timestamp, fernet_key_index, fernet_is_token.

#include "pg/boundary.hpp"
#include "pg/events.hpp"
#include "pg/report.hpp"
#include "pg/session_keys.hpp"
#include "pg/token_value.hpp"
#include "pg/unix_time.hpp"

namespace fernet::pg {
namespace {

// FindOpeningKey is FindKeyOfValue for a caller who must not call a token
// opened whose padding would make fernet_decrypt fail.
Outcome FindOpeningKey(const SessionKeys &keys, const varlena *value,
                       TokenReader *reader, std::uint32_t *out_index) {
  const Outcome outcome = FindKeyOfValue(keys, value, reader, out_index);
  return outcome.ok() ? Outcome{keys.ring->CheckPadding(*reader, *out_index)}
                      : outcome;
}

}  // namespace
}  // namespace fernet::pg

// fernet_timestamp(token text or bytea) returns timestamptz
FERNET_SQL_FUNCTION(fernet_timestamp) {
  namespace pg = fernet::pg;
  const pg::SessionKeys keys = pg::session_keys::Current();
  fernet::TokenReader reader(pg::MayGoOn);
  std::uint32_t index = 0;
  const fernet::Outcome outcome =
      pg::FindOpeningKey(keys, PG_GETARG_VARLENA_PP(0), &reader, &index);
  if (!outcome.ok()) {
    pg::events::Failed("timestamp", outcome.status);
    pg::ReportTokenFailure(outcome, keys, 0, {});
  }
  TimestampTz timestamp = 0;
  if (!pg::UnixSecondsToTimestamp(reader.timestamp(), &timestamp)) {
    pg::DropContext();
    ereport(ERROR, errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
            errmsg("timestamp of the Fernet token is out of range"),
            pg::HideStatement());
  }
  PG_RETURN_TIMESTAMPTZ(timestamp);
}

// fernet_key_index(token text or bytea) returns integer
FERNET_SQL_FUNCTION(fernet_key_index) {
  namespace pg = fernet::pg;
  const pg::SessionKeys keys = pg::session_keys::Current();
  fernet::TokenReader reader(pg::MayGoOn);
  std::uint32_t index = 0;
  const fernet::Outcome outcome =
      pg::FindOpeningKey(keys, PG_GETARG_VARLENA_PP(0), &reader, &index);
  if (outcome.ok()) {
    PG_RETURN_INT32(static_cast<int32>(index + 1));
  }
  if (outcome.status == fernet::Status::kCryptoFailed) {
    pg::ReportCryptoFailure(outcome.status);
  }
  PG_RETURN_NULL();
}

// fernet_is_token(value text or bytea) returns boolean
FERNET_SQL_FUNCTION(fernet_is_token) {
  namespace pg = fernet::pg;
  fernet::TokenReader reader(pg::MayGoOn);
  PG_RETURN_BOOL(pg::LoadValue(PG_GETARG_VARLENA_PP(0), &reader).ok());
}
