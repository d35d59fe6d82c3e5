// Finding tokens without the server: the program reads the tables itself.
#pragma once

#include <string>
#include <vector>

#include "client/find.hpp"
#include "client/values.hpp"

namespace fernet::client {

// ReadTable finds the tokens in a table, or in the rows of it that `where`
// means, in the transaction of a pinned session. What cannot be read is named
// in the result.
std::vector<Found> ReadTable(Connection *connection, ValueReader *reader,
                             const Keys &keys, const Table &table,
                             const std::string &where = "");

// HasOthersTemporary says whether another session has temporary tables, which
// nobody else can read. OthersTemporary is their place, with the name that
// fernet_assert_database_rotated() takes in "except_places".
bool HasOthersTemporary(Connection *connection);
Found OthersTemporary();

// OutsideOfTables is the rest of a database, which the program does not read.
Found OutsideOfTables();

// ReadHere finds the tokens in tables, as FindTokens does in a database with
// the extension, one table after the other. The keys stay here. It looks into
// tables, materialized views and foreign tables.
std::vector<Found> ReadHere(Login *login, const Keys &keys,
                            const std::string &database,
                            const std::vector<Table> &tables);

}  // namespace fernet::client
