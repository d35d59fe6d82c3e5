// SQL function fernet_encrypt, for text and bytea.

#include "pg/server/boundary.hpp"
#include "pg/session/session_keys.hpp"
#include "pg/value/text_encoding.hpp"
#include "pg/value/token_arguments.hpp"
#include "pg/value/token_value.hpp"

// fernet_encrypt(plaintext text, at timestamptz DEFAULT NULL) returns text
FERNET_SQL_FUNCTION(fernet_encrypt_text) {
  namespace pg = fernet::pg;
  if (PG_ARGISNULL(0)) {
    PG_RETURN_NULL();
  }
  // Errors must come before there is a copy of the plaintext.
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
