#include "client/catalog.hpp"

#include "client/pattern.hpp"
#include "client/text.hpp"

namespace fernet::client {
namespace {

constexpr const char *kServer =
    "SELECT (SELECT format('%I', n.nspname) FROM pg_extension AS e"
    " JOIN pg_namespace AS n ON n.oid = e.extnamespace"
    " WHERE e.extname = 'pg_fernet'), pg_is_in_recovery()";

// Tables as fernet_find_tokens lists them, with their schemas. Patterns match
// in the collation of the database, as in psql.
#define FERNET_MATCHES(schemas, tables)                     \
  "EXISTS (SELECT FROM unnest(" schemas "::text[], " tables \
  "::text[])"                                               \
  " AS p(s, t) WHERE n.nspname ~ p.s COLLATE \"default\""   \
  " AND c.relname ~ p.t COLLATE \"default\")"
constexpr const char *kTables =
    "WITH RECURSIVE listed AS (SELECT c.oid, format('%I.%I', n.nspname, c.relname)"
    "  AS name, c.relkind, c.relispartition,"
    "  cardinality($1::text[]) = 0 OR " FERNET_MATCHES("$1", "$2") " AS meant, "
    FERNET_MATCHES("$3", "$4") " AS excluded"
    " FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    " WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'm', 'f')"
    " AND NOT pg_is_other_temp_schema(n.oid)"
    " AND NOT EXISTS (SELECT FROM pg_depend AS d JOIN pg_extension AS e"
    "  ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass"
    "  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid"
    "  AND d.deptype = 'e' AND e.extname = 'pg_fernet')),"
    // What inherits from a table is meant with it.
    " family(oid) AS (SELECT oid FROM listed WHERE meant AND NOT excluded"
    "  UNION SELECT i.inhrelid FROM family AS f JOIN pg_inherits AS i"
    "  ON i.inhparent = f.oid),"
    " roots AS (SELECT l.oid, l.name, l.relkind,"
    "  l.oid IN (SELECT oid FROM family) AS meant,"
    "  l.excluded OR coalesce(above.excluded, false) AS excluded,"
    "  coalesce(above.meant, false) AS has_root"
    "  FROM listed AS l LEFT JOIN LATERAL ("
    "  SELECT bool_or(r.excluded) AS excluded,"
    "   bool_or(r.meant AND NOT r.excluded) AS meant"
    "  FROM pg_partition_ancestors(l.oid) AS a(relid) JOIN listed AS r"
    "  ON r.oid = a.relid WHERE a.relid <> l.oid AND l.relispartition)"
    "  AS above ON true)"
    " SELECT oid, name, relkind, excluded, has_root,"
    " CASE WHEN excluded THEN 0 WHEN relkind = 'p' THEN (SELECT"
    "  coalesce(sum(pg_table_size(t.relid)), 0)"
    "  FROM pg_partition_tree(roots.oid) AS t WHERE t.isleaf)"
    " WHEN relkind = 'f' THEN 0 ELSE coalesce(pg_table_size(oid), 0) END"
    "  AS bytes"
    " FROM roots WHERE meant OR excluded ORDER BY bytes DESC, name COLLATE \"C\"";
#define FERNET_COUNT                                                   \
  "SELECT count(*) FROM pg_class AS c JOIN pg_namespace AS n"          \
  " ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'm', 'f')" \
  " AND " FERNET_MATCHES("ARRAY[$1]", "ARRAY[$2]")
constexpr const char *kCount = FERNET_COUNT;

constexpr const char *kColumn =
    "SELECT c.oid, format('%I.%I', n.nspname, c.relname), a.attname IS NOT NULL"
    " FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    " LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = $3"
    "  AND a.attnum > 0 AND NOT a.attisdropped"
    " WHERE n.nspname = $1 AND c.relname = $2"
    " AND c.relkind IN ('r', 'p', 'm', 'f')";

// Patterns are those of one kind for tables, a schema and a table each.
struct Patterns {
  std::vector<std::string> schemas;
  std::vector<std::string> tables;

