#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg {

// RunInSubtransaction calls `work` in a subtransaction. It returns 0 when that
// went well. When the data, a constraint or a trigger of the application
// refused it, nothing of `work` remains and the result is the SQLSTATE; the
// server's message, which may quote the row, is dropped. All other errors, a
// cancel among them, are raised again.
int RunInSubtransaction(void (*work)(void *state), void *state);

}  // namespace fernet::pg
