#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg {

// ColumnNames is the columns that a caller has named, at least one, each once.
using ColumnNames = std::span<const char *const>;

// ColumnTarget is one column of a table.
struct ColumnTarget {
  AttrNumber attribute;
  Oid value_type;  // TEXTOID or BYTEAOID: what the values are treated as
  // Of values that are no tokens and may hold some: documents, arrays, rows.
  // InvalidOid for others; value_type is InvalidOid for these.
  Oid holder_type;
  int max_characters;  // of a varchar(n) or char(n); 0 for no limit
  bool is_padded;      // a char(n): blanks at the end say nothing
  Oid domain;          // InvalidOid unless the column's type is a domain
};

// TableTarget is some columns of one table in this transaction, which locks its
// definition until it ends.
struct TableTarget {
  Relation relation;  // open; CloseTarget closes it and keeps the lock
  BlockNumber pages;  // of the table now
  // In the order in which they were named, in the memory of whoever called
  // OpenTarget.
  std::span<const ColumnTarget> columns;
  // Of a column of blind indexes, the one with the values; null for others. In
  // the same memory.
  const ColumnTarget *source = nullptr;
};

// ColumnAccess says what the caller does with a column: kTry reads it, and asks
// whether a write would be possible on a primary.
enum class ColumnAccess { kRead, kTry, kWrite };

// RequireTokenColumn raises 42809 if the values of `column` are no tokens and
// may only hold some: such a column cannot be encrypted or decrypted as a
// whole.
void RequireTokenColumn(Oid relation, const char *column);

// RefuseMissing raises 42P01: there is no `relation`.
[[noreturn]] void RefuseMissing(Oid relation);

// CheckColumns checks, before `columns` of `relation` and of the tables below
// it are read or written as a whole, everything that can be checked. Raises
// 42P01 or 42703 if one does not exist, 42501 without the privilege or if row
// security would hide rows, 0A000 for a temporary table of another session,
// 42809 for a relation that is not a table or a column of another type, what
// RequireRowsInPages does; and,
// for kTry and kWrite, 428C9 for a generated column and 0A000 for a rule; for
// kWrite, 25006 if nothing can be written. Returns the numbers of the columns
// in `relation`, in the current memory context.
const AttrNumber *CheckColumns(Oid relation, ColumnNames columns,
                               ColumnAccess access);

// RequireRights raises CheckColumns' 42501: a role can lose a privilege between
// two transactions of a job.
void RequireRights(Oid relation, ColumnNames columns, ColumnAccess access);

// TablesBelow lists `relation`, its partitions and its inheritance children, as
// Oids in the current memory context. It leaves out relations without rows and
// temporary tables of other sessions.
List *TablesBelow(Oid relation, ColumnAccess access);

// HoldsRows says whether it lists `table`.
bool HoldsRows(Oid table);

// IsBelow says whether `table` is still one of them: it may have been detached.
bool IsBelow(Oid relation, Oid table);

// OpenTarget opens `columns` of the table `relation`, with CheckColumns' checks
// of the columns. As in every statement, only the table that the caller named
// is checked for privileges and row security. Returns false if the table is
// gone.
bool OpenTarget(Oid relation, ColumnNames columns, ColumnAccess access,
                TableTarget *out);
void CloseTarget(const TableTarget &target);

// OpenSource opens `source`, whose blind indexes are in the only column of
// `*target`. Raises 42703 if it does not exist, and 42809 if its values have no
// blind index or the column of `*target` cannot hold one.
void OpenSource(const char *source, TableTarget *target);

// CheckSource does so for `relation` and the tables below it, which
// CheckColumns has locked for the column `index`. It raises 42501 too, without
// the privilege to read `source`. Returns the number of `source` in `relation`.
AttrNumber CheckSource(Oid relation, const char *index, const char *source);

// RequireIndexColumn raises 42809 if the column `attribute` cannot hold blind
// indexes.
void RequireIndexColumn(Relation relation, AttrNumber attribute);

// PadForColumn returns `value` as the column stores it, a char(n) in its whole
// width: `value` itself, or a new value after it has wiped and freed `value`.
varlena *PadForColumn(const ColumnTarget &target, varlena *value);

// TrimOfColumn returns `value` without the blanks of a char(n): `value` itself,
// or a new value.
varlena *TrimOfColumn(const ColumnTarget &target, varlena *value);

// DescribeOpenColumn describes a column that will be written to, of a table
// that the caller has open, whatever its access method or rules.
// DescribeOpenSource likewise describes one that has blind indexes, and is
// read as `access` says.
void DescribeOpenColumn(Relation relation, const char *column,
                        ColumnTarget *out);
void DescribeOpenSource(Relation relation, const char *column,
                        ColumnAccess access, ColumnTarget *out);

// TokenColumns is which columns of a table can hold tokens, by their types.
struct TokenColumns {
  ColumnNames names;
  List *not_read;  // Strings: columns of types that nobody can search
};

// FindTokenColumns lists them in the order of the table, in the current memory
// context; those that are generated only for kRead. Raises 42809 if there is
// none.
TokenColumns FindTokenColumns(Oid relation, ColumnAccess access);

// NameOf is the names of the table and the column, as in "public"."t"."c", or
// of several columns, as in "public"."t" ("c", "d"), or of none, "public"."t".
const char *NameOf(Oid relation, const char *column);
const char *NameOf(Oid relation, ColumnNames columns);

}  // namespace fernet::pg
