// The arguments "ttl" and "at", which many SQL functions share.
#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg {

// AgeLimit is what a ttl requires of a token; see JudgeAge in core/token.hpp.
struct AgeLimit {
  bool judged = false;  // false: no ttl was given, any age is valid
  std::uint64_t ttl_seconds = 0;
  std::int64_t now = 0;  // seconds since 1970
};

// ReadAgeLimit reads the arguments "ttl", at `ttl_index`, and "at", after it;
// either may be NULL. A day of a ttl is 24 hours and a month 30 days, as when
// PostgreSQL compares intervals. Raises 22023 for a ttl below zero and for an
// infinite "at".
AgeLimit ReadAgeLimit(FunctionCallInfo fcinfo, int ttl_index);

// ReadTimestamp reads the argument "at" at `index` as the timestamp of a new
// token, or the clock if it is NULL. Raises 22023 before 1970 and for infinity.
std::uint64_t ReadTimestamp(FunctionCallInfo fcinfo, int index);

}  // namespace fernet::pg
