// The row that a job writes, and what it must satisfy.
#pragma once

#include "pg/column/column_target.hpp"
#include "pg/server/boundary.hpp"

namespace fernet::pg {

// NewValue is what a new row has in one column, in the form of the column.
struct NewValue {
  bool is_set;  // or the column keeps its value
  Datum value;
  bool is_null = false;
};

// NewRow is a row of a table with new values in some of its columns, and the
// state of the executor for it.
struct NewRow {
  const TableTarget *target;
  EState *state;
  ResultRelInfo *result;
  TupleTableSlot *slot;
  void **domain_caches;  // for each column of the target
  // The columns that the statement changes, and where the executor looks for
  // those that the row changes.
  Bitmapset *all_columns;
  Bitmapset **columns;
};

// BeginNewRows prepares for rows of `*target`, which must stay, that are
// written as the command `command` with the active snapshot. EndNewRows frees
// what it has made.
void BeginNewRows(const TableTarget *target, CommandId command, NewRow *out);
void EndNewRows(const NewRow &row);

// FillNewRow makes the new row out of the one in `row` and `values`, one for
// each column of the target. What a column held that was dropped goes, as with
// UPDATE.
void FillNewRow(NewRow *out, TupleTableSlot *row, const NewValue *values);

// ComputeGenerated computes the stored generated columns.
void ComputeGenerated(const NewRow &row);

// CheckConstraints raises what a domain of a column, a constraint of the table,
// or the bounds of a partition raise.
void CheckConstraints(NewRow *row, const NewValue *values);

}  // namespace fernet::pg
