#include "pg/server/interrupts.hpp"

#include <algorithm>

namespace fernet::pg {

bool MayGoOn() noexcept {
  if (!INTERRUPTS_PENDING_CONDITION()) {
    return true;
  }
  volatile bool go_on = true;
  PG_TRY();
  { CHECK_FOR_INTERRUPTS(); }
  PG_CATCH();
  {
    // The server keeps the error until RaiseIfStopped raises it again.
    go_on = false;
  }
  PG_END_TRY();
  return go_on;
}

void RaiseIfStopped(Status status) {
  if (status == Status::kStopped) {
    PG_RE_THROW();
  }
}

void SleepFor(std::int64_t microseconds) {
  const TimestampTz end = GetCurrentTimestamp() + microseconds;
  while (true) {
    CHECK_FOR_INTERRUPTS();
    const std::int64_t left = end - GetCurrentTimestamp();
    if (left <= 0) {
      return;
    }
    const auto milliseconds =
        static_cast<long>(std::min<std::int64_t>(left, 60000000) / 1000 + 1);
    static_cast<void>(WaitLatch(MyLatch,
                                WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
                                milliseconds, PG_WAIT_EXTENSION));
    ResetLatch(MyLatch);
  }
}

}  // namespace fernet::pg
