#include "pg/functions/gate.hpp"

#include <cstring>

#include "pg/report/report.hpp"
#include "pg/server/raise.hpp"

namespace fernet::pg {

MemoryContext NewPinMemory() {
  return AllocSetContextCreate(CurrentMemoryContext, "pg_fernet gate",
                               ALLOCSET_SMALL_SIZES);
}

void RequirePrimary(const char *advice) {
  if (RecoveryInProgress()) {
    FERNET_RAISE(
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        errmsg("cannot prove during recovery that no old value is left"),
        errdetail("Transactions of the primary, which may still write old "
                  "values, cannot be seen here."),
        errhint("%s", advice));
  }
}

void RequireFingerprint(const KeyList &keys, const char *fingerprint) {
  const char *const first = FingerprintOf(keys.keys()[0]);
  if (fingerprint != nullptr && strcmp(fingerprint, first) != 0) {
    FERNET_RAISE(kValuesLeft,
                 errmsg("the first key of \"fernet.key\" is not the expected "
                        "one"),
                 errdetail("Its fingerprint is %s.", first),
                 errhint("Put the key that shall encrypt first in the list, or "
                         "correct \"fingerprint\"."));
  }
}

}  // namespace fernet::pg
