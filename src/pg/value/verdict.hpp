// What a value is, decided in one place for all callers.
#pragma once

#include "core/token.hpp"
#include "pg/server/boundary.hpp"
#include "pg/session/session_keys.hpp"
#include "pg/value/token_places.hpp"

namespace fernet::pg {

// Verdict says what a value is, with the keys of a session or without keys.
struct Verdict {
  enum Kind {
    kMalformed,   // not a token; `outcome` says why
    kOpened,      // a token that the key at `key_index` decrypts
    kUnknownKey,  // a token that no key of the session decrypts
    kKeyMissing,  // a token, but the session has no key to try
  };
  Kind kind;
  Outcome outcome;              // kOk for kOpened and kKeyMissing
  std::uint32_t key_index = 0;  // from 0, for kOpened

  bool opened() const { return kind == kOpened; }
};

// JudgeValue judges `value` with `keys`, whose members are null without a key.
// It loads the token into `*reader`, which was made with MayGoOn. It does not
// decrypt the token; if the HMAC is genuine, it checks the padding. Raises a
// failure of libcrypto, which says nothing about the value, and a pending
// interrupt.
Verdict JudgeValue(const SessionKeys &keys, const varlena *value,
                   TokenReader *reader);

// JudgeToRotate is JudgeValue for a caller that will decrypt the token unless
// it is encrypted with the first key: it leaves the check of the padding to
// that.
Verdict JudgeToRotate(const SessionKeys &keys, const varlena *value,
                      TokenReader *reader);

// MayBePlaintext says whether a value that is kMalformed, in which `traces`
// were found, has no trace of a token, so that it may be taken for a plaintext.
bool MayBePlaintext(const varlena *value, const TokenTraces &traces);

}  // namespace fernet::pg
