#include "pg/column/check_domain.hpp"

namespace fernet::pg {

void CheckDomain(Oid domain, Datum value, bool is_null) {
  const MemoryContext memory = CurrentMemoryContext;
  PG_TRY();
  { domain_check(value, is_null, domain, nullptr, nullptr); }
  PG_CATCH();
  {
    MemoryContextSwitchTo(memory);
    ErrorData *const error = CopyErrorData();
    FlushErrorState();
    error->hide_stmt = true;
    error->hide_ctx = true;
    error->context = nullptr;
    ReThrowError(error);
  }
  PG_END_TRY();
}

}  // namespace fernet::pg
