// SQL procedure fernet_rotate_column: re-encrypts a column under the first key
// of fernet.key, a range of heap pages at a time, with a commit after each.
//
// A batch reads its rows, makes the new tokens, and writes those whose value is
// still the one that was read: what the application changed meanwhile is left
// for the next pass. Passes repeat until one finds nothing to rotate.

#include <algorithm>

#include "pg/boundary.hpp"
#include "pg/report.hpp"
#include "pg/rotation_target.hpp"
#include "pg/session_keys.hpp"
#include "pg/token_value.hpp"

namespace fernet::pg {
namespace {

constexpr int kMaxWarnings = 20;
// A pass that finds rows changed under it is followed by another; an
// application that never lets a row rest must not keep us here for ever.
constexpr int kMaxPasses = 20;

// PassCounts is what one pass over the table has found.
struct PassCounts {
  std::int64_t rotated = 0;
  std::int64_t under_first_key = 0;
  std::int64_t failed = 0;
  std::int64_t changed_meanwhile = 0;

  std::int64_t total() const {
    return rotated + under_first_key + failed + changed_meanwhile;
  }
};

// Batch is the rows of one page range that must be written.
struct Batch {
  int size = 0;
  Datum *ctids;
  Datum *old_values;
  Datum *new_values;
};

// Rotation is one call of the procedure. Everything in it is plain data.
struct Rotation {
  Oid relation;
  const char *column;
  std::int64_t batch_rows;
  SessionKeys keys;
  MemoryContext batch_memory;  // reset after each batch
  std::int64_t pages_per_batch = 1;
  int warnings = 0;
};

void RequireNoTransactionBlock(FunctionCallInfo fcinfo) {
  const bool may_commit = fcinfo->context != nullptr &&
                          IsA(fcinfo->context, CallContext) &&
                          !castNode(CallContext, fcinfo->context)->atomic;
  if (!may_commit) {
    DropContext();
    ereport(ERROR, errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
            errmsg("fernet_rotate_column cannot run inside a transaction "
                   "block or a function"),
            errdetail("It commits after every batch."), HideStatement());
  }
}

void RequireArgument(FunctionCallInfo fcinfo, int index, const char *name) {
  if (PG_ARGISNULL(index)) {
    DropContext();
    ereport(ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
            errmsg("\"%s\" must not be null", name), HideStatement());
  }
}

Datum PageStart(BlockNumber page) {
  auto *const tid = static_cast<ItemPointer>(palloc(sizeof(ItemPointerData)));
  // ItemPointerSet without its silent narrowing; offset 0 is before every row.
  tid->ip_blkid.bi_hi = static_cast<uint16>(page >> 16);
  tid->ip_blkid.bi_lo = static_cast<uint16>(page & 0xffff);
  tid->ip_posid = 0;
  return PointerGetDatum(tid);
}

void Execute(const char *statement, int argument_count, Oid *types,
             Datum *values, int expected) {
  const int result = SPI_execute_with_args(statement, argument_count, types,
                                           values, nullptr, false, 0);
  if (result != expected) {
    elog(ERROR, "unexpected result of a rotation's statement: %s",
         SPI_result_code_string(result));
  }
}

void WarnOfFailure(Rotation *rotation, const RotationTarget &target,
                   Datum ctid, Status status) {
  ++rotation->warnings;
  if (rotation->warnings > kMaxWarnings) {
    return;
  }
  const auto *const tid = reinterpret_cast<ItemPointer>(DatumGetPointer(ctid));
  ereport(WARNING, errcode(FailureCode(status)),
          errmsg("value at ctid (%u,%u) of %s.%s was not rotated",
                 ItemPointerGetBlockNumber(tid),
                 static_cast<unsigned>(ItemPointerGetOffsetNumber(tid)),
                 target.relation_name, target.column_name),
          IsMalformedToken(status)
              ? errdetail("It is not a Fernet token.")
              : errdetail("No key in \"fernet.key\" opens it."),
          HideStatement());
}

// ReadBatch reads the rows of `range` and makes the new values.
Batch ReadBatch(Rotation *rotation, const RotationTarget &target,
                Datum *range, PassCounts *counts) {
  Oid types[] = {TIDOID, TIDOID};
  // An upper bound that is exclusive keeps the ranges disjoint.
  Execute(psprintf("SELECT ctid, %s FROM ONLY %s"
                   " WHERE ctid OPERATOR(pg_catalog.>=) $1"
                   " AND ctid OPERATOR(pg_catalog.<) $2 AND %s IS NOT NULL",
                   target.column_name, target.relation_name,
                   target.column_name),
          2, types, range, SPI_OK_SELECT);
  const std::uint64_t rows = SPI_processed;
  SPITupleTable *const table = SPI_tuptable;
  Batch batch = {
      .ctids = static_cast<Datum *>(palloc((rows + 1) * sizeof(Datum))),
      .old_values = static_cast<Datum *>(palloc((rows + 1) * sizeof(Datum))),
      .new_values = static_cast<Datum *>(palloc((rows + 1) * sizeof(Datum))),
  };
  for (std::uint64_t row = 0; row < rows; ++row) {
    CHECK_FOR_INTERRUPTS();
    bool is_null = false;
    const Datum ctid =
        SPI_getbinval(table->vals[row], table->tupdesc, 1, &is_null);
    auto *const value = PG_DETOAST_DATUM_PACKED(
        SPI_getbinval(table->vals[row], table->tupdesc, 2, &is_null));
    varlena *rotated = nullptr;
    const RotationResult result = RotateValue(rotation->keys, value, &rotated);
    switch (result.kind) {
      case RotationResult::kUnchanged:
        ++counts->under_first_key;
        break;
      case RotationResult::kFailed:
        if (result.outcome.status == Status::kCryptoFailed ||
            result.outcome.status == Status::kRandomFailed) {
          ReportCryptoFailure(result.outcome.status);
        }
        ++counts->failed;
        WarnOfFailure(rotation, target, ctid, result.outcome.status);
        break;
      case RotationResult::kRotated:
        batch.ctids[batch.size] = ctid;
        batch.old_values[batch.size] = PointerGetDatum(value);
        batch.new_values[batch.size] = PointerGetDatum(rotated);
        ++batch.size;
        break;
    }
  }
  return batch;
}

// WriteBatch writes the new values over those that are still there, and
// returns how many were.
std::int64_t WriteBatch(const RotationTarget &target, const Batch &batch,
                        const Datum *range) {
  const bool is_text = target.value_type == TEXTOID;
  const Oid array_type = get_array_type(target.value_type);
  const auto array = [&](Datum *values) {
    return PointerGetDatum(construct_array(values, batch.size,
                                           target.value_type, -1, false,
                                           TYPALIGN_INT));
  };
  Oid types[] = {TIDOID, TIDOID, TIDARRAYOID, array_type, array_type};
  Datum values[] = {
      range[0], range[1],
      PointerGetDatum(construct_array(batch.ctids, batch.size, TIDOID,
                                      sizeof(ItemPointerData), false,
                                      TYPALIGN_SHORT)),
      array(batch.old_values), array(batch.new_values)};
  // The page range is there for the planner: a scan of it, joined by hash. The
  // values are compared by their bytes, whatever collation the column has.
  const char *const statement = psprintf(
      "UPDATE ONLY %s AS t SET %s = d.new_value"
      " FROM ROWS FROM (pg_catalog.unnest($3), pg_catalog.unnest($4),"
      " pg_catalog.unnest($5)) AS d(id, old_value, new_value)"
      " WHERE t.ctid OPERATOR(pg_catalog.>=) $1"
      " AND t.ctid OPERATOR(pg_catalog.<) $2"
      " AND t.ctid OPERATOR(pg_catalog.=) d.id"
      " AND t.%s::pg_catalog.%s %s OPERATOR(pg_catalog.=) d.old_value",
      target.relation_name, target.column_name, target.column_name,
      is_text ? "text" : "bytea", is_text ? "COLLATE pg_catalog.\"C\"" : "");
  Execute(statement, lengthof(types), types, values, SPI_OK_UPDATE);
  return static_cast<std::int64_t>(SPI_processed);
}

// Commit ends the batch. The statement's snapshot and locks go with it, so the
// application waits for one batch at the most.
void Commit(Rotation *rotation) {
  SPI_commit();
  MemoryContextReset(rotation->batch_memory);
}

// AdaptBatch aims the next batch at batch_rows rows by what this one held.
void AdaptBatch(Rotation *rotation, std::int64_t rows) {
  const std::int64_t aimed = rotation->pages_per_batch * rotation->batch_rows /
                             std::max<std::int64_t>(rows, 1);
  rotation->pages_per_batch = std::clamp<std::int64_t>(
      aimed, 1, std::min<std::int64_t>(rotation->pages_per_batch * 8, 100000));
}

// RunPass goes once through the pages that the table has when it starts.
PassCounts RunPass(Rotation *rotation) {
  PassCounts counts;
  std::int64_t page = 0;
  std::int64_t pages = 0;
  do {
    // Resolved anew in each transaction: the table may have been renamed, and
    // the lock on it went with the last commit.
    MemoryContextSwitchTo(rotation->batch_memory);
    const RotationTarget target =
        ResolveTarget(rotation->relation, rotation->column);
    if (page == 0) {
      pages = target.pages;
    }
    const std::int64_t end = std::min(page + rotation->pages_per_batch, pages);
    const std::int64_t before = counts.total();
    if (page < end) {
      Datum range[] = {PageStart(static_cast<BlockNumber>(page)),
                       PageStart(static_cast<BlockNumber>(end))};
      const Batch batch = ReadBatch(rotation, target, range, &counts);
      const std::int64_t written =
          batch.size == 0 ? 0 : WriteBatch(target, batch, range);
      counts.rotated += written;
      counts.changed_meanwhile += batch.size - written;
    }
    Commit(rotation);
    AdaptBatch(rotation, counts.total() - before);
    page = end;
  } while (page < pages);
  return counts;
}

[[noreturn]] void ReportValuesLeft(const Rotation &rotation,
                                   const PassCounts &last) {
  const std::int64_t left = last.failed + last.changed_meanwhile;
  DropContext();
  ereport(ERROR, errcode(kValuesLeft),
          errmsg(INT64_FORMAT " of " INT64_FORMAT
                              " values in \"%s\".\"%s\" could not be rotated",
                 left, last.total(), get_rel_name(rotation.relation),
                 rotation.column),
          errdetail(INT64_FORMAT " are not tokens or under no key of "
                                 "\"fernet.key\", " INT64_FORMAT
                                 " were changed each time.",
                    last.failed, last.changed_meanwhile),
          errhint("All other values are rotated and committed. A new CALL "
                  "tries those that are left."),
          HideStatement());
}

Datum ResultRow(FunctionCallInfo fcinfo, std::int64_t rotated,
                const PassCounts &last) {
  TupleDesc descriptor = nullptr;
  if (get_call_result_type(fcinfo, nullptr, &descriptor) !=
      TYPEFUNC_COMPOSITE) {
    elog(ERROR, "return type must be a row type");
  }
  // The last pass saw every value; those that this call did not write were
  // under the first key before.
  const std::int64_t unchanged =
      std::max<std::int64_t>(last.under_first_key - rotated, 0);
  Datum values[] = {Int64GetDatum(rotated), Int64GetDatum(unchanged),
                    Int64GetDatum(last.failed)};
  bool nulls[] = {false, false, false};
  return HeapTupleGetDatum(
      heap_form_tuple(BlessTupleDesc(descriptor), values, nulls));
}

// PinForCall pins the current keys until the memory of the CALL goes, however
// it ends: a key that was set for one transaction only is gone with the first
// commit.
SessionKeys PinForCall(MemoryContext call_memory) {
  const SessionKeys keys = session_keys::Pin();
  auto *const unpin = static_cast<MemoryContextCallback *>(
      MemoryContextAlloc(call_memory, sizeof(MemoryContextCallback)));
  unpin->func = [](void *) { session_keys::Unpin(); };
  unpin->arg = nullptr;
  MemoryContextRegisterResetCallback(call_memory, unpin);
  return keys;
}

}  // namespace
}  // namespace fernet::pg

