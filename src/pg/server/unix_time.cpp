#include "pg/server/unix_time.hpp"

#include <ctime>

namespace fernet::pg {
namespace {

constexpr std::int64_t kEpochGap =
    (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * std::int64_t{SECS_PER_DAY};
constexpr std::int64_t kMicroseconds = USECS_PER_SEC;
constexpr auto kLastUnixSecond =
    static_cast<std::uint64_t>((END_TIMESTAMP - 1) / kMicroseconds + kEpochGap);

constexpr std::int64_t FloorDivide(std::int64_t dividend,
                                   std::int64_t divisor) {
  const std::int64_t quotient = dividend / divisor;
  return dividend % divisor < 0 ? quotient - 1 : quotient;
}

}  // namespace

bool UnixSecondsToTimestamp(std::uint64_t seconds, TimestampTz *out) {
  if (seconds > kLastUnixSecond) {
    return false;
  }
  *out = (static_cast<std::int64_t>(seconds) - kEpochGap) * kMicroseconds;
  return true;
}

std::int64_t TimestampToUnixSeconds(TimestampTz time) {
  return FloorDivide(time, kMicroseconds) + kEpochGap;
}

std::int64_t UnixSecondsNow() {
  // time() costs an eighth of the server's clock in microseconds. It may reach
  // the next second some milliseconds late.
  return time(nullptr);
}

}  // namespace fernet::pg
