// SQL entry points of jobs on columns: fernet_rotate_column,
// fernet_rotate_batch, fernet_decrypt_column.

#include <algorithm>

#include "pg/boundary.hpp"
#include "pg/column_job.hpp"
#include "pg/composite_result.hpp"
#include "pg/job_arguments.hpp"
#include "pg/report.hpp"
#include "pg/session_keys.hpp"

namespace fernet::pg {
namespace {

void RequireNoTransactionBlock(FunctionCallInfo fcinfo) {
  const bool may_commit = fcinfo->context != nullptr &&
                          IsA(fcinfo->context, CallContext) &&
                          !castNode(CallContext, fcinfo->context)->atomic;
  if (!may_commit) {
    DropContext();
    ereport(
        ERROR, errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
        errmsg("a job on a whole column cannot run inside a transaction "
               "block or a function"),
        errdetail("It commits after every batch."),
        errhint("Call it outside of BEGIN, with autocommit on in a driver. In "
                "a transaction, fernet_rotate_batch rotates."),
        HideStatement());
  }
}

std::int64_t ReadBatchRows(FunctionCallInfo fcinfo, int index) {
  const int32 rows = PG_GETARG_INT32(index);
  if (rows < 1) {
    RefuseParameter("batch_rows", "at least 1");
  }
  return rows;
}

std::int64_t ReadPause(FunctionCallInfo fcinfo, int index) {
  const Interval *const pause = PG_GETARG_INTERVAL_P(index);
  constexpr std::int64_t kDay = USECS_PER_DAY;
  // A sum of two that are in their limits does not overflow.
  const bool is_long = pause->month != 0 || pause->day < -1 || pause->day > 1 ||
                       pause->time < -kDay || pause->time > 2 * kDay;
  const std::int64_t microseconds =
      is_long ? -1 : pause->day * kDay + pause->time;
  if (microseconds < 0 || microseconds > kDay) {
    RefuseParameter("pause", "between 0 and a day");
  }
  return microseconds;
}

void ReadSlice(FunctionCallInfo fcinfo, int index, ColumnJob *job) {
  job->slice = PG_GETARG_INT32(index);
  job->slices = PG_GETARG_INT32(index + 1);
  if (job->slices < 1 || job->slices > 1024) {
    RefuseParameter("slices", "between 1 and 1024");
  }
  if (job->slice < 1 || job->slice > job->slices) {
    RefuseParameter("slice", "between 1 and \"slices\"");
  }
}

void RequireNothingLeft(const ColumnJob &job, const JobResult &result) {
  if (job.dry_run || result.left() == 0) {
    return;
  }
  DropContext();
  ereport(
      ERROR, errcode(kValuesLeft),
      errmsg(
          INT64_FORMAT " of " INT64_FORMAT " values in %s could not be %s",
          result.left(), result.total, NameOf(job.relation, job.column),
          job.rule.direction == ValueRule::kRotate ? "rotated" : "decrypted"),
      errdetail("Failed: " INT64_FORMAT
                ". Locked by other transactions, or written by them "
                "meanwhile: " INT64_FORMAT ".",
                result.failed, result.pending),
      errhint("What could be done is done and committed. A new CALL tries "
              "what is left."),
      HideStatement());
}

// RunForCall runs `job` with its keys pinned and memory that outlives the
// commits of the CALL, and returns its three counts as the result row.
Datum RunForCall(FunctionCallInfo fcinfo, ColumnJob job) {
  const MemoryContext caller_memory = CurrentMemoryContext;
  const MemoryContext call_memory = AllocSetContextCreate(
      PortalContext, "pg_fernet job", ALLOCSET_DEFAULT_SIZES);
  job.column = MemoryContextStrdup(call_memory, job.column);
  // A key that was set for one transaction only is gone with the first commit.
  job.rule.keys = session_keys::PinUntil(call_memory);
  SPI_connect_ext(SPI_OPT_NONATOMIC);
  MemoryContextSwitchTo(call_memory);
  const JobResult result = RunColumnJob(job);
  RequireNothingLeft(job, result);
  SPI_finish();
  MemoryContextSwitchTo(caller_memory);
  Datum values[] = {Int64GetDatum(result.changed),
                    Int64GetDatum(result.unchanged),
                    Int64GetDatum(result.left())};
  bool nulls[] = {false, false, false};
  const Datum row = CompositeResult(fcinfo, values, nulls);
  MemoryContextDelete(call_memory);
  return row;
}

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
    tally->Add(
        RunBatch(target, rule, range, false, &warnings, nullptr, nullptr));
    MemoryContextSwitchTo(caller_memory);
    MemoryContextReset(stretch_memory);
    page = range.end;
  }
  MemoryContextDelete(stretch_memory);
  return page;
}

}  // namespace
}  // namespace fernet::pg

