// The row that a job writes, and what it must satisfy.
#pragma once

#include "pg/column/column_target.hpp"
#include "pg/server/boundary.hpp"

namespace fernet::pg {

// NewRow is a row of a table with a new value in one column, and the state of
// the executor for it.
struct NewRow {
  const ColumnTarget *target;
  EState *state;
  ResultRelInfo *result;
  TupleTableSlot *slot;
  void *domain_cache;
};

// BeginNewRows prepares for rows of `*target`, which must stay, that are
// written as the command `command` with the active snapshot. EndNewRows frees
// what it has made.
void BeginNewRows(const ColumnTarget *target, CommandId command, NewRow *out);
void EndNewRows(const NewRow &row);

// FillNewRow makes the new row out of the one in `row` and `value`, in the form
// of the column. What a column held that was dropped goes, as with UPDATE.
void FillNewRow(const NewRow &out, TupleTableSlot *row, Datum value);

// ComputeGenerated computes the stored generated columns.
void ComputeGenerated(const NewRow &row);

// CheckConstraints raises what a domain of the column, a constraint of the
// table, or the bounds of a partition raise.
void CheckConstraints(NewRow *row, Datum value);

}  // namespace fernet::pg
