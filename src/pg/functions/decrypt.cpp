// SQL functions that decrypt: fernet_decrypt, fernet_try_decrypt and their
// bytea forms. All take (token, ttl, at).

#include "pg/report/events.hpp"
#include "pg/report/report.hpp"
#include "pg/server/boundary.hpp"
#include "pg/session/session_keys.hpp"
#include "pg/value/cause.hpp"
#include "pg/value/text_encoding.hpp"
#include "pg/value/token_arguments.hpp"
#include "pg/value/token_value.hpp"

namespace fernet::pg {
namespace {

bool IsFailureOfToken(Status status) {
  return status != Status::kRandomFailed && status != Status::kCryptoFailed;
}

// OnFailure says what to do when a token cannot be decrypted.
enum class OnFailure { kRaise, kReturnNull };

// Decrypt decrypts the argument "token". It returns null for a token that it
// refuses, if `on_failure` is kReturnNull.
varlena *Decrypt(FunctionCallInfo fcinfo, OnFailure on_failure) {
  const SessionKeys keys = session_keys::Current();
  const AgeLimit limit = ReadAgeLimit(fcinfo, 1);
  const varlena *const token = PG_GETARG_VARLENA_PP(0);
  TokenReader reader(MayGoOn);
  std::uint32_t index = 0;
  varlena *plaintext = nullptr;
  const Outcome outcome =
      OpenValue(keys, token, limit, &reader, &index, &plaintext);
  if (outcome.ok()) {
    events::Used(counters::kDecrypted, "decrypt", keys.list->keys()[index]);
    return plaintext;
  }
  events::Failed("decrypt", outcome.status);
  if (on_failure == OnFailure::kReturnNull &&
      IsFailureOfToken(outcome.status)) {
    return nullptr;
  }
  if (IsMalformedToken(outcome.status)) {
    ReportFailure(outcome, keys, token);
  }
  ReportTokenFailure(outcome, *keys.list, reader.timestamp(),
                     limit.ttl_seconds);
}

Datum DecryptToText(FunctionCallInfo fcinfo, OnFailure on_failure) {
  if (PG_ARGISNULL(0)) {
    PG_RETURN_NULL();
  }
  varlena *const plaintext = Decrypt(fcinfo, on_failure);
  if (plaintext == nullptr) {
    PG_RETURN_NULL();
  }
  PG_RETURN_TEXT_P(Utf8ToText(plaintext));
}

Datum DecryptToBytea(FunctionCallInfo fcinfo, OnFailure on_failure) {
  if (PG_ARGISNULL(0)) {
    PG_RETURN_NULL();
  }
  varlena *const plaintext = Decrypt(fcinfo, on_failure);
  if (plaintext == nullptr) {
    PG_RETURN_NULL();
  }
  PG_RETURN_BYTEA_P(plaintext);
}

}  // namespace
}  // namespace fernet::pg

// fernet_decrypt(token text or bytea, ttl interval DEFAULT NULL,
//                at timestamptz DEFAULT NULL) returns text
FERNET_SQL_FUNCTION(fernet_decrypt) {
  return fernet::pg::DecryptToText(fcinfo, fernet::pg::OnFailure::kRaise);
}

// fernet_decrypt_bytea(token, ttl, at) returns bytea
FERNET_SQL_FUNCTION(fernet_decrypt_bytea) {
  return fernet::pg::DecryptToBytea(fcinfo, fernet::pg::OnFailure::kRaise);
}

// fernet_try_decrypt(token, ttl, at) returns text
FERNET_SQL_FUNCTION(fernet_try_decrypt) {
  return fernet::pg::DecryptToText(fcinfo, fernet::pg::OnFailure::kReturnNull);
}

// fernet_try_decrypt_bytea(token, ttl, at) returns bytea
FERNET_SQL_FUNCTION(fernet_try_decrypt_bytea) {
  return fernet::pg::DecryptToBytea(fcinfo, fernet::pg::OnFailure::kReturnNull);
}
