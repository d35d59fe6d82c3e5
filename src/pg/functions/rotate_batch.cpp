// SQL function fernet_rotate_batch.

#include <algorithm>

#include "pg/column/owner_rights.hpp"
#include "pg/column/page_batch.hpp"
#include "pg/functions/job_arguments.hpp"
#include "pg/server/raise.hpp"
#include "pg/server/result_rows.hpp"
#include "pg/session/session_keys.hpp"

namespace fernet::pg {
namespace {

// RowsFrom runs over pages of `target` from `page` on until about `batch_rows`
// values are treated, and returns the next page.
BlockNumber RowsFrom(const ColumnTarget &target, const ValueRule &rule,
                     BlockNumber page, std::int64_t batch_rows, Tally *tally) {
  FailureWarnings warnings;
  const double density = PageDensity(target);
  // Each stretch of pages sets up an executor, whose traces go with it.
  const MemoryContext caller_memory = CurrentMemoryContext;
  const MemoryContext stretch_memory = AllocSetContextCreate(
      caller_memory, "pg_fernet pages", ALLOCSET_DEFAULT_SIZES);
  while (page < target.pages && tally->total() < batch_rows) {
    const auto wanted = static_cast<std::int64_t>(
        static_cast<double>(batch_rows - tally->total()) / density);
    const std::int64_t end = page + std::clamp<std::int64_t>(wanted, 1, 1024);
    const PageRange range = {
        page,
        static_cast<BlockNumber>(std::min<std::int64_t>(end, target.pages))};
    MemoryContextSwitchTo(stretch_memory);
    tally->Add(RunBatch(target, rule, range, &warnings));
    MemoryContextSwitchTo(caller_memory);
    MemoryContextReset(stretch_memory);
    page = range.end;
  }
  MemoryContextDelete(stretch_memory);
  return page;
}

}  // namespace
}  // namespace fernet::pg

// fernet_rotate_batch(relation regclass, column_name name,
//     from_position bigint DEFAULT 0, batch_rows integer DEFAULT 5000,
//     OUT next_position bigint, OUT rotated bigint, OUT unchanged bigint,
//     OUT failed bigint)
FERNET_SQL_FUNCTION(fernet_rotate_batch) {
  namespace pg = fernet::pg;
  constexpr const char *kNames[] = {"relation", "column_name", "from_position",
                                    "batch_rows"};
  pg::RequireArguments(fcinfo, kNames, lengthof(kNames));
  const Oid relation = PG_GETARG_OID(0);
  const char *const column = NameStr(*PG_GETARG_NAME(1));
  const int64 from_position = PG_GETARG_INT64(2);
  const std::int64_t batch_rows = pg::ReadBatchRows(fcinfo, 3);
  if (from_position < 0 || from_position > MaxBlockNumber) {
    pg::RefuseParameter("from_position",
                        "a position that the function returned, or 0");
  }
  // A trigger may set another key during the batch.
  const MemoryContext memory = AllocSetContextCreate(
      CurrentMemoryContext, "pg_fernet batch", ALLOCSET_DEFAULT_SIZES);
  const pg::ValueRule rule = {.direction = pg::ValueRule::kRotate,
                              .on_plaintext = pg::OnPlaintext::kFail,
                              .keys = pg::session_keys::PinUntil(memory)};
  pg::CheckColumn(relation, column, pg::ColumnAccess::kWrite);
  if (get_rel_relkind(relation) != RELKIND_RELATION) {
    FERNET_RAISE(
        ERRCODE_WRONG_OBJECT_TYPE,
        errmsg("\"%s\" is a partitioned table", get_rel_name(relation)),
        errhint("Rotate each of its partitions, or use "
                "fernet_rotate_column."));
  }
  pg::ColumnTarget target;
  if (!pg::OpenTarget(relation, column, pg::ColumnAccess::kWrite, &target)) {
    FERNET_RAISE(ERRCODE_UNDEFINED_TABLE,
                 errmsg("relation with OID %u does not exist", relation));
  }
  pg::SetImmediate(target.relation);
  pg::Tally tally;
  const BlockNumber next =
      pg::RowsFrom(target, rule, static_cast<BlockNumber>(from_position),
                   batch_rows, &tally);
  pg::ResultRow row;
  if (next >= target.pages) {
    row.Null();
  } else {
    row.BigInt(next);
  }
  row.BigInt(tally.changed);
  row.BigInt(tally.unchanged);
  row.BigInt(tally.left());
  pg::CloseTarget(target);
  pg::CountChanges(tally, rule.direction);
  pg::CountFailures(tally);
  MemoryContextDelete(memory);
  return row.AsResult(fcinfo);
}