// fernet_rotate_column(relation regclass, column_name name,
//                      batch_rows integer DEFAULT 5000, INOUT rotated bigint,
//                      INOUT unchanged bigint, INOUT failed bigint)
FERNET_SQL_FUNCTION(fernet_rotate_column) {
  namespace pg = fernet::pg;
  pg::RequireNoTransactionBlock(fcinfo);
  pg::RequireArgument(fcinfo, 0, "relation");
  pg::RequireArgument(fcinfo, 1, "column_name");
  pg::RequireArgument(fcinfo, 2, "batch_rows");
  if (PG_GETARG_INT32(2) < 1) {
    pg::DropContext();
    ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
            errmsg("\"batch_rows\" must be at least 1"), pg::HideStatement());
  }
  // Memory that outlives the commits of the call, and goes with it.
  const MemoryContext caller_memory = CurrentMemoryContext;
  const MemoryContext call_memory = AllocSetContextCreate(
      PortalContext, "pg_fernet rotation", ALLOCSET_DEFAULT_SIZES);
  pg::Rotation rotation = {
      .relation = PG_GETARG_OID(0),
      .column = MemoryContextStrdup(call_memory, NameStr(*PG_GETARG_NAME(1))),
      .batch_rows = PG_GETARG_INT32(2),
      .keys = pg::PinForCall(call_memory),
      .batch_memory = AllocSetContextCreate(call_memory, "pg_fernet batch",
                                            ALLOCSET_DEFAULT_SIZES),
  };

  SPI_connect_ext(SPI_OPT_NONATOMIC);
  std::int64_t rotated = 0;
  pg::PassCounts last;
  for (int pass = 0; pass < pg::kMaxPasses; ++pass) {
    last = pg::RunPass(&rotation);
    rotated += last.rotated;
    if (last.rotated == 0 && last.changed_meanwhile == 0) {
      break;
    }
  }
  if (last.failed + last.changed_meanwhile > 0) {
    pg::ReportValuesLeft(rotation, last);
  }
  SPI_finish();
  MemoryContextSwitchTo(caller_memory);
  const Datum result = pg::ResultRow(fcinfo, rotated, last);
  MemoryContextDelete(call_memory);
  return result;
}
