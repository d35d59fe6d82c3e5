// Values of a column that holds plaintexts or tokens, as plaintexts.
#pragma once

#include "core/status.hpp"
#include "pg/server/boundary.hpp"
#include "pg/session/session_keys.hpp"

namespace fernet::pg {

// SourceForm says how the bytes of a plaintext are to be read: as text in the
// database encoding, or as they are.
enum class SourceForm { kText, kBytes };

// Opened is a value as a plaintext, or why it is none.
struct Opened {
  enum Kind {
    kPlaintext,  // the value itself, in UTF-8 if it is text
    kDecrypted,  // it was a token
    kNoKey,      // it is or holds a token, and there is no key to try
    kUnopened,   // a token that no key decrypts; `outcome` says why
    kHolder,     // it holds a token of ours, at `offset`, and is none
    kRemnant,    // what is left of a token; `outcome` says why it is none
    kNotText,    // a text without a UTF-8 form
  };
  Kind kind;
  // For kPlaintext and kDecrypted: the value, or a new one for WipeAndFree.
  varlena *plaintext = nullptr;
  Outcome outcome = {};
  std::size_t offset = 0;  // in bytes
};

// OpenValueOf opens `value` with `keys`, whose members may be null, and counts
// nothing. A token is decrypted layer by layer where its plaintext is a token
// that the keys decrypt. Raises failures of libcrypto.
Opened OpenValueOf(const SessionKeys &keys, varlena *value, SourceForm form);

// PlaintextOf is what `value` stands for, in UTF-8 if it is text: `value`
// itself, or a new value for WipeAndFree. A token is decrypted with the keys of
// the session, layer by layer where its plaintext is a token that they decrypt.
// Raises PF001 and PF004 for a token, PF003 for what holds one or is left of
// one, and 22021 for a text without a UTF-8 form.
varlena *PlaintextOf(varlena *value, SourceForm form);

// HasPlaintext says whether `value` stands for `plaintext`. A token that no key
// of the session decrypts does not.
bool HasPlaintext(varlena *value, SourceForm form, const varlena *plaintext);

}  // namespace fernet::pg
