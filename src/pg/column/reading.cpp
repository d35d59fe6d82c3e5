#include "pg/column/reading.hpp"

#include <algorithm>

#include "pg/column/job_lock.hpp"
#include "pg/column/owner_rights.hpp"
#include "pg/column/row_storage.hpp"
#include "pg/server/raise.hpp"
#include "pg/server/transactions.hpp"
#include "pg/session/session_keys.hpp"

namespace fernet::pg {
namespace {

bool AreSame(const List *some, const List *others) {
  return list_length(some) == list_length(others) &&
         list_difference_oid(some, others) == NIL;
}

// AskOne is the first column of the first row of a query in the active
// snapshot. It returns false if there is no row.
bool AskOne(const char *query, int count, Oid *types, Datum *values,
            Datum *out) {
  SPI_connect();
  const int result =
      SPI_execute_with_args(query, count, types, values, nullptr, true, 1);
  const bool found = result == SPI_OK_SELECT && SPI_processed == 1;
  if (found) {
    bool is_null = false;
    *out = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
                         &is_null);
  }
  SPI_finish();
  return found;
}

// PartitionedAbove lists the tables that `relation` is a partition of.
List *PartitionedAbove(Oid relation) {
  return get_rel_relispartition(relation) ? get_partition_ancestors(relation)
                                          : NIL;
}

// AddCounts adds to `counts` how many values a query finds in each column.
void AddCounts(const char *from, ColumnNames columns, std::int64_t *counts) {
  StringInfoData query;
  initStringInfo(&query);
  appendStringInfoString(&query, "SELECT");
  for (std::size_t i = 0; i < columns.size(); ++i) {
    appendStringInfo(&query, "%s pg_catalog.count(t.%s)", i == 0 ? "" : ",",
                     quote_identifier(columns[i]));
  }
  appendStringInfo(&query, " FROM %s AS t", from);
  SPI_connect();
  if (SPI_execute(query.data, true, 1) == SPI_OK_SELECT && SPI_processed == 1) {
    for (std::size_t i = 0; i < columns.size(); ++i) {
      bool is_null = false;
      counts[i] += DatumGetInt64(
          SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
                        static_cast<int>(i + 1), &is_null));
    }
  }
  SPI_finish();
}

const char *QualifiedName(Oid table) {
  return quote_qualified_identifier(
      get_namespace_name(get_rel_namespace(table)), get_rel_name(table));
}

// RequireSelect: a partition may belong to a superuser, and the tables above
// it, with whose code it is read, to another role.
void RequireSelect(Relation relation, Oid role, ColumnNames columns) {
  const Oid table = RelationGetRelid(relation);
  const auto may_read = [=](const char *column) {
    return pg_attribute_aclcheck(table, get_attnum(table, column), role,
                                 ACL_SELECT) == ACLCHECK_OK;
  };
  if (pg_class_aclcheck(table, role, ACL_SELECT) != ACLCHECK_OK &&
      !std::all_of(columns.begin(), columns.end(), may_read)) {
    const char *const table_name = QualifiedName(table);
    const char *const role_name =
        quote_identifier(GetUserNameFromId(role, false));
    FERNET_RAISE(
        ERRCODE_INSUFFICIENT_PRIVILEGE,
        errmsg("role %s may not read %s, which inherits from a table of that "
               "role",
               role_name, table_name),
        errdetail("The values that were changed stay changed. Nothing is "
                  "proved about them."),
        errhint("GRANT SELECT ON %s TO %s, or ALTER TABLE %s OWNER TO %s, and "
                "repeat the call.",
                table_name, role_name, table_name, role_name));
  }
}

// CountAsOwner counts one table of those that a superuser reads: the planner
// evaluates constant expressions of its indexes, which are the owner's code.
// Children are counted on their own, for each may have another owner.
void CountAsOwner(Oid table, ColumnNames columns, std::int64_t *counts) {
  const Relation relation = relation_open(table, NoLock);
  OwnerRights rights = {};
  TakeOwnerRights(relation, &rights);
  Oid user = InvalidOid;
  int context = 0;
  GetUserIdAndSecContext(&user, &context);
  RequireSelect(relation, user, columns);
  // Row security hides nothing from the caller.
  SetUserIdAndSecContext(user, context | SECURITY_NOFORCE_RLS);
  AddCounts(psprintf("%s%s", has_subclass(table) ? "ONLY " : "",
                     QualifiedName(table)),
            columns, counts);
  SetUserIdAndSecContext(user, context);
  LeaveOwnerRights(rights);
  relation_close(relation, NoLock);
}

// CountAsCaller has the rights of the caller, as any SELECT, but such code gets
// no key and changes no setting.
void CountAsCaller(Oid relation, ColumnNames columns, std::int64_t *counts) {
  Oid user = InvalidOid;
  int context = 0;
  GetUserIdAndSecContext(&user, &context);
  const int settings_level = NewGUCNestLevel();
  SetUserIdAndSecContext(user, context | SECURITY_RESTRICTED_OPERATION |
                                   session_keys::kOutOfReach);
  AddCounts(QualifiedName(relation), columns, counts);
  AtEOXact_GUC(false, settings_level);
  SetUserIdAndSecContext(user, context);
}

const std::int64_t *CountByQuery(const Reading &reading, Oid relation,
                                 ColumnNames columns) {
  auto *const counts = static_cast<std::int64_t *>(
      palloc0(columns.size() * sizeof(std::int64_t)));
  if (!superuser()) {
    CountAsCaller(relation, columns, counts);
    return counts;
  }
  for (int i = 0; i < list_length(reading.tables); ++i) {
    CountAsOwner(list_nth_oid(reading.tables, i), columns, counts);
  }
  return counts;
}

