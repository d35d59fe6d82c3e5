// SQL function fernet_rotate, for one token.

#include "pg/report/events.hpp"
#include "pg/server/boundary.hpp"
#include "pg/session/session_keys.hpp"
#include "pg/value/cause.hpp"
#include "pg/value/rotation.hpp"

// fernet_rotate(token text) returns text
// fernet_rotate(token bytea) returns bytea
FERNET_SQL_FUNCTION(fernet_rotate) {
  namespace pg = fernet::pg;
  const pg::SessionKeys keys = pg::session_keys::Current();
  varlena *const token = PG_GETARG_VARLENA_PP(0);
  varlena *rotated = nullptr;
  const pg::RotationResult result = pg::RotateValue(keys, token, &rotated);
  switch (result.kind) {
    case pg::RotationResult::kRotated:
      pg::events::Used(pg::counters::kRotated, "rotate", keys.list->keys()[0]);
      PG_RETURN_POINTER(rotated);
    case pg::RotationResult::kUnchanged:
      PG_RETURN_POINTER(token);
    case pg::RotationResult::kFailed:
      break;
  }
  pg::events::Failed("rotate", result.outcome.status);
  pg::ReportFailure(result.outcome, keys, token);
}
