// What the gates, which say that an old key can be dropped, have in common.
#pragma once

#include "core/key.hpp"
#include "pg/server/boundary.hpp"

namespace fernet::pg {

// NewPinMemory is a new memory context, in the current one, for a gate to pin
// its keys until: what counts the rows may run code of the owner of a table,
// which changes the settings. Delete it at the end, since few can be pinned.
MemoryContext NewPinMemory();

// RequirePrimary raises 55000 during recovery, where the writers of the primary
// cannot be seen. `advice` is the hint.
void RequirePrimary(const char *advice);

// RequireFingerprint raises PF007 if the first key of `keys` does not have
// `fingerprint`, unless that is null.
void RequireFingerprint(const KeyList &keys, const char *fingerprint);

}  // namespace fernet::pg
