// Values that came and went while a proof waited for open transactions.
#pragma once

#include "pg/column/column_target.hpp"
#include "pg/server/boundary.hpp"
#include "pg/value/value_change.hpp"

namespace fernet::pg {

// Watch sees what transactions bring into a column and take out again. An old
// value may be copied in between, by a transaction that began after those that
// are waited for, and that ends after the reading. The snapshot of the watch
// keeps VACUUM from removing what it shall see.
struct Watch {
  Snapshot since;
  List *tables;  // that hold rows, by Oid
  List *files;   // where they are stored, in the same order
};

// BeginWatch begins one for `relation` and the tables below it. EndWatch ends
// it, as does the end of the transaction.
Watch BeginWatch(Oid relation);
void EndWatch(const Watch &watch);

// MayHaveMissed says whether a snapshot since the watch began may have seen a
// value in `columns` that the active snapshot does not see, and that `rule`
// would change, or fail for a token in it. It says so too if not the same
// `tables` are read, or if one was rewritten. They must be locked.
//
// Raises 72000 if old_snapshot_threshold has let the server remove such a
// value.
bool MayHaveMissed(const Watch &watch, const List *tables, ColumnNames columns,
                   const ValueRule &rule);

}  // namespace fernet::pg
