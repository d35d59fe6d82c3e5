// SQL function fernet_timestamp.

#include "pg/report/events.hpp"
#include "pg/report/report.hpp"
#include "pg/server/boundary.hpp"
#include "pg/server/interrupts.hpp"
#include "pg/server/unix_time.hpp"
#include "pg/session/session_keys.hpp"
#include "pg/value/cause.hpp"
#include "pg/value/verdict.hpp"

// fernet_timestamp(token text or bytea) returns timestamptz
FERNET_SQL_FUNCTION(fernet_timestamp) {
  namespace pg = fernet::pg;
  const pg::SessionKeys keys = pg::session_keys::Current();
  fernet::TokenReader reader(pg::MayGoOn);
  const varlena *const token = PG_GETARG_VARLENA_PP(0);
  const pg::Verdict verdict = pg::JudgeValue(keys, token, &reader);
  if (!verdict.opened()) {
    pg::events::Failed("timestamp", verdict.outcome.status);
    pg::ReportFailure(verdict.outcome, keys, token);
  }
  TimestampTz timestamp = 0;
  if (!pg::UnixSecondsToTimestamp(reader.timestamp(), &timestamp)) {
    FERNET_RAISE(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE,
                 errmsg("timestamp of the Fernet token is out of range"));
  }
  PG_RETURN_TIMESTAMPTZ(timestamp);
}
