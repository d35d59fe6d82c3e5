#include "pg/server/subtransaction.hpp"

namespace fernet::pg {
namespace {

// EndsEverything says whether the server, or whoever operates it, caused the
// error. The row caused every other one: a trigger may raise what it likes.
bool EndsEverything(int sqlstate) {
  switch (sqlstate) {
    case ERRCODE_OPERATOR_INTERVENTION:
    case ERRCODE_DATA_CORRUPTED:
    case ERRCODE_INDEX_CORRUPTED:
      return false;
    case ERRCODE_SYSTEM_ERROR:
    case ERRCODE_IO_ERROR:
      return true;
    default:
      break;
  }
  const int category = ERRCODE_TO_CATEGORY(sqlstate);
  return category == ERRCODE_INSUFFICIENT_RESOURCES ||
         category == ERRCODE_OPERATOR_INTERVENTION ||  // cancel, shutdown
         category == ERRCODE_INTERNAL_ERROR;
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
    if (EndsEverything(error->sqlerrcode)) {
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

void RunAndUndo(void (*work)(void *state), void *state) {
  const MemoryContext memory = CurrentMemoryContext;
  const ResourceOwner owner = CurrentResourceOwner;
  BeginInternalSubTransaction(nullptr);
  MemoryContextSwitchTo(memory);
  ErrorData *volatile error = nullptr;
  PG_TRY();
  { work(state); }
  PG_CATCH();
  {
    MemoryContextSwitchTo(memory);
    error = CopyErrorData();
    FlushErrorState();
  }
  PG_END_TRY();
  RollbackAndReleaseCurrentSubTransaction();
  MemoryContextSwitchTo(memory);
  CurrentResourceOwner = owner;
  // An error that leaves a subtransaction open would leave the block of the
  // whole transaction open.
  if (error != nullptr) {
    ReThrowError(error);
  }
}

}  // namespace fernet::pg
