// Rotation of one token.
#pragma once

#include "core/status.hpp"
#include "pg/server/boundary.hpp"
#include "pg/session/session_keys.hpp"

namespace fernet::pg {

struct RotationResult {
  enum Kind {
    kRotated,    // re-encrypted with the first key
    kUnchanged,  // encrypted with the first key already
    kFailed,     // see outcome: malformed, or no key decrypts it
  };
  Kind kind;
  Outcome outcome;
  std::uint32_t key_index = 0;  // from 0: the key that decrypts the old token
  bool holds_unknown = false;   // inside of it is a token that no key decrypts
  std::uint64_t encrypted_at = 0;  // seconds since 1970; of kRotated
};

// RotateValue re-encrypts the token `value` with the first key, keeping its
// timestamp, into a new value in `*out_rotated`, which it sets only if the
// result is kRotated. Raises a failure of libcrypto.
RotationResult RotateValue(const SessionKeys &keys, const varlena *value,
                           varlena **out_rotated);

}  // namespace fernet::pg
