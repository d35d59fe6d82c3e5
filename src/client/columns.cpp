#include "client/columns.hpp"

#include "client/cancel.hpp"

namespace fernet::client {
namespace {

// The waits are 1, 2, 4, 8 and 16 seconds long.
constexpr int kTimesToOpen = 5;

constexpr const char *kPin =
    "SELECT set_config(s.name, s.value, false) FROM (VALUES"
    " ('client_encoding', 'SQL_ASCII'), ('row_security', 'off'),"
    " ('bytea_output', 'hex'), ('xmlbinary', 'base64'),"
    " ('xmloption', 'content'), ('array_nulls', 'on'),"
    " ('DateStyle', 'ISO, MDY'), ('IntervalStyle', 'postgres'),"
    " ('extra_float_digits', '1'), ('TimeZone', 'UTC'),"
    " ('quote_all_identifiers', 'off'), ('standard_conforming_strings', 'on'),"
    " ('transform_null_equals', 'off'))"
    " AS s(name, value)";

// The columns of a table, with what is in their types: whether any part can
// hold a token, and the first part that nobody can look into.
constexpr const char *kColumns =
    "WITH RECURSIVE part(root, type) AS ("
    " SELECT DISTINCT atttypid, atttypid FROM pg_attribute"
    "  WHERE attrelid = $1::oid AND attnum > 0 AND NOT attisdropped"
    " UNION SELECT p.root, x.type FROM part AS p"
    "  JOIN pg_type AS t ON t.oid = p.type CROSS JOIN LATERAL ("
    "  SELECT t.typbasetype WHERE t.typtype = 'd'"
    "  UNION ALL SELECT t.typelem WHERE t.typlen = -1"
    "  UNION ALL SELECT c.atttypid FROM pg_attribute AS c"
    "   WHERE t.typtype = 'c' AND c.attrelid = t.typrelid AND c.attnum > 0"
    "   AND NOT c.attisdropped"
    "  UNION ALL SELECT r.rngsubtype FROM pg_range AS r"
    "   WHERE t.oid IN (r.rngtypid, r.rngmultitypid)) AS x(type)"
    "  WHERE x.type <> 0),"
    " kind AS (SELECT p.root, t.oid, t.typname IN ('citext', 'hstore') OR t.oid"
    "   IN ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype,"
    "   'bytea'::regtype, 'json'::regtype, 'jsonb'::regtype, 'xml'::regtype)"
    "   AS holds,"
    "  t.typtype IN ('b', 'p') AND t.typlen = -1 AND t.typelem = 0 AND t.oid"
    "   NOT IN ('numeric'::regtype, 'bit'::regtype, 'varbit'::regtype,"
    "   'inet'::regtype, 'cidr'::regtype, 'path'::regtype, 'polygon'::regtype)"
    "   AS is_opaque, t.oid IN ('text'::regtype, 'varchar'::regtype) AS is_text"
    "  FROM part AS p JOIN pg_type AS t ON t.oid = p.type),"
    " base(root, type) AS (SELECT oid, oid FROM pg_type WHERE oid IN"
    "   (SELECT root FROM part) UNION SELECT b.root, t.typbasetype FROM base"
    "   AS b JOIN pg_type AS t ON t.oid = b.type WHERE t.typtype = 'd')"
    " SELECT a.attname, quote_ident(a.attname),"
    " format_type(a.atttypid, a.atttypmod), format_type(a.atttypid, -1),"
    " bool_or(k.holds),"
    " min(format_type(k.oid, NULL)) FILTER (WHERE k.is_opaque AND NOT k.holds),"
    " EXISTS (SELECT FROM base AS b WHERE b.root = a.atttypid"
    "  AND b.type = 'bytea'::regtype),"
    " EXISTS (SELECT FROM base AS b WHERE b.root = a.atttypid"
    "  AND b.type IN ('text'::regtype, 'varchar'::regtype)),"
    " a.attgenerated <> ''"
    " FROM pg_attribute AS a JOIN kind AS k ON k.root = a.atttypid"
    " WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped"
    " GROUP BY a.attnum, a.attname, a.atttypid, a.atttypmod, a.attgenerated"
    " ORDER BY a.attnum";

}  // namespace

std::string ColumnShape::Value(const std::string &column) const {
  if (is_bytea || is_text) {
    return column + (is_bytea ? "::bytea" : "::text");
  }
  // A row with a NULL in it is neither NULL nor NOT NULL.
  return "CASE WHEN " + column + " IS DISTINCT FROM NULL THEN format('%s', " +
         column + ") END";
}

std::string ColumnShape::Equals(const std::string &column,
                                const std::string &other) const {
  if (is_bytea) {
    return column + "::bytea = " + other;
  }
  return (is_text ? column + "::text" : "format('%s', " + column + ")") +
         " COLLATE \"C\" = " + other;
}

std::string TableReference(Connection *connection, const Table &table) {
  const Result result = connection->Query(
      "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class AS c"
      " JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = $1",
      {table.oid});
  if (result.rows() == 0) {
    throw ServerError(
        {"ERROR", "42P01", "the table was dropped meanwhile", "", ""});
  }
  return (table.kind == 'r' && table.elsewhere.cause.empty() ? "ONLY " : "") +
         result.Text(0, 0);
}

std::unique_ptr<Connection> OpenPinned(Login *login,
                                       const std::string &database) {
  std::unique_ptr<Connection> connection = login->Open(database);
  UseCatalogNames(connection.get());
  connection->Query(kPin);
  return connection;
}

std::unique_ptr<Connection> OpenPatiently(Login *login,
                                          const std::string &database) {
  for (int time = 0;; ++time) {
    try {
      return OpenPinned(login, database);
    } catch (const ConnectionError &) {
      if (time == kTimesToOpen) {
        throw;
      }
      cancel::Sleep(static_cast<double>(1 << time));
    }
  }
}

std::vector<ColumnShape> ReadColumns(Connection *connection,
                                     const std::string &oid) {
  const Result result = connection->Query(kColumns, {oid});
  std::vector<ColumnShape> columns;
  columns.reserve(static_cast<std::size_t>(result.rows()));
  for (int row = 0; row < result.rows(); ++row) {
    columns.push_back({.name = result.Text(row, 0),
                       .quoted = result.Text(row, 1),
                       .type = result.Text(row, 2),
                       .cast = result.Text(row, 3),
                       .can_hold = result.Truth(row, 4),
                       .opaque = result.Text(row, 5),
                       .is_bytea = result.Truth(row, 6),
                       .is_text = result.Truth(row, 7),
                       .is_generated = result.Truth(row, 8)});
  }
  return columns;
}

}  // namespace fernet::client
