// What a job on a column makes of one value.
#pragma once

#include "pg/server/boundary.hpp"
#include "pg/session/session_keys.hpp"
#include "pg/value/reason.hpp"

namespace fernet::pg {

// OnPlaintext is what a rotation does with a value that is no token.
enum class OnPlaintext { kFail, kLeave, kEncrypt };

// ValueRule is what a job makes of values.
struct ValueRule {
  enum Direction { kRotate, kDecrypt };
  Direction direction = kRotate;
  OnPlaintext on_plaintext = OnPlaintext::kFail;  // for kRotate
  SessionKeys keys;
};

// ValueChange is what has become of one value.
struct ValueChange {
  enum Kind {
    kChanged,    // there is a new value
    kUnchanged,  // it is already as the job would have it
    kPlaintext,  // no token, and left as it is
    kFailed,     // see reason
  };
  Kind kind;
  Reason reason = Reason::kMalformed;
  varlena *value = nullptr;  // for kChanged, in the current memory context
  bool was_plaintext = false;
};

// ChangeValue applies `rule` to `value`, of a column of text if `is_text` and
// else of bytea, that holds `max_characters` at the most, or any number if 0.
//
// What holds a token in some form and is none (see core/diagnosis.hpp), or is a
// token that no key opens, is kFailed whatever the rule: never encrypt what
// failed to decrypt.
//
// Raises what became of libcrypto, which has nothing to do with the value.
ValueChange ChangeValue(const ValueRule &rule, const varlena *value,
                        bool is_text, int max_characters);

}  // namespace fernet::pg
