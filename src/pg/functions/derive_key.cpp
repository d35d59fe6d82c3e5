// SQL functions that derive a key from a secret, as other programs do:
// fernet_key_from_hkdf, fernet_key_from_pbkdf2, fernet_key_from_sha256.

#include "core/derivation.hpp"
#include "core/key.hpp"
#include "pg/report/report.hpp"
#include "pg/server/boundary.hpp"
#include "pg/server/interrupts.hpp"
#include "pg/value/text_encoding.hpp"

namespace fernet::pg {
namespace {

// Some seconds of work, and more than other programs ask for.
constexpr int32 kMaxIterations = 10'000'000;

// Argument is an argument of type text or bytea as bytes: a text in UTF-8.
struct Argument {
  varlena *original;  // as the caller passed it
  varlena *detoasted;
  varlena *bytes;
};

enum class ArgumentType { kText, kBytea };

Argument ReadArgument(FunctionCallInfo fcinfo, int index, ArgumentType type) {
  auto *const original = reinterpret_cast<varlena *>(PG_GETARG_POINTER(index));
  varlena *const detoasted = PG_GETARG_VARLENA_PP(index);
  return {original, detoasted,
          type == ArgumentType::kText ? TextToUtf8(detoasted) : detoasted};
}

// ReadSecret is ReadArgument for "secret", which must not be empty.
Argument ReadSecret(FunctionCallInfo fcinfo, ArgumentType type) {
  const Argument secret = ReadArgument(fcinfo, 0, type);
  if (ViewBytes(secret.bytes).empty()) {
    FERNET_RAISE(ERRCODE_INVALID_PARAMETER_VALUE,
                 errmsg("\"secret\" must not be empty"));
  }
  return secret;
}

void WipeCopies(const Argument &argument) {
  WipeAndFree(argument.bytes, argument.detoasted);
  WipeAndFree(argument.detoasted, argument.original);
}

std::uint32_t ReadIterations(FunctionCallInfo fcinfo, int index) {
  const int32 iterations = PG_GETARG_INT32(index);
  if (iterations < 1 || iterations > kMaxIterations) {
    FERNET_RAISE(
        ERRCODE_INVALID_PARAMETER_VALUE,
        errmsg("\"iterations\" must be between 1 and %d", kMaxIterations));
  }
  return static_cast<std::uint32_t>(iterations);
}

// KeyText is the key that `derive` writes, as a value of type text.
template <typename Derivation>
varlena *KeyText(Derivation derive) {
  varlena *const text = AllocateValue(kEncodedKeySize);
  const Status status =
      derive(std::span<char, kEncodedKeySize>(VARDATA(text), kEncodedKeySize));
  RaiseIfStopped(status);
  if (status != Status::kOk) {
    ReportCryptoFailure(status);
  }
  return text;
}

Datum KeyFromHkdf(FunctionCallInfo fcinfo, ArgumentType type) {
  const Argument secret = ReadSecret(fcinfo, type);
  const Argument salt = ReadArgument(fcinfo, 1, type);
  const Argument info = ReadArgument(fcinfo, 2, type);
  varlena *const key = KeyText([&](auto out) noexcept {
    return DeriveByHkdf(ViewBytes(secret.bytes), ViewBytes(salt.bytes),
                        ViewBytes(info.bytes), out);
  });
  WipeCopies(secret);
  PG_RETURN_TEXT_P(key);
}

Datum KeyFromPbkdf2(FunctionCallInfo fcinfo, ArgumentType type) {
  const std::uint32_t iterations = ReadIterations(fcinfo, 2);
  const Argument secret = ReadSecret(fcinfo, type);
  const Argument salt = ReadArgument(fcinfo, 1, type);
  varlena *const key = KeyText([&](auto out) noexcept {
    return DeriveByPbkdf2(ViewBytes(secret.bytes), ViewBytes(salt.bytes),
                          iterations, MayGoOn, out);
  });
  WipeCopies(secret);
  PG_RETURN_TEXT_P(key);
}

Datum KeyFromSha256(FunctionCallInfo fcinfo, ArgumentType type) {
  const Argument secret = ReadSecret(fcinfo, type);
  varlena *const key = KeyText([&](auto out) noexcept {
    return DeriveBySha256(ViewBytes(secret.bytes), out);
  });
  WipeCopies(secret);
  PG_RETURN_TEXT_P(key);
}

}  // namespace
}  // namespace fernet::pg

// fernet_key_from_hkdf(secret text, salt text, info text) returns text
FERNET_SQL_FUNCTION(fernet_key_from_hkdf_text) {
  return fernet::pg::KeyFromHkdf(fcinfo, fernet::pg::ArgumentType::kText);
}

// fernet_key_from_hkdf(secret bytea, salt bytea, info bytea) returns text
FERNET_SQL_FUNCTION(fernet_key_from_hkdf_bytea) {
  return fernet::pg::KeyFromHkdf(fcinfo, fernet::pg::ArgumentType::kBytea);
}

// fernet_key_from_pbkdf2(secret text, salt text, iterations integer)
//     returns text
FERNET_SQL_FUNCTION(fernet_key_from_pbkdf2_text) {
  return fernet::pg::KeyFromPbkdf2(fcinfo, fernet::pg::ArgumentType::kText);
}

// fernet_key_from_pbkdf2(secret bytea, salt bytea, iterations integer)
//     returns text
FERNET_SQL_FUNCTION(fernet_key_from_pbkdf2_bytea) {
  return fernet::pg::KeyFromPbkdf2(fcinfo, fernet::pg::ArgumentType::kBytea);
}

// fernet_key_from_sha256(secret text) returns text
FERNET_SQL_FUNCTION(fernet_key_from_sha256_text) {
  return fernet::pg::KeyFromSha256(fcinfo, fernet::pg::ArgumentType::kText);
}

// fernet_key_from_sha256(secret bytea) returns text
FERNET_SQL_FUNCTION(fernet_key_from_sha256_bytea) {
  return fernet::pg::KeyFromSha256(fcinfo, fernet::pg::ArgumentType::kBytea);
}
