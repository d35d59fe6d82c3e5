#pragma once

#include "pg/column/column_target.hpp"
#include "pg/server/boundary.hpp"

namespace fernet::pg {

// PlaceOf is where a row is: `offset` counts from 1.
ItemPointerData PlaceOf(BlockNumber page, OffsetNumber offset);

// PageRange is the rows of a range of pages.
struct PageRange {
  BlockNumber from;
  BlockNumber end;         // the first page after the range
  OffsetNumber first = 0;  // the first row on the page `from`

  bool empty() const { return from >= end; }
};

// StoredValue is a value as the row holds it, and as it can be read.
struct StoredValue {
  varlena *stored;
  varlena *detoasted;
  varlena *value;  // without what pads it
};

// ReadStored reads a value of `column`, in the current memory context. Raises
// XX001 for a damaged one. WipeStored wipes what it has allocated: the value
// may be a plaintext that is being adopted.
StoredValue ReadStored(const ColumnTarget &column, varlena *stored);
void WipeStored(const StoredValue &value);

// ValueIn is the value of `column` in `row` as it is stored, or null if it is
// NULL.
varlena *ValueIn(TupleTableSlot *row, const ColumnTarget &column);

// ScanRows calls `visit` for each row of `range` that the active snapshot sees,
// until `visit` returns false. It returns what is left of the range. Memory
// that `visit` allocates is freed after the row. ScanRows can be interrupted.
using VisitRow = bool (*)(TupleTableSlot *row, void *state);
PageRange ScanRows(const TableTarget &target, PageRange range, VisitRow visit,
                   void *state);

}  // namespace fernet::pg
