// A table as the client way reads and writes it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "client/columns.hpp"

namespace fernet::client {

// KeyColumn is a column of a unique index, with the operators of that index.
struct KeyColumn {
  std::string quoted;
  std::string cast;
  std::string equal;
  std::string less;
  std::string greater;
};

// Pages are those of a heap from `first` to before `end`.
struct Pages {
  std::int64_t first;
  std::int64_t end;
};

// Unit is a table without partitions, and the columns of it to rotate.
struct Unit {
  // How its rows are found again.
  enum class Address : std::uint8_t {
    kPages,         // by ctid: a heap
    kForeignPages,  // by ctid, of the heap behind a postgres_fdw table
    kKey,           // by a unique key
  };

  std::string oid;
  std::string label;  // for people
  std::string name;   // in SQL
  std::string from;   // the name, and ONLY where it serves
  Address address = Address::kPages;
  bool is_foreign = false;
  std::string elsewhere;   // why its rows are not in its pages, or empty
  bool in_shards = false;  // a table of Citus
  std::vector<KeyColumn> key;
  std::vector<ColumnShape> columns;
  std::vector<std::string> triggers;  // that its UPDATEs fire
  std::int64_t bytes = 0;
  double rows = 0;  // an estimate

  // In all of these, the values of the columns follow the address: a ctid, or
  // each column of the key.

  // PagesQuery reads the rows of `pages`.
  std::string PagesQuery(Pages pages) const;
  // KeyQuery reads `limit` rows by their key, those after the key that is bound
  // as text, or the first.
  std::string KeyQuery(bool is_first, int limit) const;
  // Update writes new values of the columns at the indexes `changed` where the
  // old ones are still there. Its arguments are arrays: of addresses, then old
  // and new values for each column; for a heap, then the ctid from which on and
  // the one before which all the rows are. With `skip_locked`, it leaves out
  // the rows that somebody has locked.
  std::string Update(const std::vector<std::size_t> &changed,
                     bool skip_locked) const;
  std::size_t address_columns() const {
    return address == Address::kKey ? key.size() : 1;
  }
};

// UnitsOf asks a pinned session for the table `oid` or its partitions. Throws
// Failure for a column that cannot be rotated, and for a table without a key
// that needs one.
std::vector<Unit> UnitsOf(Connection *connection, const std::string &oid,
                          const std::vector<std::string> &columns);

// Blocks is the number of pages of a unit that is addressed by them.
std::int64_t Blocks(Connection *connection, const Unit &unit);

// NameRow is how people find the row at `ctid`, or whose key this is.
std::string NameRow(Connection *connection, const Unit &unit,
                    const std::vector<std::string> &address);

}  // namespace fernet::client
