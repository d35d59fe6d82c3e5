#include "pg/column/page_scan.hpp"

#include "pg/value/text_encoding.hpp"

namespace fernet::pg {

ItemPointerData PlaceOf(BlockNumber page, OffsetNumber offset) {
  // Like ItemPointerSet, which would narrow the numbers silently.
  ItemPointerData place;
  place.ip_blkid.bi_hi = static_cast<uint16>(page >> 16);
  place.ip_blkid.bi_lo = static_cast<uint16>(page & 0xffff);
  place.ip_posid = offset;
  return place;
}

StoredValue ReadStored(const ColumnTarget &column, varlena *stored) {
  varlena *const detoasted = pg_detoast_datum_packed(stored);
  return {stored, detoasted, TrimOfColumn(column, detoasted)};
}

void WipeStored(const StoredValue &value) {
  WipeAndFree(value.value, value.detoasted);
  WipeAndFree(value.detoasted, value.stored);
}

varlena *ValueIn(TupleTableSlot *row, const ColumnTarget &column) {
  bool is_null = false;
  const Datum value = slot_getattr(row, column.attribute, &is_null);
  return is_null ? nullptr
                 : reinterpret_cast<varlena *>(DatumGetPointer(value));
}

PageRange ScanRows(const TableTarget &target, PageRange range, VisitRow visit,
                   void *state) {
  PageRange left = {range.end, range.end};
  if (range.empty()) {
    return left;
  }
  const MemoryContext caller_memory = CurrentMemoryContext;
  const MemoryContext row_memory = AllocSetContextCreate(
      caller_memory, "pg_fernet row", ALLOCSET_DEFAULT_SIZES);
  ItemPointerData first = PlaceOf(range.from, range.first);
  ItemPointerData last = PlaceOf(range.end - 1, MaxOffsetNumber);
  TupleTableSlot *const row = table_slot_create(target.relation, nullptr);
  const TableScanDesc scan =
      BeginPageRangeScan(target.relation, GetActiveSnapshot(), &first, &last);
  bool go_on = true;
  while (go_on &&
         table_scan_getnextslot_tidrange(scan, ForwardScanDirection, row)) {
    CHECK_FOR_INTERRUPTS();
    MemoryContextSwitchTo(row_memory);
    go_on = visit(row, state);
    MemoryContextSwitchTo(caller_memory);
    MemoryContextReset(row_memory);
  }
  if (!go_on) {
    left.from = ItemPointerGetBlockNumberNoCheck(&row->tts_tid);
    left.first = static_cast<OffsetNumber>(
        ItemPointerGetOffsetNumberNoCheck(&row->tts_tid) + 1);
  }
  table_endscan(scan);
  ExecDropSingleTupleTableSlot(row);
  MemoryContextDelete(row_memory);
  return left;
}

}  // namespace fernet::pg
