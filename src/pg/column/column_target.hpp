#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg {

// ColumnTarget is one column of one table, as it is in this transaction: its
// definition is locked until the end of it.
struct ColumnTarget {
  Relation relation;  // open; CloseTarget closes it and keeps the lock
  AttrNumber attribute;
  Oid value_type;      // TEXTOID or BYTEAOID: what the values are made of
  int max_characters;  // of a varchar(n); 0 for no limit
  Oid domain;          // InvalidOid unless the column's type is a domain
  BlockNumber pages;   // of the table now
};

// ColumnAccess is what is to be done with a column.
enum class ColumnAccess { kRead, kWrite };

// CheckColumn checks all that can be known before `column` of `relation` and of
// the tables below it is read or written as a whole. Raises 42P01 or 42703 when
// there is none, 42501 without the privilege or where row security would hide
// rows, 0A000 for a temporary table of another session, 42809 for what is no
// table or a column of another type; and, for writing, 428C9 for a generated
// column and 25006 where nothing can be written. Returns the column's number in
// `relation`.
AttrNumber CheckColumn(Oid relation, const char *column, ColumnAccess access);

// RequireRights raises CheckColumn's 42501: what a role may do can be taken
// from it between two transactions of a job.
void RequireRights(Oid relation, const char *column, ColumnAccess access);

// TablesBelow lists `relation` itself and its partitions or inheritance
// children, those that hold rows of ours, as Oids in the current memory
// context. Temporary tables of other sessions do not.
List *TablesBelow(Oid relation, ColumnAccess access);

// IsBelow says whether `table` is among them still: it may have been detached.
bool IsBelow(Oid relation, Oid table);

// OpenTarget opens `column` of the table `relation`, with CheckColumn's checks
// of the column. Privileges and row security are asked only of the table that
// the caller named, as in every statement. Returns false if the table is gone.
bool OpenTarget(Oid relation, const char *column, ColumnAccess access,
                ColumnTarget *out);
void CloseTarget(const ColumnTarget &target);

// DescribeOpenColumn is OpenTarget for writing to a table that the caller has
// open, whatever its access method or rules.
void DescribeOpenColumn(Relation relation, const char *column,
                        ColumnTarget *out);

// NameOf is the table's name and the column's, as in "public"."t"."c".
const char *NameOf(Oid relation, const char *column);

}  // namespace fernet::pg
