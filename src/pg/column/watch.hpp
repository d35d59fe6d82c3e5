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

// BeginWatch begins one for those of `relations` that hold rows. EndWatch ends
// it, as does the end of the transaction.
Watch BeginWatch(const List *relations);
void EndWatch(const Watch &watch);

// AreSameFiles says whether those of `relations` that hold rows are those that
// are watched, in any order, and none was rewritten or emptied.
bool AreSameFiles(const Watch &watch, const List *relations);

// VisitVanished calls `visit` with a copy of each row of `relation`, which is
// locked, that a snapshot after `since` may have seen and the active one does
// not see, until it returns false. The copy is valid during the call, in whose
// memory context the callee may leave what it likes. Raises 72000 if
// old_snapshot_threshold has let the server remove such a row.
using VanishedVisitor = bool (*)(HeapTuple row, void *state);
void VisitVanished(Relation relation, Snapshot since, VanishedVisitor visit,
                   void *state);

// MayHaveMissed says whether a snapshot since the watch began may have seen a
// value in `columns` that the active snapshot does not see, and that `rule`
// would change, or fail for a token in it. `source` is null, or the column
// whose blind indexes are in the only one of `columns`. It says so too if not
// the same `tables` are read, or if one was rewritten. They must be locked.
//
// Raises 72000 if old_snapshot_threshold has let the server remove such a
// value.
bool MayHaveMissed(const Watch &watch, const List *tables, ColumnNames columns,
                   const char *source, const ValueRule &rule);

}  // namespace fernet::pg
