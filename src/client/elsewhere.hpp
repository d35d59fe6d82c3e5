// Tables whose rows are not in their own pages.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "client/connection.hpp"

namespace fernet::client {

// Elsewhere is why rows are not in the pages of a table.
struct Elsewhere {
  std::string cause;           // a sentence, or empty: they are there
  bool hides_writers = false;  // this server does not see who writes them
};

// FindElsewhere is the tables of `oids` whose rows, or those of a partition,
// are not in their own pages. It asks a session that uses catalog names.
std::map<std::string, Elsewhere> FindElsewhere(
    Connection *connection, const std::vector<std::string> &oids);

}  // namespace fernet::client
