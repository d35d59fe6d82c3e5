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

// A position is a page and a row on it.
constexpr int kRowBits = 16;
constexpr std::int64_t kLastPosition =
    (std::int64_t{MaxBlockNumber} << kRowBits) | MaxOffsetNumber;

// The rows that a batch has written stay locked until the caller's transaction
// ends.
constexpr std::int64_t kBatchBytes = 8 * 1024 * 1024;  // of new values
constexpr BlockNumber kBatchPages = 8192;  // that hold no value at all

// RangeFrom is at most kBatchPages of `target` from `position` on.
PageRange RangeFrom(const TableTarget &target, std::int64_t position) {
  const std::int64_t page = position >> kRowBits;
  return {static_cast<BlockNumber>(page),
          static_cast<BlockNumber>(
              std::min<std::int64_t>(page + kBatchPages, target.pages)),
          static_cast<OffsetNumber>(position & 0xffff)};
}

std::int64_t PositionOf(PageRange rest) {
  return (std::int64_t{rest.from} << kRowBits) | rest.first;
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
  if (from_position < 0 || from_position > pg::kLastPosition) {
    pg::RefuseParameter("from_position",
                        "a position that the function returned, or 0");
  }
  // A trigger may set another key during the batch.
  const MemoryContext memory = AllocSetContextCreate(
      CurrentMemoryContext, "pg_fernet batch", ALLOCSET_DEFAULT_SIZES);
  const pg::ValueRule rule = {.direction = pg::ValueRule::kRotate,
                              .on_plaintext = pg::OnPlaintext::kFail,
                              .keys = pg::session_keys::PinUntil(memory)};
  const pg::ColumnNames columns(&column, 1);
  static_cast<void>(
      pg::CheckColumns(relation, columns, pg::ColumnAccess::kWrite));
  if (get_rel_relkind(relation) != RELKIND_RELATION) {
    FERNET_RAISE(
        ERRCODE_WRONG_OBJECT_TYPE,
        errmsg("\"%s\" is a partitioned table", get_rel_name(relation)),
        errhint("Rotate each of its partitions, or use "
                "fernet_rotate_column."));
  }
  pg::TableTarget target;
  if (!pg::OpenTarget(relation, columns, pg::ColumnAccess::kWrite, &target)) {
    FERNET_RAISE(ERRCODE_UNDEFINED_TABLE,
                 errmsg("relation with OID %u does not exist", relation));
  }
  pg::SetImmediate(target.relation);
  pg::FailureWarnings warnings;
  const pg::BatchResult batch = pg::RunBatch(
      target, rule, pg::RangeFrom(target, from_position),
      {.rows = batch_rows, .values = batch_rows, .bytes = pg::kBatchBytes},
      &warnings, nullptr);
  const pg::Tally &tally = batch.tally;
  pg::ResultRow row;
  if (batch.rest.from >= target.pages) {
    row.Null();
  } else {
    row.BigInt(pg::PositionOf(batch.rest));
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
