// Finding tokens without the extension: the program reads the tables itself.
#pragma once

#include <string>
#include <vector>

#include "client/find.hpp"

namespace fernet::client {

// ReadHere finds the tokens in the tables of a catalog, as FindTokens does in a
// database with the extension, one table after the other. The keys stay here.
// It looks into tables, materialized views and foreign tables only: the rest of
// the database is one place that is not read, unless the options name tables.
std::vector<Found> ReadHere(Login *login, const Keys &keys,
                            const std::string &database, const Catalog &catalog,
                            const Options &options);

}  // namespace fernet::client
