#include "pg/value/token_arguments.hpp"

#include <limits>

#include "pg/server/raise.hpp"
#include "pg/server/unix_time.hpp"

namespace fernet::pg {
namespace {

// TtlSeconds is `ttl` in whole seconds, rounded down: times are compared in
// whole seconds, so a fraction decides nothing.
std::int64_t TtlSeconds(const Interval *ttl) {
  const std::int64_t days =
      std::int64_t{ttl->month} * DAYS_PER_MONTH + std::int64_t{ttl->day};
  const std::int64_t seconds =
      ttl->time / USECS_PER_SEC - (ttl->time % USECS_PER_SEC < 0 ? 1 : 0);
  return days * SECS_PER_DAY + seconds;
}

// ReadTime reads the argument "at", or the clock if it is NULL. It reads the
// real clock, not the time of the transaction: a token made during a long
// transaction must not look as if it came from the future.
std::int64_t ReadTime(FunctionCallInfo fcinfo, int index) {
  if (PG_ARGISNULL(index)) {
    return UnixSecondsNow();
  }
  const TimestampTz at = PG_GETARG_TIMESTAMPTZ(index);
  if (TIMESTAMP_NOT_FINITE(at)) {
    FERNET_RAISE(ERRCODE_INVALID_PARAMETER_VALUE,
                 errmsg("\"at\" must be finite"));
  }
  return TimestampToUnixSeconds(at);
}

}  // namespace

AgeLimit ReadAgeLimit(FunctionCallInfo fcinfo, int ttl_index) {
  if (PG_ARGISNULL(ttl_index)) {
    return {};
  }
  AgeLimit limit{.judged = true, .now = ReadTime(fcinfo, ttl_index + 1)};
  const Interval *const ttl = PG_GETARG_INTERVAL_P(ttl_index);
  if (IntervalIsInfinity(ttl)) {
    limit.ttl_seconds = std::numeric_limits<std::uint64_t>::max();
    return limit;
  }
  const std::int64_t seconds = TtlSeconds(ttl);
  if (seconds < 0 || IntervalIsMinusInfinity(ttl)) {
    FERNET_RAISE(ERRCODE_INVALID_PARAMETER_VALUE,
                 errmsg("\"ttl\" must not be negative"));
  }
  limit.ttl_seconds = static_cast<std::uint64_t>(seconds);
  return limit;
}

std::uint64_t ReadTimestamp(FunctionCallInfo fcinfo, int index) {
  const std::int64_t seconds = ReadTime(fcinfo, index);
  if (seconds < 0) {
    FERNET_RAISE(
        ERRCODE_INVALID_PARAMETER_VALUE,
        errmsg("\"at\" must not be before 1970"),
        errdetail("The timestamp of a Fernet token is an unsigned number "
                  "of seconds since 1970."));
  }
  return static_cast<std::uint64_t>(seconds);
}

}  // namespace fernet::pg
