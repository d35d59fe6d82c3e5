// What there is in a database, and which of it the command line means.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "client/connection.hpp"
#include "client/elsewhere.hpp"
#include "client/options.hpp"

namespace fernet::client {

// Table is a table, materialized view or foreign table. A partitioned one
// stands for its partitions.
struct Table {
  std::string oid;
  std::string name;  // schema.table, as it is written in SQL
  char kind;         // as in pg_class
  std::int64_t bytes;
  Elsewhere elsewhere;
};

// Catalog is what was found for the options.
struct Catalog {
  std::string extension;  // the schema of pg_fernet, quoted; empty: not there
  bool in_recovery;
  std::vector<Table> tables;       // that are meant, the largest first
  std::set<std::string> excluded;  // names of those that are left out
  // How many tables each pattern of -n and -t has found, in their order.
  std::vector<std::int64_t> matches;

  std::int64_t bytes() const;
};

// UseCatalogNames makes the names in statements of ours mean the server's own.
void UseCatalogNames(Connection *connection);

// ReadCatalog asks a session that uses catalog names.
Catalog ReadCatalog(Connection *connection, const Options &options);

// FindColumn is the table and the name of a column, by "schema.table.column".
struct ColumnName {
  std::string table;  // as in Table
  std::string oid;
  std::string column;  // unquoted
  bool exists;
};
ColumnName FindColumn(Connection *connection, const std::string &name);

}  // namespace fernet::client
