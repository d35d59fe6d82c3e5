#pragma once

#include "pg/column/column_target.hpp"
#include "pg/server/boundary.hpp"

namespace fernet::pg {

// PlaceOf is where a row is: `offset` counts from 1.
ItemPointerData PlaceOf(BlockNumber page, OffsetNumber offset);

struct PageRange {
  BlockNumber from;
  BlockNumber end;  // the first page after the range
};

// ScanValues calls `visit` for each row of `range` that the active snapshot
// sees and whose value is not NULL, with the row and the detoasted value.
// Memory that `visit` allocates is freed after the row. ScanValues can be
// interrupted.
using VisitValue = void (*)(TupleTableSlot *row, varlena *value, void *state);
void ScanValues(const ColumnTarget &target, PageRange range, VisitValue visit,
                void *state);

}  // namespace fernet::pg
