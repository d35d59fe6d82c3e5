// What the SQL functions and the rotation of a column do with one value, short
// of raising an error.
#pragma once

#include "core/token.hpp"
#include "pg/boundary.hpp"
#include "pg/interrupts.hpp"
#include "pg/session_keys.hpp"
#include "pg/token_arguments.hpp"

namespace fernet::pg {

// EncryptValue makes a token of the bytes of `plaintext` under the first key of
// the session. Raises PF001 without one, and 54000 for more than a token holds.
varlena *EncryptValue(const varlena *plaintext, std::uint64_t timestamp);

// The readers of these are made with MayGoOn; then none of these returns
// kStopped.

// LoadValue is TokenReader::Load.
Outcome LoadValue(const varlena *value, TokenReader *reader);

// FindKey is Keyring::FindKey.
Outcome FindKey(const SessionKeys &keys, TokenReader *reader,
                std::uint32_t *out_index);

// FindKeyOfValue loads `value` into `*reader` and finds the key that opens it.
Outcome FindKeyOfValue(const SessionKeys &keys, const varlena *value,
                       TokenReader *reader, std::uint32_t *out_index);

// OpenLoaded decrypts the token in `*reader`, which the key at `index` opens,
// into a new value in `*out_plaintext`, null unless the Status is kOk.
Status OpenLoaded(const SessionKeys &keys, TokenReader *reader,
                  std::uint32_t index, varlena **out_plaintext);

// OpenValue is FindKeyOfValue, OpenLoaded and in between JudgeAge, where
// `limit` asks for it: so "expired" is only ever said of a genuine token. In
// one, a large token is decoded once.
Outcome OpenValue(const SessionKeys &keys, const varlena *value,
                  const AgeLimit &limit, TokenReader *reader,
                  std::uint32_t *out_index, varlena **out_plaintext);

struct RotationResult {
  enum Kind {
    kRotated,    // re-encrypted under the first key
    kUnchanged,  // under the first key already
    kFailed,     // see outcome
  };
  Kind kind;
  Outcome outcome;
};

// RotateValue re-encrypts the token `value` under the first key, keeping its
// timestamp, into a new value in `*out_rotated`. `*out_rotated` is left alone
// unless the result is kRotated.
RotationResult RotateValue(const SessionKeys &keys, const varlena *value,
                           varlena **out_rotated);

}  // namespace fernet::pg
