#include "client/read_here.hpp"

#include <algorithm>
#include <array>

#include "client/columns.hpp"
#include "client/values.hpp"

namespace fernet::client {
namespace {

constexpr std::array<const char *, kForms> kFormNames = {"whole", "inside",
                                                         "encoded", "nested"};

// So many rows are fetched at first, then so many that they have about so many
// bytes: of a few large values, one at a time.
constexpr std::int64_t kFirstRows = 16;
constexpr std::int64_t kMaxRows = 500;
constexpr std::int64_t kBytes = std::int64_t{1} << 20;

// Column is one that can hold tokens.
struct Column {
  Found found;  // its place
  ColumnShape shape;
  Tally tally;
};

// TableReading reads one table, in a transaction.
class TableReading {
 public:
  TableReading(Connection *connection, ValueReader *reader, const Keys &keys,
               const Table &table, const std::string &where)
      : connection_(connection),
        reader_(reader),
        keys_(keys),
        table_(table),
        where_(where) {}

  std::vector<Found> Read() {
    connection_->Query("SAVEPOINT fernet_table");
    try {
      FindColumns();
      if (!columns_.empty()) {
        ReadRows();
      }
    } catch (const ServerError &error) {
      connection_->Query("ROLLBACK TO fernet_table");
      out_ = {
          NotRead(Place(), "Reading it failed: " + error.message().message)};
      return out_;
    }
    connection_->Query("ROLLBACK TO fernet_table");
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
    for (ColumnShape &shape : ReadColumns(connection_, table_.oid)) {
      Found found = Place();
      found.name = shape.name;
      found.column = shape.quoted;
      found.type = shape.type;
      if (!shape.opaque.empty()) {
        out_.push_back(NotRead(found, "A part is of type " + shape.opaque +
                                          ", which is not searched."));
      }
      if (shape.can_hold) {
        columns_.push_back({found, std::move(shape), {}});
      }
    }
  }

  // A partitioned table is read with its partitions, and one whose rows are
  // elsewhere as its server reads it; the children of another one are tables of
  // their own.
  std::string Statement() const {
    std::string list;
    for (const Column &column : columns_) {
      list +=
          (list.empty() ? "" : ", ") + column.shape.Value(column.shape.quoted);
    }
    return "DECLARE fernet_reading NO SCROLL CURSOR FOR SELECT " + list +
           " FROM " + TableReference(connection_, table_) + where_;
  }

  // The table is locked now. Its name was looked up after those of the catalog,
  // and may have been given to another one between.
  void RequireSame() {
    if (!connection_
             ->Query("SELECT to_regclass((SELECT format('%I.%I', n.nspname,"
                     " c.relname) FROM pg_class AS c JOIN pg_namespace AS n"
                     " ON n.oid = c.relnamespace WHERE c.oid = $1))::oid = $1",
                     {table_.oid})
             .Truth(0, 0)) {
      throw ServerError(
          {"ERROR", "55006", "it got another name meanwhile", "", ""});
    }
  }

  void ReadRows() {
    connection_->Query(Statement());
    RequireSame();
    for (std::int64_t count = kFirstRows;;) {
      const Result rows = connection_->QueryBinary(
          "FETCH " + std::to_string(count) + " FROM fernet_reading");
      for (int row = 0; row < rows.rows(); ++row) {
        for (std::size_t i = 0; i < columns_.size(); ++i) {
          reader_->Count(rows.View(row, static_cast<int>(i)),
                         &columns_[i].tally);
        }
      }
      if (rows.rows() == 0) {
        return;
      }
      count = std::clamp<std::int64_t>(
          count * kBytes / std::max<std::int64_t>(1, rows.Bytes()), 1,
          std::min(4 * count, kMaxRows));
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
  const std::string &where_;
  std::vector<Column> columns_;
  std::vector<Found> out_;
};

// Unread is a part of a database that is not in a table which we can read.
Found Unread(const char *part) {
  Found found;
  found.type = "database";
  found.status = "not read";
  found.detail = part;
  return found;
}

}  // namespace

std::vector<Found> ReadTable(Connection *connection, ValueReader *reader,
                             const Keys &keys, const Table &table,
                             const std::string &where) {
  return TableReading(connection, reader, keys, table, where).Read();
}

bool HasOthersTemporary(Connection *connection) {
  return connection
      ->Query(
          "SELECT EXISTS (SELECT FROM pg_class WHERE relkind IN ('r', 'p')"
          " AND pg_is_other_temp_schema(relnamespace))")
      .Truth(0, 0);
}

Found OthersTemporary() { return Unread("pg_temp"); }

Found OutsideOfTables() { return Unread("everything outside of tables"); }

std::vector<Found> ReadHere(Login *login, const Keys &keys,
                            const std::string &database,
                            const std::vector<Table> &tables) {
  const std::unique_ptr<Connection> connection = OpenPinned(login, database);
  ValueReader reader(keys);
  std::vector<Found> all;
  for (const Table &table : tables) {
    connection->Query("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY");
    std::vector<Found> found =
        ReadTable(connection.get(), &reader, keys, table);
    connection->Query("COMMIT");
    all.insert(all.end(), std::make_move_iterator(found.begin()),
               std::make_move_iterator(found.end()));
  }
  return all;
}

}  // namespace fernet::client
