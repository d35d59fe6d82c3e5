// Blind indexes of values, for SQL functions, triggers and jobs on columns.
#pragma once

#include "core/blind_index.hpp"
#include "pg/server/boundary.hpp"
#include "pg/session/session_keys.hpp"

namespace fernet::pg {

// BlindIndexForm is what the blind indexes of a column have in common.
struct BlindIndexForm {
  const varlena *context = nullptr;  // in UTF-8
  std::size_t size = 0;              // in bytes, of an index
};

// MakeBlindIndexForm is the form for `context`, a text, and a size in bits.
// Raises 22023 for a number of bits that no blind index has, and 22021 for a
// context without a UTF-8 form. The context stays the caller's, or is a new
// value in the current memory context.
BlindIndexForm MakeBlindIndexForm(varlena *context, std::int32_t bits);

// BlindIndexOf is the blind index of the bytes of `plaintext` under the key at
// `key_index`, a new value. Raises a failure of libcrypto.
varlena *BlindIndexOf(const IndexKeys &keys, std::uint32_t key_index,
                      const BlindIndexForm &form, const varlena *plaintext);

}  // namespace fernet::pg
