// Where tokens are, and what decrypts them.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "client/catalog.hpp"
#include "client/keys.hpp"
#include "client/login.hpp"
#include "client/options.hpp"

namespace fernet::client {

// Found is a row of fernet_find_tokens.
struct Found {
  std::string table;   // schema.table as in SQL, or empty
  std::string oid;     // of the table
  char kind = ' ';     // of the table, as in pg_class
  std::string column;  // as in SQL, or empty
  std::string name;    // of the column, unquoted
  std::string type;
  std::string form;
  std::string status;
  std::string key;  // its number in the list, from 1
  std::string fingerprint;
  std::int64_t tokens = 0;
  std::string detail;

  // Place is how people name it.
  std::string Place() const;
};

// Counts are tokens by what they are, and places that were not read.
struct Counts {
  std::int64_t primary = 0;
  std::int64_t secondary = 0;
  std::int64_t unknown = 0;  // that are not allowed by --on-unknown
  std::int64_t allowed = 0;  // that no key decrypts, and may stay
  std::int64_t no_key = 0;
  std::int64_t malformed = 0;
  std::int64_t not_read = 0;

  void Add(const Found &found, const std::string &on_unknown);
  void Add(const Counts &other);
  std::int64_t tokens() const {
    return primary + secondary + unknown + allowed + no_key + malformed;
  }
  bool all_primary() const {
    return secondary + unknown + no_key + malformed + not_read == 0;
  }
};

// IsElsewhere says whether the server cannot read a table by its pages.
bool IsElsewhere(const Table &table);

// GeneratedColumns are rotated with what they are generated from. A member is
// the number of a table, a space and a name.
std::set<std::string> GeneratedColumns(Connection *connection);

// CanRotate says whether an UPDATE can rotate the tokens that were found.
bool CanRotate(const Found &found, const std::set<std::string> &generated);

// LeaveOut takes away what need not be read.
void LeaveOut(const Catalog &catalog, const Options &options,
              std::vector<Found> *found);

// FindTokens finds the tokens in what the catalog lists, or in the whole
// database if the options name no tables. The server reads, over up to --jobs
// connections; without the extension, this program does.
std::vector<Found> FindTokens(Login *login, const Keys &keys,
                              const std::string &database,
                              const Catalog &catalog, const Options &options);

}  // namespace fernet::client
