#include "pg/server/interrupts.hpp"

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

}  // namespace fernet::pg