  void AddSchema(const std::string &pattern) {
    const std::vector<std::string> parts = PatternParts(pattern);
    if (parts.size() != 1) {
      throw UsageError("the pattern \"" + Printable(pattern) +
                       "\" for a schema has a dot");
    }
    schemas.push_back(parts[0]);
    tables.emplace_back("");
  }

  void AddTable(const std::string &pattern) {
    const std::vector<std::string> parts = PatternParts(pattern);
    if (parts.size() > 2) {
      throw UsageError("the pattern \"" + Printable(pattern) +
                       "\" for a table has too many dots");
    }
    schemas.push_back(parts.size() == 2 ? parts[0] : "");
    tables.push_back(parts.back());
  }
};

Patterns PatternsOf(const std::vector<std::string> &schemas,
                    const std::vector<std::string> &tables) {
  Patterns patterns;
  for (const std::string &pattern : schemas) {
    patterns.AddSchema(pattern);
  }
  for (const std::string &pattern : tables) {
    patterns.AddTable(pattern);
  }
  return patterns;
}

void AddTables(const Result &result, Catalog *catalog) {
  for (int row = 0; row < result.rows(); ++row) {
    const std::string name = result.Text(row, 1);
    const bool has_root = result.Truth(row, 4);
    if (result.Truth(row, 3)) {
      catalog->excluded.insert(name);
      if (has_root) {
        throw UsageError("the partition " + Printable(name) +
                             " cannot be left out without its table",
                         "Leave out the whole table, or name the other "
                         "partitions with --table.");
      }
    } else if (!has_root) {
      catalog->tables.push_back({.oid = result.Text(row, 0),
                                 .name = name,
                                 .kind = result.Text(row, 2)[0],
                                 .bytes = result.Number(row, 5),
                                 .elsewhere = {}});
    }
  }
}

void FindElsewhere(Connection *connection, std::vector<Table> *tables) {
  std::vector<std::string> oids;
  oids.reserve(tables->size());
  for (const Table &table : *tables) {
    oids.push_back(table.oid);
  }
  const auto causes = FindElsewhere(connection, oids);
  for (Table &table : *tables) {
    const auto cause = causes.find(table.oid);
    table.elsewhere = cause == causes.end() ? Elsewhere() : cause->second;
  }
}

}  // namespace

std::int64_t Catalog::bytes() const {
  std::int64_t sum = 0;
  for (const Table &table : tables) {
    sum += table.bytes;
  }
  return sum;
}

void UseCatalogNames(Connection *connection) {
  connection->Query(
      "SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', "
      "false)");
}

Catalog ReadCatalog(Connection *connection, const Options &options) {
  const Patterns meant = PatternsOf(options.schemas, options.tables);
  const Patterns excluded = PatternsOf(options.not_schemas, options.not_tables);
  const Result server = connection->Query(kServer);
  Catalog catalog = {.extension = server.Text(0, 0),
                     .in_recovery = server.Truth(0, 1),
                     .tables = {},
                     .excluded = {},
                     .matches = {}};
  AddTables(connection->Query(kTables, {ArrayLiteral(meant.schemas),
                                        ArrayLiteral(meant.tables),
                                        ArrayLiteral(excluded.schemas),
                                        ArrayLiteral(excluded.tables)}),
            &catalog);
  FindElsewhere(connection, &catalog.tables);
  for (std::size_t i = 0; i < meant.schemas.size(); ++i) {
    catalog.matches.push_back(
        connection->Query(kCount, {meant.schemas[i], meant.tables[i]})
            .Number(0, 0));
  }
  return catalog;
}

ColumnName FindColumn(Connection *connection, const std::string &name) {
  const std::vector<std::string> parts = NameParts(name);
  const Result result =
      connection->Query(kColumn, {parts[0], parts[1], parts[2]});
  if (result.rows() == 0) {
    return {"", "", parts[2], false};
  }
  return {result.Text(0, 1), result.Text(0, 0), parts[2], result.Truth(0, 2)};
}

}  // namespace fernet::client
