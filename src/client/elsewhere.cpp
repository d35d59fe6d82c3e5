#include "client/elsewhere.hpp"

#include "client/text.hpp"

namespace fernet::client {
namespace {

// Each of the tables with all that is below it.
#define FERNET_PARTS                                                         \
  " FROM unnest($1::oid[]) AS r(root) CROSS JOIN LATERAL (SELECT r.root AS " \
  "relid UNION SELECT p.relid FROM pg_partition_tree(r.root) AS p) AS t "    \
  "JOIN pg_class AS c ON c.oid = t.relid "

constexpr const char *kForm =
    "SELECT r.root, format(CASE WHEN r.root = c.oid THEN 'It' ELSE 'Its"
    " partition %3$I' END || CASE WHEN c.relkind = 'f' THEN ' is a foreign"
    " table.' ELSE ' has the access method %2$I, not heap.' END,"
    " '', a.amname, c.relname), c.relkind = 'f'" FERNET_PARTS
    " LEFT JOIN pg_am AS a ON a.oid = c.relam WHERE c.relkind = 'f'"
    " OR c.relkind IN ('r', 'm')"
    " AND a.amhandler <> 'heap_tableam_handler'::regproc";

// Only a superuser can have made these catalogs, so no code of others runs when
// they are read.
constexpr const char *kCatalogs =
    "SELECT to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL,"
    " EXISTS (SELECT FROM pg_class AS c JOIN pg_roles AS o"
    "  ON o.oid = c.relowner AND o.rolsuper"
    "  WHERE c.oid = to_regclass('_timescaledb_catalog.chunk')"
    "  AND c.relkind = 'r'),"
    " EXISTS (SELECT FROM pg_attribute"
    "  WHERE attrelid = to_regclass('_timescaledb_catalog.chunk')"
    "  AND attname = 'relid')";

constexpr const char *kCitus =
    "SELECT r.root, 'It is a table of Citus, which keeps its rows in"
    " shards.', true" FERNET_PARTS
    " JOIN pg_dist_partition AS d ON d.logicalrelid = t.relid";

constexpr const char *kTimescale =
    "SELECT r.root, 'It is a compressed chunk of TimescaleDB.', "
    "false" FERNET_PARTS
    " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    " JOIN _timescaledb_catalog.chunk AS k ON k.table_name = c.relname"
    " AND k.schema_name = n.nspname"
    " WHERE k.compressed_chunk_id IS NOT NULL";

// Since 2.29 it knows chunks by their OIDs.
constexpr const char *kTimescaleByOid =
    "SELECT r.root, 'It is a compressed chunk of TimescaleDB.', "
    "false" FERNET_PARTS
    " JOIN _timescaledb_catalog.chunk AS k ON k.relid = c.oid"
    " WHERE k.status & 1 <> 0";

}  // namespace

std::map<std::string, Elsewhere> FindElsewhere(
    Connection *connection, const std::vector<std::string> &oids) {
  std::map<std::string, Elsewhere> causes;
  const std::vector<Value> parts = {ArrayLiteral(oids)};
  const auto look = [&](const char *statement) {
    const Result result = connection->Query(statement, parts);
    for (int row = 0; row < result.rows(); ++row) {
      Elsewhere &one = causes[result.Text(row, 0)];
      if (one.cause.empty()) {
        one.cause = result.Text(row, 1);
      }
      one.hides_writers = one.hides_writers || result.Truth(row, 2);
    }
  };
  const Result catalogs = connection->Query(kCatalogs);
  look(kForm);
  if (catalogs.Truth(0, 0)) {
    look(kCitus);
  }
  if (catalogs.Truth(0, 1)) {
    look(catalogs.Truth(0, 2) ? kTimescaleByOid : kTimescale);
  }
  return causes;
}

}  // namespace fernet::client
