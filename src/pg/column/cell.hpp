// One value of a row, and what a job makes of it.
#pragma once

#include "pg/column/column_target.hpp"
#include "pg/column/page_scan.hpp"
#include "pg/server/boundary.hpp"
#include "pg/value/value_change.hpp"

namespace fernet::pg {

// StoredCell is a value of a column as the row holds it, and for a blind index
// that of its source; null for NULL.
struct StoredCell {
  varlena *value = nullptr;
  varlena *source = nullptr;

  bool is_there() const { return value != nullptr || source != nullptr; }
};

// Cell is the same, as it can be read, and the change of the value.
struct Cell {
  bool is_there;  // it is not NULL, or its source is not, and it was read
  StoredValue read;
  StoredValue source;
  ValueChange change;
};

// CellIn is the value of the column at `column` of `target` in `row`.
StoredCell CellIn(TupleTableSlot *row, const TableTarget &target,
                  std::size_t column);

// ReadCell reads `stored` into `*out`, as ReadStored does.
void ReadCell(const TableTarget &target, std::size_t column,
              const StoredCell &stored, Cell *out);

// ChangeCell applies `rule` to the cell. A new value has the form of the
// column.
void ChangeCell(const ValueRule &rule, const TableTarget &target,
                std::size_t column, Cell *cell);

// WipeCell wipes what the cell holds, which may be plaintext, and empties it.
void WipeCell(const ValueRule &rule, Cell *cell);

}  // namespace fernet::pg
