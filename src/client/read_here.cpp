#include "client/read_here.hpp"

#include <array>

#include "client/values.hpp"

namespace fernet::client {
namespace {

constexpr std::array<const char *, kForms> kFormNames = {"whole", "inside",
                                                         "encoded", "nested"};

// What every session begins with: values are text in one form, whatever the
// database says, and a policy that would hide rows is an error.
constexpr const char *kPin =
    "SELECT set_config(s.name, s.value, false) FROM (VALUES"
    " ('client_encoding', 'SQL_ASCII'), ('row_security', 'off'),"
    " ('bytea_output', 'hex'), ('xmlbinary', 'base64'),"
    " ('DateStyle', 'ISO'), ('IntervalStyle', 'postgres'),"
    " ('extra_float_digits', '1'), ('TimeZone', 'UTC')) AS s(name, value)";

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
    "   AS is_opaque FROM part AS p JOIN pg_type AS t ON t.oid = p.type)"
    " SELECT a.attname, quote_ident(a.attname),"
    " format_type(a.atttypid, a.atttypmod), bool_or(k.holds),"
    " min(format_type(k.oid, NULL)) FILTER (WHERE k.is_opaque AND NOT k.holds),"
    " (SELECT CASE b.typtype WHEN 'd' THEN b.typbasetype ELSE b.oid END"
    "  FROM pg_type AS b WHERE b.oid = a.atttypid) = 'bytea'::regtype"
    " FROM pg_attribute AS a JOIN kind AS k ON k.root = a.atttypid"
    " WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped"
    " GROUP BY a.attnum, a.attname, a.atttypid, a.atttypmod ORDER BY a.attnum";

constexpr const char *kFetch = "FETCH 500 FROM fernet_reading";

// Column is one that can hold tokens.
struct Column {
  Found found;  // its place
  bool is_bytea;
  Tally tally;
};

// TableReading reads one table, in a transaction of its own.
class TableReading {
 public:
  TableReading(Connection *connection, ValueReader *reader, const Keys &keys,
               const Table &table)
      : connection_(connection), reader_(reader), keys_(keys), table_(table) {}

  std::vector<Found> Read() {
    connection_->Query("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY");
    try {
      FindColumns();
      if (!columns_.empty()) {
        ReadRows();
      }
    } catch (const ServerError &error) {
      connection_->Query("ROLLBACK");
      out_ = {
          NotRead(Place(), "Reading it failed: " + error.message().message)};
      return out_;
    }
    connection_->Query("COMMIT");
    for (const Column &column : columns_) {
      Report(column);
    }
    return out_;
  }

 private:
  Found Place() const {
    Found found;
    found.table = table_.name;
    found.oid = table_.oid;
    found.kind = table_.kind;
    return found;
  }

  static Found NotRead(Found found, const std::string &why) {
    found.status = "not read";
    found.detail = why;
    return found;
  }

  void FindColumns() {
    const Result result = connection_->Query(kColumns, {table_.oid});
    for (int row = 0; row < result.rows(); ++row) {
      Found found = Place();
      found.name = result.Text(row, 0);
      found.column = result.Text(row, 1);
      found.type = result.Text(row, 2);
      if (!result.IsNull(row, 4)) {
        out_.push_back(NotRead(found, "A part is of type " +
                                          result.Text(row, 4) +
                                          ", which is not searched."));
      }
      if (result.Truth(row, 3)) {
        columns_.push_back({found, result.Truth(row, 5), {}});
      }
    }
  }

  // A partitioned table is read with its partitions; the children of another
  // one are tables of their own.
  std::string Statement() const {
    std::string list;
    for (const Column &column : columns_) {
      list += (list.empty() ? "" : ", ") +
              (column.is_bytea ? column.found.column + "::bytea"
                               : "CASE WHEN " + column.found.column +
                                     " IS NOT NULL THEN format('%s', " +
                                     column.found.column + ") END");
    }
    return "DECLARE fernet_reading NO SCROLL CURSOR FOR SELECT " + list +
           " FROM " + (table_.kind == 'r' ? "ONLY " : "") + table_.name;
  }

  void ReadRows() {
    connection_->Query(Statement());
    for (;;) {
      const Result rows = connection_->QueryBinary(kFetch);
      for (int row = 0; row < rows.rows(); ++row) {
        for (std::size_t i = 0; i < columns_.size(); ++i) {
          reader_->Count(rows.View(row, static_cast<int>(i)),
                         &columns_[i].tally);
        }
      }
      if (rows.rows() == 0) {
        return;
      }
    }
  }

  void Add(const Column &column, const char *form, const char *status,
           std::int64_t tokens, std::size_t key = kMaxKeys) {
    if (tokens == 0) {
      return;
    }
    Found found = column.found;
    found.form = form;
    found.status = status;
    found.tokens = tokens;
    if (key < kMaxKeys) {
      found.key = std::to_string(key + 1);
      found.fingerprint = keys_.FingerprintOf(key);
    }
    out_.push_back(found);
  }

  void Report(const Column &column) {
    const Tally &tally = column.tally;
    for (std::size_t key = 0; key < keys_.count(); ++key) {
      for (std::size_t form = 0; form < kForms; ++form) {
        Add(column, kFormNames.at(form), key == 0 ? "primary" : "secondary",
            tally.of_key.at(form).at(key), key);
      }
    }
    for (std::size_t form = 0; form < kForms; ++form) {
      Add(column, kFormNames.at(form), "unknown key",
          tally.unknown_key.at(form));
      Add(column, kFormNames.at(form), "no key set", tally.no_key_set.at(form));
    }
    Add(column, "", "malformed", tally.malformed);
    if (tally.too_many > 0) {
      out_.push_back(NotRead(column.found,
                             "More looks like a token than can be tried. "
                             "Values: " +
                                 std::to_string(tally.too_many) + '.'));
    }
  }

  Connection *const connection_;
  ValueReader *const reader_;
  const Keys &keys_;
  const Table &table_;
  std::vector<Column> columns_;
  std::vector<Found> out_;
};

}  // namespace

std::vector<Found> ReadHere(Login *login, const Keys &keys,
                            const std::string &database, const Catalog &catalog,
                            const Options &options) {
  const std::unique_ptr<Connection> connection = login->Open(database);
  UseCatalogNames(connection.get());
  connection->Query(kPin);
  ValueReader reader(keys);
  std::vector<Found> all;
  for (const Table &table : catalog.tables) {
    std::vector<Found> found =
        TableReading(connection.get(), &reader, keys, table).Read();
    all.insert(all.end(), std::make_move_iterator(found.begin()),
               std::make_move_iterator(found.end()));
  }
  if (!options.limits_tables()) {
    Found rest;
    rest.type = "database";
    rest.status = "not read";
    rest.detail = "everything outside of tables";
    all.push_back(rest);
  }
  return all;
}

}  // namespace fernet::client
