// Operations on one value, for the SQL functions and for jobs on columns. They
// return failures of the value instead of raising them.
#pragma once

#include "core/token.hpp"
#include "pg/server/boundary.hpp"
#include "pg/server/interrupts.hpp"
#include "pg/session/session_keys.hpp"
#include "pg/value/token_arguments.hpp"

namespace fernet::pg {

// EncryptValue encrypts the bytes of `plaintext` with the first key of the
// session. Raises PF001 without a key, and 54000 for a plaintext that is too
// large for a token.
varlena *EncryptValue(const varlena *plaintext, std::uint64_t timestamp);

// The functions below need readers that were made with MayGoOn, and never
// return kStopped.

// LoadValue is TokenReader::Load, LoadValueToRead its LoadToRead.
Outcome LoadValue(const varlena *value, TokenReader *reader);
Outcome LoadValueToRead(const varlena *value, TokenReader *reader);

// FindKey is Keyring::FindKey.
Outcome FindKey(const SessionKeys &keys, TokenReader *reader,
                std::uint32_t *out_index);

// OpenLoaded decrypts the token in `*reader` with the key at `index`, which
// FindKey found, into a new value in `*out_plaintext`. It is null unless the
// Status is kOk.
Status OpenLoaded(const SessionKeys &keys, TokenReader *reader,
                  std::uint32_t index, varlena **out_plaintext);

// OpenValue is LoadValueToRead, FindKey, JudgeAge if `limit` asks for it, and
// OpenLoaded, so that only a genuine token is called expired. In one call, a
// large token is decoded once.
Outcome OpenValue(const SessionKeys &keys, const varlena *value,
                  const AgeLimit &limit, TokenReader *reader,
                  std::uint32_t *out_index, varlena **out_plaintext);

}  // namespace fernet::pg
