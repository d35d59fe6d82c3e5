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

// ReadStored reads a value of `target`, in the current memory context. Raises
// XX001 for a damaged one. WipeStored wipes what it has allocated: the value
// may be a plaintext that is being adopted.
StoredValue ReadStored(const ColumnTarget &target, varlena *stored);
void WipeStored(const StoredValue &value);

// ScanValues calls `visit` for each row of `range` that the active snapshot
// sees and whose value is not NULL, with the row and the value as it is stored,
// until `visit` returns false. It returns what is left of the range. Memory
// that `visit` allocates is freed after the row. ScanValues can be interrupted.
using VisitValue = bool (*)(TupleTableSlot *row, varlena *stored, void *state);
PageRange ScanValues(const ColumnTarget &target, PageRange range,
                     VisitValue visit, void *state);

}  // namespace fernet::pg
