// Cancel, timeout and termination while one large value is processed. The core
// must not call the server, and an error must not jump over the core, which has
// plaintext to wipe. So the core calls MayGoOn, and the error waits until the
// core has returned.
#pragma once

#include "core/status.hpp"
#include "pg/server/boundary.hpp"

namespace fernet::pg {

// MayGoOn is the GoOn for the core: CHECK_FOR_INTERRUPTS(), but it keeps an
// error for RaiseIfStopped.
bool MayGoOn() noexcept;

// RaiseIfStopped raises that error if `status` is kStopped. Call it with the
// Status that the core returned, before any other server function.
void RaiseIfStopped(Status status);

// SleepFor sleeps for `microseconds` and raises what interrupts it.
void SleepFor(std::int64_t microseconds);

}  // namespace fernet::pg
