// SQL functions that make tokens: fernet_encrypt, fernet_rotate.

#include "pg/boundary.hpp"
#include "pg/events.hpp"
#include "pg/report.hpp"
#include "pg/session_keys.hpp"
#include "pg/text_encoding.hpp"
#include "pg/token_arguments.hpp"
#include "pg/token_value.hpp"

// fernet_encrypt(plaintext text, at timestamptz DEFAULT NULL) returns text
FERNET_SQL_FUNCTION(fernet_encrypt_text) {
  namespace pg = fernet::pg;
  if (PG_ARGISNULL(0)) {
    PG_RETURN_NULL();
  }
  // What may fail comes before there is a copy of the plaintext.
  static_cast<void>(pg::session_keys::Current());
  const std::uint64_t timestamp = pg::ReadTimestamp(fcinfo, 1);
  text *const plaintext = PG_GETARG_TEXT_PP(0);
  varlena *const utf8 = pg::TextToUtf8(plaintext);
  varlena *const token = pg::EncryptValue(utf8, timestamp);
  pg::WipeAndFree(utf8, plaintext);
  pg::WipeAndFree(plaintext, PG_GETARG_POINTER(0));
  PG_RETURN_TEXT_P(token);
}

// fernet_encrypt(plaintext bytea, at timestamptz DEFAULT NULL) returns text
FERNET_SQL_FUNCTION(fernet_encrypt_bytea) {
  namespace pg = fernet::pg;
  if (PG_ARGISNULL(0)) {
    PG_RETURN_NULL();
  }
  const std::uint64_t timestamp = pg::ReadTimestamp(fcinfo, 1);
  bytea *const plaintext = PG_GETARG_BYTEA_PP(0);
  varlena *const token = pg::EncryptValue(plaintext, timestamp);
  pg::WipeAndFree(plaintext, PG_GETARG_POINTER(0));
  PG_RETURN_TEXT_P(token);
}

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
      pg::events::Used(pg::counters::kRotated, "rotate", keys, 0);
      PG_RETURN_POINTER(rotated);
    case pg::RotationResult::kUnchanged:
      PG_RETURN_POINTER(token);
    case pg::RotationResult::kFailed:
      break;
  }
  pg::events::Failed("rotate", result.outcome.status);
  pg::ReportTokenFailure(result.outcome, keys, 0, {});
}
