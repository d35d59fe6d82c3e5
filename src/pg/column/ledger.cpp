#include "pg/column/ledger.hpp"

#include "pg/report/report.hpp"

namespace fernet::pg {
namespace {

constexpr const char *kTableName = "fernet_rotation";

// AsOwner runs a statement with the rights of the table's owner, and nothing of
// the caller's but the values.
void AsOwner(Oid table, const char *statement, int count, Oid *types,
             Datum *values, int expected) {
  Oid caller = InvalidOid;
  int context = 0;
  GetUserIdAndSecContext(&caller, &context);
  const HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
  if (!HeapTupleIsValid(tuple)) {
    return;
  }
  const Oid owner = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relowner;
  ReleaseSysCache(tuple);
  // An error puts the identity back with the transaction.
  SetUserIdAndSecContext(owner, context | SECURITY_LOCAL_USERID_CHANGE |
                                    SECURITY_RESTRICTED_OPERATION |
                                    SECURITY_NOFORCE_RLS);
  const int result =
      SPI_execute_with_args(statement, count, types, values, nullptr, false, 0);
  SetUserIdAndSecContext(caller, context);
  if (result != expected) {
    FERNET_RAISE(ERRCODE_INTERNAL_ERROR,
                 errmsg("could not write to \"%s\": %s", kTableName,
                        SPI_result_code_string(result)));
  }
}

// Hold keeps the ledger where it is until the transaction ends. Returns false
// if it is gone: the extension may have been dropped since the job began.
bool Hold(Oid table) {
  const Relation relation = try_relation_open(table, RowExclusiveLock);
  if (relation == nullptr) {
    return false;
  }
  relation_close(relation, NoLock);
  return true;
}

// TableName is for a table that is held.
const char *TableName(Oid table) {
  return quote_qualified_identifier(
      get_namespace_name(get_rel_namespace(table)), get_rel_name(table));
}

const char *FingerprintOf(const Key &key) {
  FingerprintText fingerprint;
  return Fingerprint(key, &fingerprint) == Status::kOk
             ? pstrdup(fingerprint.data())
             : "";
}

// MarkInterrupted: a job holds its lock for as long as it runs, so a row that
// says "running" and whose lock nobody holds has lost its job. This session is
// about to run its next, so all of its rows have.
void MarkInterrupted(Oid table) {
  AsOwner(table,
          psprintf("UPDATE %s AS r SET state = 'interrupted'"
                   " WHERE r.state OPERATOR(pg_catalog.=) 'running'"
                   " AND (r.pid OPERATOR(pg_catalog.=) %d"
                   " OR NOT %s(r.reloid, r.lock_part, r.pid))",
                   TableName(table), MyProcPid,
                   quote_qualified_identifier(
                       get_namespace_name(get_rel_namespace(table)),
                       "fernet_rotation_is_alive")),
          0, nullptr, nullptr, SPI_OK_UPDATE);
}

}  // namespace

Ledger OpenLedger(Oid caller, const LedgerJob &job) {
  const Oid table = get_relname_relid(kTableName, get_func_namespace(caller));
  if (!OidIsValid(table) || !Hold(table)) {
    return {};
  }
  MarkInterrupted(table);
  Oid types[] = {OIDOID,  TEXTOID, TEXTOID, TEXTOID, OIDOID,
                 INT4OID, INT4OID, INT4OID, TEXTOID, OIDOID};
  Datum values[] = {
      ObjectIdGetDatum(job.relation),
      CStringGetTextDatum(job.relation_name),
      CStringGetTextDatum(job.column),
      CStringGetTextDatum(job.operation),
      ObjectIdGetDatum(GetUserId()),
      Int32GetDatum(MyProcPid),
      Int32GetDatum(job.slice),
      Int32GetDatum(job.slices),
      CStringGetTextDatum(FingerprintOf(*job.first_key)),
      ObjectIdGetDatum(job.lock_part),
  };
  AsOwner(table,
          psprintf("INSERT INTO %s (reloid, relation, column_name, operation,"
                   " role, pid, slice, slices, fingerprint, lock_part)"
                   " VALUES ($1, $2, $3, $4, (SELECT r.rolname FROM"
                   " pg_catalog.pg_roles AS r WHERE r.oid"
                   " OPERATOR(pg_catalog.=) $5), $6, $7, $8, $9, $10)"
                   " RETURNING id, started",
                   TableName(table)),
          lengthof(types), types, values, SPI_OK_INSERT_RETURNING);
  // The ledger is its owner's, who may have a trigger that wants no row.
  if (SPI_processed != 1) {
    return {};
  }
  const auto returned = [](int column) {
    bool is_null = false;
    return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column,
                         &is_null);
  };
  return {.table = table,
          .id = DatumGetInt64(returned(1)),
          .started = DatumGetTimestampTz(returned(2))};
}

void WriteLedger(const Ledger &ledger, const LedgerEntry &entry) {
  if (!OidIsValid(ledger.table)) {
    return;
  }
  if (!Hold(ledger.table)) {
    FERNET_RAISE(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                 errmsg("the extension was dropped while a job of it ran"),
                 errdetail("What the job has committed stays."));
  }
  Oid types[] = {INT8OID, TEXTOID, INT4OID, INT8OID,       INT8OID,
                 INT8OID, INT8OID, INT8OID, TIMESTAMPTZOID};
  Datum values[] = {
      Int64GetDatum(ledger.id),
      CStringGetTextDatum(entry.state),
      Int32GetDatum(entry.pass),
      Int64GetDatum(entry.pages_done),
      Int64GetDatum(entry.pages_total),
      Int64GetDatum(entry.changed),
      Int64GetDatum(entry.unchanged),
      Int64GetDatum(entry.failed),
      TimestampTzGetDatum(ledger.started),
  };
  AsOwner(ledger.table,
          psprintf("UPDATE %s SET state = $2, pass = $3, pages_done = $4,"
                   " pages_total = $5, rotated = $6, unchanged = $7,"
                   " failed = $8, updated = pg_catalog.clock_timestamp(),"
                   " finished = CASE WHEN $2 OPERATOR(pg_catalog.<>) 'running'"
                   " THEN pg_catalog.clock_timestamp() END"
                   " WHERE id OPERATOR(pg_catalog.=) $1"
                   " AND started OPERATOR(pg_catalog.=) $9",
                   TableName(ledger.table)),
          lengthof(types), types, values, SPI_OK_UPDATE);
}

}  // namespace fernet::pg
