// Cancel, timeout and termination in the middle of one large value. The core
// must not call the server, and an error must not jump over the core, which
// has plaintext to wipe. So the core asks, and the error waits until it has
// returned.
#pragma once

#include "core/status.hpp"
#include "pg/server/boundary.hpp"

namespace fernet::pg {

// MayGoOn is the GoOn for the core: CHECK_FOR_INTERRUPTS(), but an error that
// comes of it is kept for RaiseIfStopped.
bool MayGoOn() noexcept;

// RaiseIfStopped raises that error if `status` is kStopped. To be called with
// what the core has returned, before anything else of the server.
void RaiseIfStopped(Status status);

}  // namespace fernet::pg
