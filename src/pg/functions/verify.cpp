// SQL function fernet_verify.

#include "pg/report/events.hpp"
#include "pg/server/boundary.hpp"
#include "pg/server/interrupts.hpp"
#include "pg/session/session_keys.hpp"
#include "pg/value/token_arguments.hpp"
#include "pg/value/verdict.hpp"

// fernet_verify(token, ttl, at) returns boolean
FERNET_SQL_FUNCTION(fernet_verify) {
  namespace pg = fernet::pg;
  if (PG_ARGISNULL(0)) {
    PG_RETURN_NULL();
  }
  const pg::SessionKeys keys = pg::session_keys::Current();
  const pg::AgeLimit limit = pg::ReadAgeLimit(fcinfo, 1);
  fernet::TokenReader reader(pg::MayGoOn);
  fernet::Outcome outcome =
      pg::JudgeValue(keys, PG_GETARG_VARLENA_PP(0), &reader).outcome;
  if (outcome.ok() && limit.judged) {
    outcome = {
        fernet::JudgeAge(reader.timestamp(), limit.ttl_seconds, limit.now)};
  }
  if (!outcome.ok()) {
    pg::events::Failed("verify", outcome.status);
  }
  PG_RETURN_BOOL(outcome.ok());
}
