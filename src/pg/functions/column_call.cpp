#include "pg/functions/column_call.hpp"

#include "pg/column/column_target.hpp"
#include "pg/column/standby_lag.hpp"
#include "pg/functions/job_arguments.hpp"
#include "pg/report/report.hpp"
#include "pg/server/result_rows.hpp"
#include "pg/session/session_keys.hpp"

extern "C" {
#include "parser/parser.h"
}

namespace fernet::pg {
namespace {

// IsOneOfSeveral says whether `function` is called by a CALL that the client
// has sent in one string with other statements.
bool IsOneOfSeveral(Oid function) {
  if (ActivePortal == nullptr || list_length(ActivePortal->stmts) != 1) {
    return false;
  }
  const Node *const statement =
      linitial_node(PlannedStmt, ActivePortal->stmts)->utilityStmt;
  if (statement == nullptr || !IsA(statement, CallStmt) ||
      reinterpret_cast<const CallStmt *>(statement)->funcexpr->funcid !=
          function) {
    return false;
  }
  return list_length(raw_parser(ActivePortal->sourceText, RAW_PARSE_DEFAULT)) >
         1;
}

[[noreturn]] void RefuseTransaction(bool is_one_of_several,
                                    const char *instead) {
  FERNET_RAISE(
      ERRCODE_INVALID_TRANSACTION_TERMINATION,
      errmsg("a job on a whole column cannot run inside a transaction "
             "block or a function"),
      is_one_of_several
          ? errdetail("The job commits after every batch, but several "
                      "statements in one string are one transaction.")
          : errdetail("The job commits after every batch."),
      is_one_of_several
          ? errhint("Send each CALL in a string of its own, as in: psql -c "
                    "\"CALL ...\" -c \"CALL ...\"")
          : errhint("Run CALL outside of BEGIN, with autocommit on in a "
                    "driver. Inside a transaction, use %s.",
                    instead));
}

ColumnNames CopyOf(ColumnNames columns, MemoryContext memory) {
  auto *const names = static_cast<const char **>(
      MemoryContextAlloc(memory, columns.size() * sizeof(const char *)));
  for (std::size_t i = 0; i < columns.size(); ++i) {
    names[i] = MemoryContextStrdup(memory, columns[i]);
  }
  return {names, columns.size()};
}

// RequireWholeValues refuses a column of values that are no tokens to a job
// that encrypts or decrypts values. The strings of a jsonb document can be
// decrypted.
void RequireWholeValues(const ColumnJob &job) {
  const AttrNumber attribute = get_attnum(job.relation, job.columns[0]);
  const bool is_jsonb =
      attribute > 0 &&
      getBaseType(get_atttype(job.relation, attribute)) == JSONBOID;
  const bool encrypts = job.rule.direction == ValueRule::kRotate &&
                        job.rule.on_plaintext == OnPlaintext::kEncrypt;
  const bool decrypts = job.rule.direction == ValueRule::kDecrypt;
  if (encrypts || (decrypts && !is_jsonb)) {
    RequireTokenColumn(job.relation, job.columns[0]);
  }
}

const char *ChangedBy(ValueRule::Direction direction) {
  switch (direction) {
    case ValueRule::kRotate:
      return "rotated";
    case ValueRule::kDecrypt:
      return "decrypted";
    case ValueRule::kIndex:
      return "indexed";
  }
  pg_unreachable();
}

// KeepArguments makes what `job` points to, and its keys, outlive its commits:
// the first removes a key that was set with SET LOCAL.
void KeepArguments(ColumnJob *job, MemoryContext memory) {
  job->columns = CopyOf(job->columns, memory);
  if (job->rule.direction != ValueRule::kIndex) {
    job->rule.keys = session_keys::PinUntil(memory);
    return;
  }
  job->source = MemoryContextStrdup(memory, job->source);
  const MemoryContext caller = MemoryContextSwitchTo(memory);
  job->rule.index_form.context = reinterpret_cast<const varlena *>(
      PG_DETOAST_DATUM_COPY(PointerGetDatum(job->rule.index_form.context)));
  MemoryContextSwitchTo(caller);
  job->rule.index_keys = session_keys::PinIndexKeysUntil(memory);
  // Without one, the job can index plaintexts.
  if (session_keys::HasKey()) {
    job->rule.keys = session_keys::PinUntil(memory);
  }
}

void RequireNothingLeft(const ColumnJob &job, const JobResult &result) {
  if (job.dry_run || result.left() == 0) {
    return;
  }
  const char *const changed = ChangedBy(job.rule.direction);
  FERNET_RAISE(
      kValuesLeft,
      errmsg(INT64_FORMAT " of " INT64_FORMAT " values in %s could not be %s",
             result.left(), result.total, NameOf(job.relation, job.columns),
             changed),
      result.fresh == 0
          ? errdetail("Failed: " INT64_FORMAT
                      ". Locked or written by other transactions: " INT64_FORMAT
                      ".",
                      result.failed, result.pending)
          : errdetail("Failed: " INT64_FORMAT
                      ". Locked or written by other transactions: " INT64_FORMAT
                      ". Encrypted with an old key since the start of this "
                      "job: " INT64_FORMAT ".",
                      result.failed, result.pending, result.fresh),
      result.fresh == 0
          ? errhint("All other values are %s and committed. Fix these and run "
                    "CALL again.",
                    changed)
          : errhint("All other values are %s and committed. The application "
                    "still encrypts with an old key: put the new key first in "
                    "its list, end its old sessions, and run CALL again.",
                    changed));
}

}  // namespace

void RequireNoTransactionBlock(FunctionCallInfo fcinfo, const char *instead) {
  const bool may_commit = fcinfo->context != nullptr &&
                          IsA(fcinfo->context, CallContext) &&
                          !castNode(CallContext, fcinfo->context)->atomic;
  if (!may_commit) {
    RefuseTransaction(IsOneOfSeveral(fcinfo->flinfo->fn_oid), instead);
  }
}

std::int64_t ReadInterval(FunctionCallInfo fcinfo, int index,
                          const char *name) {
  const Interval *const pause = PG_GETARG_INTERVAL_P(index);
  constexpr std::int64_t kDay = USECS_PER_DAY;
  // The sum of two numbers within these limits does not overflow.
  const bool is_long = pause->month != 0 || pause->day < -1 || pause->day > 1 ||
                       pause->time < -kDay || pause->time > 2 * kDay;
  const std::int64_t microseconds =
      is_long ? -1 : pause->day * kDay + pause->time;
  if (microseconds < 0 || microseconds > kDay) {
    RefuseParameter(name, "between 0 and a day");
  }
  return microseconds;
}

std::int64_t ReadMaxLag(FunctionCallInfo fcinfo, int index) {
  if (PG_ARGISNULL(index)) {
    return 0;
  }
  const std::int64_t limit = ReadInterval(fcinfo, index, "max_lag");
  if (limit == 0) {
    RefuseParameter("max_lag", "longer than 0, or NULL");
  }
  RequireSightOfLag();
  return limit;
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

Datum RunForCall(FunctionCallInfo fcinfo, ColumnJob job) {
  const MemoryContext caller_memory = CurrentMemoryContext;
  const MemoryContext call_memory = AllocSetContextCreate(
      PortalContext, "pg_fernet job", ALLOCSET_DEFAULT_SIZES);
  KeepArguments(&job, call_memory);
  const bool is_nested = SPI_inside_nonatomic_context();
  if (is_nested) {
    SPI_connect_ext(SPI_OPT_NONATOMIC);
  }
  MemoryContextSwitchTo(call_memory);
  RequireWholeValues(job);
  const JobResult result = RunColumnJob(job);
  RequireNothingLeft(job, result);
  if (is_nested) {
    SPI_finish();
  }
  MemoryContextSwitchTo(caller_memory);
  ResultRow counts;
  counts.BigInt(result.changed);
  counts.BigInt(result.unchanged);
  counts.BigInt(result.left());
  const Datum row = counts.AsResult(fcinfo);
  MemoryContextDelete(call_memory);
  return row;
}

}  // namespace fernet::pg
