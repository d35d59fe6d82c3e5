// Conversions between PostgreSQL's timestamps, microseconds since 2000, and
// those of tokens, seconds since 1970.
#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg {

// UnixSecondsToTimestamp stores the timestamp of `seconds` since 1970. It
// returns false after the year 294276, where PostgreSQL has no timestamp.
bool UnixSecondsToTimestamp(std::uint64_t seconds, TimestampTz *out);

// TimestampToUnixSeconds rounds down, before 1970 too. `time` must be finite.
std::int64_t TimestampToUnixSeconds(TimestampTz time);

// UnixSecondsNow reads the clock, in seconds since 1970.
std::int64_t UnixSecondsNow();

}  // namespace fernet::pg
