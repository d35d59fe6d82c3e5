#include "pg/column/row_storage.hpp"

#include "pg/server/raise.hpp"

extern "C" {
#include "access/heapam.h"
#include "commands/defrem.h"
#include "parser/parse_func.h"
}

namespace fernet::pg {
namespace {

// FindCatalog returns a table of another extension, or InvalidOid. Only a
// superuser can have made it, so no code of others runs when it is read.
Oid FindCatalog(const char *schema, const char *name) {
  const Oid space = get_namespace_oid(schema, true);
  const Oid table =
      OidIsValid(space) ? get_relname_relid(name, space) : InvalidOid;
  if (!OidIsValid(table)) {
    return InvalidOid;
  }
  const Relation catalog = relation_open(table, AccessShareLock);
  const bool is_trusted = catalog->rd_rel->relkind == RELKIND_RELATION &&
                          superuser_arg(catalog->rd_rel->relowner);
  relation_close(catalog, NoLock);
  return is_trusted ? table : InvalidOid;
}

bool HasFunction(const char *name) {
  const Oid types[] = {REGCLASSOID};
  List *const names =
      list_make2(makeString(pstrdup("pg_catalog")), makeString(pstrdup(name)));
  return OidIsValid(LookupFuncName(names, lengthof(types), types, true));
}

// Holds says whether `query`, in which $1 is `table`, returns a row.
bool Holds(const char *query, Oid table) {
  Oid types[] = {OIDOID};
  Datum values[] = {ObjectIdGetDatum(table)};
  SPI_connect();
  PushActiveSnapshot(GetLatestSnapshot());
  const bool found =
      SPI_execute_with_args(query, lengthof(types), types, values, nullptr,
                            true, 1) == SPI_OK_SELECT &&
      SPI_processed == 1;
  PopActiveSnapshot();
  SPI_finish();
  return found;
}

// Cause is why the rows of a table are elsewhere, and what can rotate it. Both
// are null if they are not.
struct Cause {
  const char *text;
  const char *hint;
};

Cause CauseInForm(Oid table) {
  const Relation relation = relation_open(table, NoLock);
  Cause cause = {};
  if (relation->rd_rel->relkind == RELKIND_FOREIGN_TABLE) {
    cause = {"It is a foreign table.",
             "Rotate it with the program pg_fernet, or on the server that "
             "holds its rows."};
  } else if ((relation->rd_rel->relkind == RELKIND_RELATION ||
              relation->rd_rel->relkind == RELKIND_MATVIEW) &&
             relation->rd_tableam != GetHeapamTableAmRoutine()) {
    cause = {psprintf("Its access method is %s, not heap.",
                      get_am_name(relation->rd_rel->relam)),
             kRotateElsewhere};
  }
  relation_close(relation, NoLock);
  return cause;
}

Cause CauseInCitus(Oid table) {
  if (!OidIsValid(FindCatalog("pg_catalog", "pg_dist_partition"))) {
    return {};
  }
  if (Holds("SELECT FROM pg_catalog.pg_dist_partition AS p"
            " WHERE p.logicalrelid::pg_catalog.oid OPERATOR(pg_catalog.=) $1",
            table)) {
    return {"It is a table of Citus, which keeps its rows in shards.",
            "Rotate it with the program pg_fernet, from the coordinator."};
  }
  if (IsShardOfCitus(table)) {
    return {"It is a shard of Citus, which may move it to another server.",
            "Rotate the table that it is a shard of with the program "
            "pg_fernet, from the coordinator."};
  }
  return {};
}

// IsCompressedChunk: up to TimescaleDB 2.28 a chunk is known by its name.
bool IsCompressedChunk(Oid chunks, Oid table) {
  if (get_attnum(chunks, "compressed_chunk_id") == InvalidAttrNumber) {
    return Holds(
        "SELECT FROM _timescaledb_catalog.chunk AS k"
        " WHERE k.relid::pg_catalog.oid OPERATOR(pg_catalog.=) $1"
        " AND k.status OPERATOR(pg_catalog.&) 1 OPERATOR(pg_catalog.<>) 0",
        table);
  }
  return Holds(
      "SELECT FROM _timescaledb_catalog.chunk AS k"
      " JOIN pg_catalog.pg_class AS c"
      " ON c.relname OPERATOR(pg_catalog.=) k.table_name"
      " JOIN pg_catalog.pg_namespace AS n"
      " ON n.oid OPERATOR(pg_catalog.=) c.relnamespace"
      " AND n.nspname OPERATOR(pg_catalog.=) k.schema_name"
      " WHERE c.oid OPERATOR(pg_catalog.=) $1"
      " AND k.compressed_chunk_id IS NOT NULL",
      table);
}

Cause CauseInTimescale(Oid table) {
  const Oid chunks = FindCatalog("_timescaledb_catalog", "chunk");
  if (!OidIsValid(chunks) || !IsCompressedChunk(chunks, table)) {
    return {};
  }
  return {"It is a compressed chunk of TimescaleDB.",
          "Rotate the hypertable with the program pg_fernet, or decompress the "
          "chunk first."};
}

}  // namespace

bool IsShardOfCitus(Oid table) {
  return OidIsValid(FindCatalog("pg_catalog", "pg_dist_partition")) &&
         HasFunction("relation_is_a_known_shard") &&
         Holds("SELECT WHERE pg_catalog.relation_is_a_known_shard($1)", table);
}

Elsewhere FindElsewhere(const List *tables) {
  constexpr Cause (*kLooks[])(Oid) = {CauseInForm, CauseInCitus,
                                      CauseInTimescale};
  for (int i = 0; i < list_length(tables); ++i) {
    const Oid table = list_nth_oid(tables, i);
    for (const auto &look : kLooks) {
      const Cause cause = look(table);
      if (cause.text != nullptr) {
        return {table, cause.text, cause.hint};
      }
    }
  }
  return {InvalidOid, nullptr, nullptr};
}

void RequireRowsInPages(const List *tables) {
  const Elsewhere elsewhere = FindElsewhere(tables);
  if (OidIsValid(elsewhere.table)) {
    FERNET_RAISE(ERRCODE_FEATURE_NOT_SUPPORTED,
                 errmsg("the rows of \"%s\" are not in its pages",
                        get_rel_name(elsewhere.table)),
                 errdetail_internal("%s", elsewhere.cause),
                 errhint("%s", elsewhere.hint));
  }
}

}  // namespace fernet::pg
