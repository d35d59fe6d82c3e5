// The SQLSTATEs of the extension; docs/reference.md explains each.
#pragma once

#include "core/status.hpp"
#include "pg/server/boundary.hpp"

namespace fernet::pg {

inline constexpr int kNoKey = MAKE_SQLSTATE('P', 'F', '0', '0', '1');
inline constexpr int kMalformedKey = MAKE_SQLSTATE('P', 'F', '0', '0', '2');
inline constexpr int kMalformedToken = MAKE_SQLSTATE('P', 'F', '0', '0', '3');
inline constexpr int kNoKeyOpensToken = MAKE_SQLSTATE('P', 'F', '0', '0', '4');
inline constexpr int kTokenAge = MAKE_SQLSTATE('P', 'F', '0', '0', '5');
inline constexpr int kKeyWouldBeStored = MAKE_SQLSTATE('P', 'F', '0', '0', '6');
inline constexpr int kValuesLeft = MAKE_SQLSTATE('P', 'F', '0', '0', '7');

// FailureCode is the SQLSTATE of a token that is refused for the reason
// `status`.
int FailureCode(Status status);

}  // namespace fernet::pg
