// SQL function fernet_is_token.

#include "pg/server/boundary.hpp"
#include "pg/value/token_value.hpp"

// fernet_is_token(value text or bytea) returns boolean
FERNET_SQL_FUNCTION(fernet_is_token) {
  namespace pg = fernet::pg;
  fernet::TokenReader reader(pg::MayGoOn);
  PG_RETURN_BOOL(pg::LoadValue(PG_GETARG_VARLENA_PP(0), &reader).ok());
}
