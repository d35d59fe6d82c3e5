// Tokens in all places of the database.
#pragma once

#include "pg/column/table_search.hpp"
#include "pg/server/boundary.hpp"

namespace fernet::pg {

// SearchScope is the part of the database that is searched: null for all of it.
struct SearchScope {
  List *schemas = NIL;    // by Oid, and what is in them
  List *relations = NIL;  // by Oid, with their partitions
  bool is_whole() const { return schemas == NIL && relations == NIL; }
};

// ReadScope reads the arguments "schemas", at `schemas`, and "relations", at
// `relations`, or none if that is below 0. Raises 22004 for a NULL in one of
// them, 3F000 and 42P01 for what does not exist.
SearchScope ReadScope(FunctionCallInfo fcinfo, int schemas, int relations);

// ListTables lists what SearchTables searches: tables, materialized views and
// foreign tables, without the partitions of one that is in the list, in the
// order of their names, as `snapshot` sees them. It leaves out what belongs to
// this extension.
List *ListTables(const SearchScope &scope, Snapshot snapshot);

// SearchTables searches the tables of a list: see table_search.hpp. A table
// that cannot be read because of an error that is its own is not read; the sink
// is told of it.
PageCount SearchTables(const List *tables, const SearchRule &rule);

// SearchCatalogs looks for tokens in what the catalogs keep of the objects in
// `scope`: functions, settings, defaults, the values of added columns,
// policies, triggers, views and rules, constraints and indexes; and in large
// objects, if the scope is the whole database. Objects of the server itself are
// left out.
void SearchCatalogs(const SearchScope &scope, const SearchRule &rule);

}  // namespace fernet::pg
