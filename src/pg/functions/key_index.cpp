// SQL function fernet_key_index.

#include "pg/server/boundary.hpp"
#include "pg/server/interrupts.hpp"
#include "pg/session/session_keys.hpp"
#include "pg/value/verdict.hpp"

// fernet_key_index(token text or bytea) returns integer
FERNET_SQL_FUNCTION(fernet_key_index) {
  namespace pg = fernet::pg;
  const pg::SessionKeys keys = pg::session_keys::Current();
  fernet::TokenReader reader(pg::MayGoOn);
  const pg::Verdict verdict =
      pg::JudgeValue(keys, PG_GETARG_VARLENA_PP(0), &reader);
  if (!verdict.opened()) {
    PG_RETURN_NULL();
  }
  PG_RETURN_INT32(static_cast<int32>(verdict.key_index + 1));
}
