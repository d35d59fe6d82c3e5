// The columns of a table, and how a session reads their values.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "client/catalog.hpp"
#include "client/connection.hpp"
#include "client/login.hpp"

namespace fernet::client {

// ColumnShape is what is known of a column. Names are in the encoding of the
// server.
struct ColumnShape {
  std::string name;
  std::string quoted;
  std::string type;    // for people, with its length
  std::string cast;    // the type in SQL, without its length
  bool can_hold;       // a part of it can hold a token
  std::string opaque;  // the type of a part that nobody can look into, or empty
  bool is_bytea;
  bool is_text;  // text and varchar, or a domain over them
  bool is_generated;

  // Value is SQL for the bytes of a value of `column`, which is the column in
  // an expression: those of a bytea, or else the text form. NULL stays NULL.
  std::string Value(const std::string &column) const;
  // Equals is SQL for a comparison of the same bytes with `other`.
  std::string Equals(const std::string &column, const std::string &other) const;
};

// TableReference is a table as a statement of a pinned session names it, to
// read it without its children, but with what its server keeps elsewhere.
std::string TableReference(Connection *connection, const Table &table);

// OpenPinned opens a session for statements of this program: names are the
// server's own, a value has one text form, which reads back as the same value,
// bytes come as they are, and a policy that would hide rows is an error.
std::unique_ptr<Connection> OpenPinned(Login *login,
                                       const std::string &database);

// OpenPatiently is OpenPinned for a server that may be restarting: it tries for
// half a minute.
std::unique_ptr<Connection> OpenPatiently(Login *login,
                                          const std::string &database);

// ReadColumns asks a pinned session for the columns of a table, in their order.
std::vector<ColumnShape> ReadColumns(Connection *connection,
                                     const std::string &oid);

}  // namespace fernet::client
