// Values of a column that holds plaintexts or tokens, as plaintexts.
#pragma once

#include "pg/server/boundary.hpp"
#include "pg/session/session_keys.hpp"

namespace fernet::pg {

// SourceForm says how the bytes of a plaintext are to be read: as text in the
// database encoding, or as they are.
enum class SourceForm { kText, kBytes };

// PlaintextOf is what `value` stands for, in UTF-8 if it is text: `value`
// itself, or a new value for WipeAndFree. A token is decrypted with the keys of
// the session, layer by layer where its plaintext is a token that they decrypt.
// Raises PF001 and PF004 for a token, PF003 for what is left of one, and 22021
// for a text without a UTF-8 form.
varlena *PlaintextOf(varlena *value, SourceForm form);

// HasPlaintext says whether `value` stands for `plaintext`. A token that no key
// of the session decrypts does not.
bool HasPlaintext(varlena *value, SourceForm form, const varlena *plaintext);

}  // namespace fernet::pg
