// What the SQL functions and the rotation of a column do with one value, short
// of raising an error.
#pragma once

#include "core/token.hpp"
#include "pg/server/boundary.hpp"
#include "pg/server/interrupts.hpp"
#include "pg/session/session_keys.hpp"
#include "pg/value/token_arguments.hpp"

namespace fernet::pg {

// EncryptValue makes a token of the bytes of `plaintext` under the first key of
// the session. Raises PF001 without one, and 54000 for more than a token holds.
varlena *EncryptValue(const varlena *plaintext, std::uint64_t timestamp);

// The readers of these are made with MayGoOn; then none of these returns
// kStopped.

// LoadValue is TokenReader::Load, LoadValueToRead its LoadToRead.
Outcome LoadValue(const varlena *value, TokenReader *reader);
Outcome LoadValueToRead(const varlena *value, TokenReader *reader);

// FindKey is Keyring::FindKey.
Outcome FindKey(const SessionKeys &keys, TokenReader *reader,
                std::uint32_t *out_index);

// OpenLoaded decrypts the token in `*reader`, which the key at `index` opens,
// into a new value in `*out_plaintext`, null unless the Status is kOk.
Status OpenLoaded(const SessionKeys &keys, TokenReader *reader,
                  std::uint32_t index, varlena **out_plaintext);

// OpenValue is LoadValueToRead, FindKey, JudgeAge where `limit` asks for it,
// and OpenLoaded: "expired" is only ever said of a genuine token. In one call,
// a large token is decoded once.
Outcome OpenValue(const SessionKeys &keys, const varlena *value,
                  const AgeLimit &limit, TokenReader *reader,
                  std::uint32_t *out_index, varlena **out_plaintext);

}  // namespace fernet::pg