// fernet_rotate_column(relation regclass, column_name name,
//     batch_rows integer DEFAULT 5000, pause interval DEFAULT '0',
//     slice integer DEFAULT 1, slices integer DEFAULT 1,
//     dry_run boolean DEFAULT false, on_plaintext text DEFAULT 'fail',
//     INOUT rotated bigint, INOUT unchanged bigint, INOUT failed bigint)
FERNET_SQL_FUNCTION(fernet_rotate_column) {
  namespace pg = fernet::pg;
  constexpr const char *kNames[] = {"relation", "column_name", "batch_rows",
                                    "pause",    "slice",       "slices",
                                    "dry_run",  "on_plaintext"};
  pg::RequireNoTransactionBlock(fcinfo);
  pg::RequireArguments(fcinfo, kNames, lengthof(kNames));
  pg::ColumnJob job = {
      .relation = PG_GETARG_OID(0),
      .column = NameStr(*PG_GETARG_NAME(1)),
      .rule = {.direction = pg::ValueRule::kRotate,
               .on_plaintext = pg::ReadOnPlaintext(fcinfo, 7),
               .keys = {}},
      .batch_rows = pg::ReadBatchRows(fcinfo, 2),
      .pause_microseconds = pg::ReadPause(fcinfo, 3),
      .slice = 1,
      .slices = 1,
      .dry_run = PG_GETARG_BOOL(6),
      .caller = fcinfo->flinfo->fn_oid,
  };
  pg::ReadSlice(fcinfo, 4, &job);
  return pg::RunForCall(fcinfo, job);
}

// fernet_decrypt_column(relation regclass, column_name name,
//     confirm boolean DEFAULT false, batch_rows integer DEFAULT 5000,
//     pause interval DEFAULT '0', slice integer DEFAULT 1,
//     slices integer DEFAULT 1, INOUT decrypted bigint,
//     INOUT unchanged bigint, INOUT failed bigint)
FERNET_SQL_FUNCTION(fernet_decrypt_column) {
  namespace pg = fernet::pg;
  constexpr const char *kNames[] = {"relation",   "column_name", "confirm",
                                    "batch_rows", "pause",       "slice",
                                    "slices"};
  pg::RequireNoTransactionBlock(fcinfo);
  pg::RequireArguments(fcinfo, kNames, lengthof(kNames));
  if (!PG_GETARG_BOOL(2)) {
    pg::DropContext();
    ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
            errmsg("decryption of a column must be confirmed"),
            errdetail("It writes the plaintexts into the table, and so into "
                      "WAL, backups and replicas."),
            errhint("Add \"confirm => true\"."), pg::HideStatement());
  }
  pg::ColumnJob job = {
      .relation = PG_GETARG_OID(0),
      .column = NameStr(*PG_GETARG_NAME(1)),
      .rule = {.direction = pg::ValueRule::kDecrypt,
               .on_plaintext = pg::OnPlaintext::kLeave,
               .keys = {}},
      .batch_rows = pg::ReadBatchRows(fcinfo, 3),
      .pause_microseconds = pg::ReadPause(fcinfo, 4),
      .slice = 1,
      .slices = 1,
      .dry_run = false,
      .caller = fcinfo->flinfo->fn_oid,
  };
  pg::ReadSlice(fcinfo, 5, &job);
  return pg::RunForCall(fcinfo, job);
}

// fernet_rotate_batch(relation regclass, column_name name,
//     from_page bigint DEFAULT 0, batch_rows integer DEFAULT 5000,
//     OUT next_page bigint, OUT rotated bigint, OUT unchanged bigint,
//     OUT failed bigint)
FERNET_SQL_FUNCTION(fernet_rotate_batch) {
  namespace pg = fernet::pg;
  constexpr const char *kNames[] = {"relation", "column_name", "from_page",
                                    "batch_rows"};
  pg::RequireArguments(fcinfo, kNames, lengthof(kNames));
  const Oid relation = PG_GETARG_OID(0);
  const char *const column = NameStr(*PG_GETARG_NAME(1));
  const int64 from_page = PG_GETARG_INT64(2);
  const std::int64_t batch_rows = pg::ReadBatchRows(fcinfo, 3);
  if (from_page < 0 || from_page > MaxBlockNumber) {
    pg::RefuseParameter("from_page", "the number of a page");
  }
  // Triggers may set another key in the middle of the batch.
  const MemoryContext memory = AllocSetContextCreate(
      CurrentMemoryContext, "pg_fernet batch", ALLOCSET_DEFAULT_SIZES);
  const pg::ValueRule rule = {.direction = pg::ValueRule::kRotate,
                              .on_plaintext = pg::OnPlaintext::kFail,
                              .keys = pg::session_keys::PinUntil(memory)};
  pg::CheckColumn(relation, column, pg::ColumnAccess::kWrite);
  if (get_rel_relkind(relation) != RELKIND_RELATION) {
    pg::DropContext();
    ereport(ERROR, errcode(ERRCODE_WRONG_OBJECT_TYPE),
            errmsg("\"%s\" is a partitioned table", get_rel_name(relation)),
            errhint("Rotate each of its partitions, or use "
                    "fernet_rotate_column."),
            pg::HideStatement());
  }
  pg::ColumnTarget target;
  if (!pg::OpenTarget(relation, column, pg::ColumnAccess::kWrite, &target)) {
    pg::DropContext();
    ereport(ERROR, errcode(ERRCODE_UNDEFINED_TABLE),
            errmsg("relation with OID %u does not exist", relation),
            pg::HideStatement());
  }
  pg::Tally tally;
  const BlockNumber next = pg::RowsFrom(
      target, rule, static_cast<BlockNumber>(from_page), batch_rows, &tally);
  Datum values[] = {Int64GetDatum(next), Int64GetDatum(tally.changed),
                    Int64GetDatum(tally.unchanged),
                    Int64GetDatum(tally.left())};
  bool nulls[] = {next >= target.pages, false, false, false};
  pg::CloseTarget(target);
  pg::CountForStatistics(tally, rule.direction);
  MemoryContextDelete(memory);
  return pg::CompositeResult(fcinfo, values, nulls);
}
