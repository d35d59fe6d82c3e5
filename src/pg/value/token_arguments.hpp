// The arguments "ttl" and "at", which the SQL functions have in common.
#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg {

// AgeLimit is what a ttl asks of a token; see core/token.hpp, JudgeAge.
struct AgeLimit {
  bool judged = false;  // false: no ttl was given, any age will do
  std::uint64_t ttl_seconds = 0;
  std::int64_t now = 0;  // seconds since 1970
};

// ReadAgeLimit reads the arguments "ttl" and "at" at `ttl_index` and the next;
// either may be NULL. A day of a ttl is 24 hours and a month 30 days, as when
// PostgreSQL compares intervals. Raises 22023 for a ttl below zero and for an
// infinite "at".
AgeLimit ReadAgeLimit(FunctionCallInfo fcinfo, int ttl_index);

// ReadTimestamp reads the argument "at" at `index` as the timestamp of a new
// token: the clock when it is NULL. Raises 22023 before 1970 and for infinity.
std::uint64_t ReadTimestamp(FunctionCallInfo fcinfo, int index);

}  // namespace fernet::pg
