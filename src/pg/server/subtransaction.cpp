#include "pg/server/subtransaction.hpp"

namespace fernet::pg {
namespace {

// IsRefusal says whether a row caused the error, and not the server.
bool IsRefusal(int sqlstate) {
  constexpr int kRefusals[] = {
      ERRCODE_TRIGGERED_ACTION_EXCEPTION,
      ERRCODE_DATA_EXCEPTION,
      ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION,
      ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION,
      ERRCODE_EXTERNAL_ROUTINE_EXCEPTION,
      ERRCODE_PROGRAM_LIMIT_EXCEEDED,
      ERRCODE_PLPGSQL_ERROR,
      MAKE_SQLSTATE('P', 'F', '0', '0', '0'),  // ours, raised in a trigger
  };
  for (const int refusal : kRefusals) {
    if (ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_TO_CATEGORY(refusal)) {
      return true;
    }
  }
  return false;
}

}  // namespace

Refusal RunInSubtransaction(void (*work)(void *state), void *state) {
  ErrorData *volatile refusal = nullptr;
  const MemoryContext memory = CurrentMemoryContext;
  const ResourceOwner owner = CurrentResourceOwner;
  BeginInternalSubTransaction(nullptr);
  MemoryContextSwitchTo(memory);
  PG_TRY();
  {
    work(state);
    ReleaseCurrentSubTransaction();
    MemoryContextSwitchTo(memory);
    CurrentResourceOwner = owner;
  }
  PG_CATCH();
  {
    MemoryContextSwitchTo(memory);
    ErrorData *const error = CopyErrorData();
    FlushErrorState();
    RollbackAndReleaseCurrentSubTransaction();
    MemoryContextSwitchTo(memory);
    CurrentResourceOwner = owner;
    if (!IsRefusal(error->sqlerrcode)) {
      ReThrowError(error);
    }
    refusal = error;
  }
  PG_END_TRY();
  Refusal result;
  if (refusal != nullptr) {
    result.sqlstate = refusal->sqlerrcode;
    if (refusal->constraint_name != nullptr) {
      namestrcpy(&result.constraint, refusal->constraint_name);
    }
    FreeErrorData(refusal);
  }
  return result;
}

}  // namespace fernet::pg
