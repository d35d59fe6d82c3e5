// What a value is, decided in one place for all that ask.
#pragma once

#include "core/token.hpp"
#include "pg/server/boundary.hpp"
#include "pg/session/session_keys.hpp"

namespace fernet::pg {

// Verdict is what a value is, under the keys of a session or without any.
struct Verdict {
  enum Kind {
    kMalformed,   // no token; `outcome` says what is wrong with it
    kOpened,      // a token that the key at `key_index` decrypts
    kUnknownKey,  // a token that no key of the session decrypts
    kNoKey,       // a token, and the session has no key to try
  };
  Kind kind;
  Outcome outcome;              // kOk for kOpened and kNoKey
  std::uint32_t key_index = 0;  // from 0, for kOpened

  bool opened() const { return kind == kOpened; }
};

// JudgeValue judges `value` under `keys`, whose members are null without a key.
// It loads the token into `*reader`, made with MayGoOn, but does not decrypt
// it: of a genuine token, it looks at the padding. Raises what became of
// libcrypto, which says nothing about the value, and a pending interrupt.
Verdict JudgeValue(const SessionKeys &keys, const varlena *value,
                   TokenReader *reader);

// JudgeToRotate is JudgeValue for a caller who decrypts the token next unless
// the first key does: it leaves the padding under another key to that.
Verdict JudgeToRotate(const SessionKeys &keys, const varlena *value,
                      TokenReader *reader);

// MayBePlaintext says whether a value that is kMalformed has no trace of a
// token, so that one may take it for a plaintext.
bool MayBePlaintext(const varlena *value);

}  // namespace fernet::pg