// IsQuiet: a transaction that could bring an old value after `snapshot` was
// taken has an xid in it; or it has got one since, so that the next one is
// another; or it is still there, with a lock or an old snapshot.
bool IsQuiet(Oid relation, Snapshot snapshot, Reader reader) {
  return snapshot->xcnt == 0 && !snapshot->suboverflowed &&
         CollectWriters(find_all_inheritors(relation, NoLock, nullptr), reader)
                 .count == 0 &&
         TransactionIdEquals(ReadNextTransactionId(), snapshot->xmax);
}

}  // namespace

void RequireReadCommitted() {
  if (IsolationUsesXactSnapshot()) {
    FERNET_RAISE(
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        errmsg("the transaction isolation level must be READ COMMITTED"),
        errdetail("Above it, the snapshot of the transaction is older than the "
                  "lock on the table, so it may not see every row."),
        errhint("Call the function outside of a transaction block, or begin "
                "with BEGIN ISOLATION LEVEL READ COMMITTED."));
  }
}

void RefuseProof(const char *name) {
  FERNET_RAISE(
      ERRCODE_OBJECT_IN_USE,
      errmsg("old values came into %s, or a table was rewritten, while open "
             "transactions were waited for",
             name),
      errdetail(
          "A transaction that is still open may have copied such a value."),
      errhint("Run this again. No key can be dropped yet."));
}

void RequireNoJobBeside(Oid relation) {
  List *const tables =
      list_concat_copy(find_all_inheritors(relation, NoLock, nullptr),
                       PartitionedAbove(relation));
  RequireNoOtherJob(list_delete_oid(tables, relation));
}

void WaitForOldWriters(Oid relation, const char *name, Proof *proof,
                       void (*on_wait)(void *state), void *state) {
  List *tables = find_all_inheritors(relation, NoLock, nullptr);
  RequireNoOtherJob(list_concat_copy(tables, PartitionedAbove(relation)));
  MarkAsReader(proof->reader);
  // Before they are collected: what has ended by then is watched.
  proof->watch = BeginWatch(tables);
  WaitForWriters(CollectWriters(tables, proof->reader), name, on_wait, state);
}

void JudgeProof(const Reading &reading, ColumnNames columns, Proof *proof) {
  proof->holds =
      reading.is_quiet || !MayHaveMissed(proof->watch, reading.tables, columns,
                                         proof->source, proof->rule);
}

void EndProof(const Proof &proof) {
  EndWatch(proof.watch);
  UnmarkAsReader(proof.reader);
}

Reading BeginReading(Oid relation, Reader reader) {
  RequireReadCommitted();
  MarkAsReader(reader);
  Reading reading;
  reading.reader = reader;
  while (true) {
    reading.tables = TablesBelow(relation, ColumnAccess::kRead);
    reading.snapshot = RegisterSnapshot(GetLatestSnapshot());
    // A partition that was attached in between is locked by this second look.
    if (AreSame(reading.tables, TablesBelow(relation, ColumnAccess::kRead))) {
      break;
    }
    UnregisterSnapshot(reading.snapshot);
  }
  // A crash must not bring back what the reading does not find any more.
  FlushWal();
  reading.is_quiet = IsQuiet(relation, reading.snapshot, reader);
  PushActiveSnapshot(reading.snapshot);
  return reading;
}

void EndReading(const Reading &reading) {
  PopActiveSnapshot();
  UnregisterSnapshot(reading.snapshot);
  UnmarkAsReader(reading.reader);
}

void RequireSameCount(const Reading &reading, Oid relation, ColumnNames columns,
                      const std::int64_t *values) {
  // What came meanwhile; a superuser counts tables with pages only.
  RequireRowsInPages(find_all_inheritors(relation, AccessShareLock, nullptr));
  const std::int64_t *const counted = CountByQuery(reading, relation, columns);
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (counted[i] == values[i]) {
      continue;
    }
    FERNET_RAISE(
        ERRCODE_FEATURE_NOT_SUPPORTED,
        errmsg("the pages of \"%s\" hold " INT64_FORMAT
               " values of \"%s\", but a query counts " INT64_FORMAT,
               get_rel_name(relation), values[i], columns[i], counted[i]),
        errdetail("Rows of this table are stored somewhere else, as those of a "
                  "distributed table or a compressed chunk are. Nothing is "
                  "proved about them."),
        errhint("%s", kRotateElsewhere));
  }
}

ColumnNames ColumnsToCount(ColumnNames columns, const char *source) {
  if (source == nullptr) {
    return columns;
  }
  auto *const names = static_cast<const char **>(
      palloc((columns.size() + 1) * sizeof(const char *)));
  std::copy(columns.begin(), columns.end(), names);
  names[columns.size()] = source;
  return {names, columns.size() + 1};
}

bool IsSubscribed(const Reading &reading) {
  Datum found = BoolGetDatum(false);
  const int count = list_length(reading.tables);
  auto *const tables = static_cast<Datum *>(
      palloc(sizeof(Datum) * static_cast<Size>(count + 1)));
  for (int i = 0; i < count; ++i) {
    tables[i] = ObjectIdGetDatum(list_nth_oid(reading.tables, i));
  }
  Oid types[] = {OIDARRAYOID};
  Datum values[] = {PointerGetDatum(
      construct_array(tables, count, OIDOID, sizeof(Oid), true, TYPALIGN_INT))};
  return AskOne(
             "SELECT true FROM pg_catalog.pg_subscription_rel AS r"
             " JOIN pg_catalog.pg_subscription AS s"
             " ON s.oid OPERATOR(pg_catalog.=) r.srsubid"
             " WHERE s.subenabled"
             " AND r.srrelid OPERATOR(pg_catalog.=) ANY ($1)",
             1, types, values, &found) &&
         DatumGetBool(found);
}

}  // namespace fernet::pg
