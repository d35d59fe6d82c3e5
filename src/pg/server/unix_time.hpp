// Between PostgreSQL's timestamps, microseconds since 2000, and those of
// tokens, seconds since 1970.
#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg {

// UnixSecondsToTimestamp stores the timestamp of `seconds` since 1970, and
// returns false where PostgreSQL has none: after the year 294276.
bool UnixSecondsToTimestamp(std::uint64_t seconds, TimestampTz *out);

// TimestampToUnixSeconds rounds down, for times before 1970 too. `time` is
// finite.
std::int64_t TimestampToUnixSeconds(TimestampTz time);

// UnixSecondsNow is the clock, in seconds since 1970.
std::int64_t UnixSecondsNow();

}  // namespace fernet::pg
