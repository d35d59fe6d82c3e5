// The change that a job on a column makes to one value.
#pragma once

#include "pg/server/boundary.hpp"
#include "pg/session/session_keys.hpp"
#include "pg/value/blind_index_value.hpp"
#include "pg/value/reason.hpp"

namespace fernet::pg {

// OnPlaintext says what a rotation does with a value that is not a token.
enum class OnPlaintext { kFail, kLeave, kEncrypt };

// OnUnknown says what a rotation does with a token that no key of the session
// decrypts.
enum class OnUnknown {
  kFail,
  kLeave,      // it stays, be it the value or inside of the value
  kPlaintext,  // inside of a value it is a part of a text, as any other
};

// ValueRule says how a job changes values.
struct ValueRule {
  enum Direction {
    kRotate,
    kDecrypt,
    kIndex,  // the values are blind indexes of another column's: index_change
  };
  Direction direction = kRotate;
  OnPlaintext on_plaintext = OnPlaintext::kFail;  // for kRotate
  OnUnknown on_unknown = OnUnknown::kFail;        // for kRotate
  bool is_writing = false;    // for kRotate: the new values will be needed
  SessionKeys keys;           // for kIndex: of the tokens, or null members
  IndexKeys index_keys = {};  // for kIndex
  BlindIndexForm index_form = {};

  // made_with is the keys of which the first makes the new values.
  const KeyList &made_with() const {
    return direction == kIndex ? *index_keys.list : *keys.list;
  }
};

// ValueChange is the result for one value.
struct ValueChange {
  enum Kind {
    kChanged,    // there is a new value
    kUnchanged,  // the value needs no change
    kPlaintext,  // not a token, and left as it is
    kUnknown,    // a token that no key decrypts, or a text with one; left
    kFailed,     // see reason
  };
  Kind kind;
  Reason reason = Reason::kMalformed;
  // For kChanged, in the current memory context; null from a rotation by
  // ChangeInside, and for a blind index that becomes NULL.
  varlena *value = nullptr;
  bool was_plaintext = false;
  bool is_empty = false;        // for kUnchanged: it is and holds no token
  bool holds_unknown = false;   // is or holds a token that no key decrypts
  std::uint32_t key_index = 0;  // of a rotation: the key of the old token
  // Of a rotation: the latest time of its tokens that another key than the
  // first decrypts, in seconds since 1970.
  std::uint64_t encrypted_at = 0;
  std::size_t offset = 0;  // of the token, in bytes, for kHoldsToken
};

// ChangeValue applies `rule` to `value` of a column that is text if `is_text`
// and otherwise bytea, and that holds at most `max_characters`, or any number
// if 0.
//
// A rotation re-encrypts the tokens inside of a value that is none where they
// stand. To decrypt such a value would leave it half encrypted: it is kFailed.
// So is, whatever the rule, what is left of a token (see core/diagnosis.hpp):
// never encrypt what failed to decrypt. For a token that no key decrypts,
// `rule` says what to do.
//
// Raises a failure of libcrypto, which has nothing to do with the value.
ValueChange ChangeValue(const ValueRule &rule, const varlena *value,
                        bool is_text, int max_characters);

// ChangeInside applies `rule` to `value` of a type that IsHolder. For kChanged
// in a rotation, RotateInnerTokens makes the new value: the type, or a domain,
// may refuse it. A rule that `is_writing` makes that of a jsonb at once. To
// decrypt is for jsonb only: each of its strings is a value.
//
// Raises failures of libcrypto.
ValueChange ChangeInside(const ValueRule &rule, Datum value, Oid type);

}  // namespace fernet::pg
