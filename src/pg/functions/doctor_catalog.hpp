// What the checks of fernet_doctor ask of the catalogs. The queries run with
// the caller's rights, and run nothing that a user has defined: they read
// catalogs and the server's own views, call the server's own functions, and
// take no lock on a relation that is not the server's. Their names need no
// schema, since fernet_doctor sets the search_path for them.
#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg::doctor {

// kMostCatalogs is how many catalogs a query may need.
inline constexpr int kMostCatalogs = 12;

// CatalogQuery is a query of the catalogs. `catalogs` are the tables and views
// of pg_catalog that it needs the right to read, by name.
struct CatalogQuery {
  const char *catalogs[kMostCatalogs];
  const char *text;
};

// MayRead says whether the caller has the right to read what `query` needs.
bool MayRead(const CatalogQuery &query);

// Row is what a Visitor is shown: columns are counted from 1.
struct Row {
  HeapTuple tuple;
  TupleDesc columns;

  // Text is a column as text, or null.
  const char *Text(int column) const;
  bool IsTrue(int column) const;
  // Value is a column as it is stored.
  Datum Value(int column, bool *is_null) const;
  Oid Type(int column) const;
};
using Visitor = void (*)(const Row &row, void *state);

// ForEachRow runs `query`, with an array of oid as its $1, and shows its rows
// to `visitor`, in memory of its own for each. False, without running it, if
// the caller may not read what it needs.
bool ForEachRow(const CatalogQuery &query, Datum oids, Visitor visitor,
                void *state);

// AskOne is the first column of the first row of `query`, or null.
const char *AskOne(const CatalogQuery &query);

// Places is a list of names for a message. The first ones are named, the others
// counted; a name that is the same as the one before it is left out.
class Places {
 public:
  Places();
  void Add(const char *name);
  bool IsEmpty() const { return count_ == 0; }
  // Words is "a, b and 7 more", valid for as long as the memory context that
  // the list was made in.
  const char *Words() const;

 private:
  MemoryContext memory_;
  StringInfoData names_;
  const char *last_ = "";
  int count_ = 0;
};

}  // namespace fernet::pg::doctor
