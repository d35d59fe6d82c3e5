#include "pg/column/page_scan.hpp"

#include "pg/value/text_encoding.hpp"

namespace fernet::pg {
namespace {

void VisitRow(const ColumnTarget &target, TupleTableSlot *row, VisitValue visit,
              void *state) {
  bool is_null = false;
  const Datum datum = slot_getattr(row, target.attribute, &is_null);
  if (is_null) {
    return;
  }
  auto *const stored = reinterpret_cast<varlena *>(DatumGetPointer(datum));
  varlena *const value = pg_detoast_datum_packed(stored);
  varlena *const trimmed = TrimOfColumn(target, value);
  visit(row, trimmed, state);
  // The value may be a plaintext that is being adopted.
  WipeAndFree(trimmed, value);
  WipeAndFree(value, stored);
}

}  // namespace

ItemPointerData PlaceOf(BlockNumber page, OffsetNumber offset) {
  // Like ItemPointerSet, which would narrow the numbers silently.
  ItemPointerData place;
  place.ip_blkid.bi_hi = static_cast<uint16>(page >> 16);
  place.ip_blkid.bi_lo = static_cast<uint16>(page & 0xffff);
  place.ip_posid = offset;
  return place;
}

void ScanValues(const ColumnTarget &target, PageRange range, VisitValue visit,
                void *state) {
  if (range.from >= range.end) {
    return;
  }
  const MemoryContext caller_memory = CurrentMemoryContext;
  const MemoryContext row_memory = AllocSetContextCreate(
      caller_memory, "pg_fernet row", ALLOCSET_DEFAULT_SIZES);
  ItemPointerData first = PlaceOf(range.from, 0);
  ItemPointerData last = PlaceOf(range.end - 1, MaxOffsetNumber);
  TupleTableSlot *const row = table_slot_create(target.relation, nullptr);
  const TableScanDesc scan =
      BeginPageRangeScan(target.relation, GetActiveSnapshot(), &first, &last);
  while (table_scan_getnextslot_tidrange(scan, ForwardScanDirection, row)) {
    CHECK_FOR_INTERRUPTS();
    MemoryContextSwitchTo(row_memory);
    VisitRow(target, row, visit, state);
    MemoryContextSwitchTo(caller_memory);
    MemoryContextReset(row_memory);
  }
  table_endscan(scan);
  ExecDropSingleTupleTableSlot(row);
  MemoryContextDelete(row_memory);
}

}  // namespace fernet::pg
