#include "pg/column/cell.hpp"

#include "pg/value/index_change.hpp"
#include "pg/value/text_encoding.hpp"

namespace fernet::pg {
namespace {

ValueChange ChangeOf(const ValueRule &rule, const ColumnTarget &column,
                     const varlena *value) {
  if (OidIsValid(column.holder_type)) {
    return ChangeInside(rule, PointerGetDatum(value), column.holder_type);
  }
  ValueChange change = ChangeValue(rule, value, column.value_type == TEXTOID,
                                   column.max_characters);
  if (change.kind == ValueChange::kChanged) {
    change.value = PadForColumn(column, change.value);
  }
  return change;
}

}  // namespace

StoredCell CellIn(TupleTableSlot *row, const TableTarget &target,
                  std::size_t column) {
  return {.value = ValueIn(row, target.columns[column]),
          .source = target.source == nullptr ? nullptr
                                             : ValueIn(row, *target.source)};
}

void ReadCell(const TableTarget &target, std::size_t column,
              const StoredCell &stored, Cell *out) {
  if (stored.value != nullptr) {
    out->read = ReadStored(target.columns[column], stored.value);
  }
  if (stored.source != nullptr) {
    out->source = ReadStored(*target.source, stored.source);
  }
  out->is_there = stored.is_there();
}

void ChangeCell(const ValueRule &rule, const TableTarget &target,
                std::size_t column, Cell *cell) {
  cell->change = rule.direction == ValueRule::kIndex
                     ? ChangeIndex(rule, cell->source.value,
                                   target.source->value_type == TEXTOID
                                       ? SourceForm::kText
                                       : SourceForm::kBytes,
                                   cell->read.value)
                     : ChangeOf(rule, target.columns[column], cell->read.value);
}

void WipeCell(const ValueRule &rule, Cell *cell) {
  if (cell->change.value != nullptr && rule.direction == ValueRule::kDecrypt) {
    WipeAndFree(cell->change.value, nullptr);
  }
  if (cell->read.value != nullptr) {
    WipeStored(cell->read);
  }
  if (cell->source.value != nullptr) {
    WipeStored(cell->source);
  }
  *cell = {};
}

}  // namespace fernet::pg
