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

StoredValue ReadStored(const ColumnTarget &target, varlena *stored) {
  varlena *const detoasted = pg_detoast_datum_packed(stored);
  return {stored, detoasted, TrimOfColumn(target, detoasted)};
}

void WipeStored(const StoredValue &value) {
  WipeAndFree(value.value, value.detoasted);
  WipeAndFree(value.detoasted, value.stored);
}

PageRange ScanValues(const ColumnTarget &target, PageRange range,
                     VisitValue visit, void *state) {
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
    bool is_null = false;
    const Datum datum = slot_getattr(row, target.attribute, &is_null);
    if (!is_null) {
      MemoryContextSwitchTo(row_memory);
      go_on = visit(row, reinterpret_cast<varlena *>(DatumGetPointer(datum)),
                    state);
      MemoryContextSwitchTo(caller_memory);
      MemoryContextReset(row_memory);
    }
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
