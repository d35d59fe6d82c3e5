// The values that a job on columns is writing, for triggers of ours.
#pragma once

#include "pg/column/new_row.hpp"
#include "pg/server/boundary.hpp"

namespace fernet::pg {

// Rewrite is the row at `place` that a job writes: `values`, those of the
// columns of `*target` that are set, have the plaintexts of the values before
// them.
struct Rewrite {
  const TableTarget *target = nullptr;
  ItemPointerData place = {};
  const NewValue *values = nullptr;
};

// Announce makes `rewrite` the one that IsRewritten asks, and returns the one
// before. Whoever announces one takes it back, after an error too.
Rewrite Announce(const Rewrite &rewrite);

// IsRewritten says whether a job is writing `value` to that column of the row
// `old` of `relation`. A trigger before may have put another value there, or
// may be writing the same value to another row.
bool IsRewritten(Relation relation, const HeapTupleData &old,
                 AttrNumber attribute, const varlena *value);

// SameBytes compares values as rows store them. One may be stored in another
// form, for example as the default of an ADD COLUMN that did not rewrite the
// rows.
bool SameBytes(const varlena *one, const varlena *other);

}  // namespace fernet::pg
