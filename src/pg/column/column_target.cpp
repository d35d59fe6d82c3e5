#include "pg/column/column_target.hpp"

#include "pg/column/row_storage.hpp"
#include "pg/report/report.hpp"
#include "pg/value/text_encoding.hpp"
#include "pg/value/value_form.hpp"

extern "C" {
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "commands/extension.h"
#include "parser/parse_coerce.h"
}

namespace fernet::pg {
namespace {

// RefuseRelation is for what has no rows of its own, or has them elsewhere.
[[noreturn]] void RefuseRelation(Relation relation, const char *hint) {
  FERNET_RAISE(
      ERRCODE_WRONG_OBJECT_TYPE,
      errmsg("\"%s\" is not a table", RelationGetRelationName(relation)),
      errdetail_relkind_not_supported(relation->rd_rel->relkind),
      *hint == '\0' ? 0 : errhint("%s", hint));
}

void RequireTable(Relation relation) {
  switch (relation->rd_rel->relkind) {
    case RELKIND_RELATION:
    case RELKIND_PARTITIONED_TABLE:
      return;
    case RELKIND_VIEW:
      RefuseRelation(relation, "Name the table that the view reads.");
    case RELKIND_MATVIEW:
      RefuseRelation(relation,
                     "Name the tables that it is made from, and then "
                     "refresh it.");
    case RELKIND_FOREIGN_TABLE:
      RefuseRelation(
          relation,
          "Rotate it with the program pg_fernet, or on the server that holds "
          "its rows. If it is a partition, name the other partitions here, one "
          "at a time.");
    default:
      RefuseRelation(relation, "");
  }
}

// RequirePageRanges is for table access methods other than heap.
void RequirePageRanges(Relation relation) {
  if (relation->rd_rel->relkind == RELKIND_RELATION &&
      relation->rd_tableam->scan_set_tidrange == nullptr) {
    FERNET_RAISE(
        ERRCODE_FEATURE_NOT_SUPPORTED,
        errmsg("\"%s\" cannot be read by ranges of pages",
               RelationGetRelationName(relation)),
        errdetail("The access method of the table has no TID range scan."));
  }
}

// RequireNoCatalog: a superuser may update catalogs, but whoever names one here
// has taken it for a table, and would lose the database.
void RequireNoCatalog(Relation relation) {
  if (IsCatalogRelation(relation)) {
    FERNET_RAISE(ERRCODE_WRONG_OBJECT_TYPE,
                 errmsg("\"%s\" is a system catalog",
                        RelationGetRelationName(relation)));
  }
}

// RequireNoUpdateRules: a rule would turn an UPDATE into something else, but
// RowWriter ignores rules.
void RequireNoUpdateRules(Relation relation) {
  const RuleLock *const rules = relation->rd_rules;
  for (int i = 0; rules != nullptr && i < rules->numLocks; ++i) {
    if (rules->rules[i]->event == CMD_UPDATE &&
        rules->rules[i]->enabled != RULE_DISABLED) {
      FERNET_RAISE(ERRCODE_FEATURE_NOT_SUPPORTED,
                   errmsg("\"%s\" has a rule on UPDATE",
                          RelationGetRelationName(relation)),
                   errhint("Replace the rule by a trigger, or rotate with "
                           "UPDATE and fernet_rotate."));
    }
  }
}

void RequirePrivilege(Oid relation, AttrNumber attribute, AclMode mode) {
  if (pg_class_aclcheck(relation, GetUserId(), mode) == ACLCHECK_OK ||
      pg_attribute_aclcheck(relation, attribute, GetUserId(), mode) ==
          ACLCHECK_OK) {
    return;
  }
  FERNET_RAISE(
      ERRCODE_INSUFFICIENT_PRIVILEGE,
      errmsg("permission denied for table %s", get_rel_name(relation)));
}

// IsForced: row security holds for the owner of the table, too.
bool IsForced(Oid relation) {
  const Relation table = relation_open(relation, AccessShareLock);
  const bool is_forced = table->rd_rel->relforcerowsecurity;
  relation_close(table, NoLock);
  return is_forced;
}

void RequireEveryRowVisible(Oid relation) {
  if (check_enable_rls(relation, InvalidOid, true) != RLS_ENABLED) {
    return;
  }
  FERNET_RAISE(
      ERRCODE_INSUFFICIENT_PRIVILEGE,
      errmsg("row security would hide rows of \"%s\"", get_rel_name(relation)),
      IsForced(relation)
          ? errdetail("The table has FORCE ROW LEVEL SECURITY, which holds for "
                      "its owner as well.")
          : 0,
      IsForced(relation)
          ? errhint("Use a role with BYPASSRLS.")
          : errhint("Use the owner of the table, or a role with BYPASSRLS."));
}

// RequireOwnSession: another session keeps the rows of its temporary tables in
// its own memory.
void RequireOwnSession(Relation relation) {
  if (RELATION_IS_OTHER_TEMP(relation)) {
    FERNET_RAISE(ERRCODE_FEATURE_NOT_SUPPORTED,
                 errmsg("\"%s\" is a temporary table of another session",
                        RelationGetRelationName(relation)));
  }
}

void RequireWritable() {
  if (XactReadOnly || RecoveryInProgress()) {
    FERNET_RAISE(
        ERRCODE_READ_ONLY_SQL_TRANSACTION,
        RecoveryInProgress()
            ? errmsg("cannot write to a column during recovery")
            : errmsg("cannot write to a column in a read-only transaction"));
  }
}

AttrNumber FindColumn(Relation relation, const char *column) {
  const AttrNumber attribute = get_attnum(RelationGetRelid(relation), column);
  if (attribute <= 0) {
    FERNET_RAISE(ERRCODE_UNDEFINED_COLUMN,
                 errmsg("column \"%s\" of relation \"%s\" does not exist",
                        column, RelationGetRelationName(relation)));
  }
  return attribute;
}

LOCKMODE LockFor(ColumnAccess access) {
  return access == ColumnAccess::kWrite ? RowExclusiveLock : AccessShareLock;
}

// IsCitext says whether `type` is the one of the extension citext.
bool IsCitext(Oid type) {
  const Oid extension = getExtensionOfObject(TypeRelationId, type);
  const char *const name =
      OidIsValid(extension) ? get_extension_name(extension) : nullptr;
  return name != nullptr && strcmp(name, "citext") == 0 &&
         IsBinaryCoercible(type, TEXTOID);
}

// ValueTypeOf is how values of the base type `type` are treated, or InvalidOid
// if none of them can be a token.
Oid ValueTypeOf(Oid type) {
  switch (type) {
    case TEXTOID:
    case VARCHAROID:
    case BPCHAROID:
      return TEXTOID;
    case BYTEAOID:
      return BYTEAOID;
    default:
      return IsCitext(type) ? TEXTOID : InvalidOid;
  }
}

// MayNotSeeTokens: there may be tokens in values of `type` that we do not see.
bool MayNotSeeTokens(Oid type) {
  const ValueForm form = FormOf(type);
  return form == ValueForm::kNotRead || form == ValueForm::kText;
}

[[noreturn]] void RefuseType(const FormData_pg_attribute *column, Oid base) {
  FERNET_RAISE(
      ERRCODE_WRONG_OBJECT_TYPE,
      errmsg("column \"%s\" of type %s cannot hold tokens",
             NameStr(column->attname), format_type_be(column->atttypid)),
      errdetail("Tokens are kept in columns of type text, varchar, char, "
                "citext or bytea, and inside of json, jsonb, hstore, xml, "
                "arrays, composite types and ranges."),
      MayNotSeeTokens(base)
          ? errhint("If tokens are parts of its values, re-encrypt them with "
                    "UPDATE and fernet_rotate().")
          : 0);
}

void RequireStored(const FormData_pg_attribute *column, ColumnAccess access) {
  // A virtual generated column of PostgreSQL 18 has no values to read.
  const bool is_stored = column->attgenerated == ATTRIBUTE_GENERATED_STORED;
  if (column->attgenerated != '\0' &&
      (access != ColumnAccess::kRead || !is_stored)) {
    FERNET_RAISE(ERRCODE_GENERATED_ALWAYS,
                 errmsg("column \"%s\" is a generated column",
                        NameStr(column->attname)));
  }
}

void DescribeColumn(Relation relation, const char *name, ColumnAccess access,
                    ColumnTarget *out) {
  out->attribute = FindColumn(relation, name);
  const auto *const column =
      TupleDescAttr(RelationGetDescr(relation), out->attribute - 1);
  RequireStored(column, access);
  int32 modifier = column->atttypmod;
  const Oid base = getBaseTypeAndTypmod(column->atttypid, &modifier);
  const bool has_width = base == VARCHAROID || base == BPCHAROID;
  out->domain = base == column->atttypid ? InvalidOid : column->atttypid;
  out->max_characters =
      has_width && modifier >= VARHDRSZ ? modifier - VARHDRSZ : 0;
  out->is_padded = base == BPCHAROID;
  out->value_type = ValueTypeOf(base);
  out->holder_type =
      !OidIsValid(out->value_type) && IsHolder(base) ? base : InvalidOid;
  if (!OidIsValid(out->value_type) && !OidIsValid(out->holder_type)) {
    RefuseType(column, base);
  }
}

void Describe(Relation relation, ColumnNames names, ColumnAccess access,
              TableTarget *out) {
  RequireTable(relation);
  RequirePageRanges(relation);
  if (access != ColumnAccess::kRead) {
    RequireNoCatalog(relation);
    RequireNoUpdateRules(relation);
  }
  auto *const columns =
      static_cast<ColumnTarget *>(palloc(names.size() * sizeof(ColumnTarget)));
  for (std::size_t i = 0; i < names.size(); ++i) {
    DescribeColumn(relation, names[i], access, &columns[i]);
  }
  out->relation = relation;
  out->pages = relation->rd_rel->relkind == RELKIND_RELATION
                   ? RelationGetNumberOfBlocks(relation)
                   : 0;
  out->columns = {columns, names.size()};
  out->source = nullptr;
}

// HasValues says whether the column has values that the caller can read or, by
// `access`, write.
bool HasValues(const FormData_pg_attribute *column, ColumnAccess access) {
  return !column->attisdropped &&
         (column->attgenerated == '\0' ||
          (access == ColumnAccess::kRead &&
           column->attgenerated == ATTRIBUTE_GENERATED_STORED));
}

void AppendQuoted(StringInfo text, const char *name) {
  appendStringInfoChar(text, '"');
  for (; name != nullptr && *name != '\0'; ++name) {
    appendStringInfoString(text, *name == '"' ? "\"\"" : "");
    if (*name != '"') {
      appendStringInfoChar(text, *name);
    }
  }
  appendStringInfoChar(text, '"');
}

}  // namespace

void RequireRights(Oid relation, ColumnNames columns, ColumnAccess access) {
  for (const char *const column : columns) {
    const AttrNumber attribute = get_attnum(relation, column);
    RequirePrivilege(relation, attribute, ACL_SELECT);
    RequireEveryRowVisible(relation);
    if (access != ColumnAccess::kRead) {
      RequirePrivilege(relation, attribute, ACL_UPDATE);
    }
  }
}

void RequireTokenColumn(Oid relation, const char *column) {
  const AttrNumber attribute = get_attnum(relation, column);
  const Oid type =
      attribute > 0 ? get_atttype(relation, attribute) : InvalidOid;
  if (!OidIsValid(type) || OidIsValid(ValueTypeOf(getBaseType(type))) ||
      !IsHolder(type)) {
    return;
  }
  FERNET_RAISE(
      ERRCODE_WRONG_OBJECT_TYPE,
      errmsg("column \"%s\" of type %s cannot be encrypted or decrypted as a "
             "whole",
             column, format_type_be(type)),
      errdetail("Its values are no tokens, and can only hold some."));
}

void RefuseMissing(Oid relation) {
  FERNET_RAISE(ERRCODE_UNDEFINED_TABLE,
               errmsg("relation with OID %u does not exist", relation));
}

const AttrNumber *CheckColumns(Oid relation_oid, ColumnNames columns,
                               ColumnAccess access) {
  if (access == ColumnAccess::kWrite) {
    RequireWritable();
  }
  TableTarget target;
  const Relation relation = try_relation_open(relation_oid, LockFor(access));
  if (relation == nullptr) {
    RefuseMissing(relation_oid);
  }
  RequireOwnSession(relation);
  Describe(relation, columns, access, &target);
  RequireRights(relation_oid, columns, access);
  auto *const attributes =
      static_cast<AttrNumber *>(palloc(columns.size() * sizeof(AttrNumber)));
  for (std::size_t i = 0; i < columns.size(); ++i) {
    attributes[i] = target.columns[i].attribute;
  }
  relation_close(relation, NoLock);
  List *const below =
      find_all_inheritors(relation_oid, LockFor(access), nullptr);
  for (int i = 0; i < list_length(below); ++i) {
    const Relation child = relation_open(list_nth_oid(below, i), NoLock);
    if (!RELATION_IS_OTHER_TEMP(child)) {
      Describe(child, columns, access, &target);
    }
    relation_close(child, NoLock);
  }
  RequireRowsInPages(below);
  return attributes;
}

bool HoldsRows(Oid table) {
  return get_rel_relkind(table) == RELKIND_RELATION &&
         !isOtherTempNamespace(get_rel_namespace(table));
}

List *TablesBelow(Oid relation, ColumnAccess access) {
  List *const below = find_all_inheritors(relation, LockFor(access), nullptr);
  List *tables = NIL;
  for (int i = 0; i < list_length(below); ++i) {
    const Oid table = list_nth_oid(below, i);
    if (HoldsRows(table)) {
      tables = lappend_oid(tables, table);
    }
  }
  return tables;
}

bool IsBelow(Oid relation, Oid table) {
  return table == relation ||
         typeInheritsFrom(get_rel_type_id(table), get_rel_type_id(relation));
}

bool OpenTarget(Oid relation_oid, ColumnNames columns, ColumnAccess access,
                TableTarget *out) {
  const Relation relation = try_relation_open(relation_oid, LockFor(access));
  if (relation == nullptr) {
    return false;
  }
  Describe(relation, columns, access, out);
  return true;
}

void DescribeOpenColumn(Relation relation, const char *column,
                        ColumnTarget *out) {
  DescribeColumn(relation, column, ColumnAccess::kWrite, out);
  RequireTokenColumn(RelationGetRelid(relation), column);
}

void RequireIndexColumn(Relation relation, AttrNumber attribute) {
  const auto *const column =
      TupleDescAttr(RelationGetDescr(relation), attribute - 1);
  if (getBaseType(column->atttypid) != BYTEAOID ||
      column->attgenerated != '\0') {
    FERNET_RAISE(
        ERRCODE_WRONG_OBJECT_TYPE,
        errmsg("column \"%s\" cannot hold blind indexes",
               NameStr(column->attname)),
        errdetail("The column must be of type bytea and not be generated."));
  }
}

void DescribeOpenSource(Relation relation, const char *column,
                        ColumnAccess access, ColumnTarget *out) {
  DescribeColumn(relation, column, access, out);
  if (!OidIsValid(out->value_type)) {
    const Oid type = get_atttype(RelationGetRelid(relation), out->attribute);
    FERNET_RAISE(
        ERRCODE_WRONG_OBJECT_TYPE,
        errmsg("the values of column \"%s\" of type %s have no blind index",
               column, format_type_be(type)),
        errdetail("The column must be of type text, varchar, char, citext or "
                  "bytea."));
  }
}

void OpenSource(const char *source, TableTarget *target) {
  auto *const column =
      static_cast<ColumnTarget *>(palloc(sizeof(ColumnTarget)));
  DescribeOpenSource(target->relation, source, ColumnAccess::kRead, column);
  const AttrNumber index = target->columns[0].attribute;
  RequireIndexColumn(target->relation, index);
  if (column->attribute == index) {
    FERNET_RAISE(
        ERRCODE_INVALID_PARAMETER_VALUE,
        errmsg("column \"%s\" cannot hold its own blind indexes", source));
  }
  target->source = column;
}

AttrNumber CheckSource(Oid relation_oid, const char *index,
                       const char *source) {
  List *const below = find_all_inheritors(relation_oid, NoLock, nullptr);
  for (int i = 0; i < list_length(below); ++i) {
    const Relation relation = relation_open(list_nth_oid(below, i), NoLock);
    if (!RELATION_IS_OTHER_TEMP(relation)) {
      TableTarget target;
      Describe(relation, ColumnNames(&index, 1), ColumnAccess::kRead, &target);
      OpenSource(source, &target);
    }
    relation_close(relation, NoLock);
  }
  RequireRights(relation_oid, ColumnNames(&source, 1), ColumnAccess::kRead);
  return get_attnum(relation_oid, source);
}

varlena *PadForColumn(const ColumnTarget &target, varlena *value) {
  const int size = static_cast<int>(VARSIZE_ANY_EXHDR(value));
  const int missing = target.is_padded
                          ? target.max_characters -
                                pg_mbstrlen_with_len(VARDATA_ANY(value), size)
                          : 0;
  if (missing <= 0) {
    return value;
  }
  varlena *const padded = AllocateValue(static_cast<std::size_t>(size) +
                                        static_cast<std::size_t>(missing));
  memcpy(VARDATA(padded), VARDATA_ANY(value), static_cast<std::size_t>(size));
  memset(VARDATA(padded) + size, ' ', static_cast<std::size_t>(missing));
  WipeAndFree(value, nullptr);
  return padded;
}

varlena *TrimOfColumn(const ColumnTarget &target, varlena *value) {
  const auto text = ViewText(value);
  std::size_t size = text.size();
  while (target.is_padded && size > 0 && text[size - 1] == ' ') {
    --size;
  }
  if (size == text.size()) {
    return value;
  }
  varlena *const trimmed = AllocateValue(size);
  memcpy(VARDATA(trimmed), text.data(), size);
  return trimmed;
}

void CloseTarget(const TableTarget &target) {
  relation_close(target.relation, NoLock);
}

TokenColumns FindTokenColumns(Oid relation_oid, ColumnAccess access) {
  const Relation relation = try_relation_open(relation_oid, LockFor(access));
  if (relation == nullptr) {
    RefuseMissing(relation_oid);
  }
  RequireTable(relation);
  const TupleDesc row = RelationGetDescr(relation);
  auto *const names = static_cast<const char **>(
      palloc(static_cast<Size>(row->natts + 1) * sizeof(const char *)));
  std::size_t count = 0;
  List *not_read = NIL;
  for (int i = 0; i < row->natts; ++i) {
    const auto *const column = TupleDescAttr(row, i);
    if (!HasValues(column, access)) {
      continue;
    }
    char *const name = pstrdup(NameStr(column->attname));
    const Oid base = getBaseType(column->atttypid);
    if (OidIsValid(ValueTypeOf(base)) || IsHolder(base)) {
      names[count++] = name;
    } else if (MayNotSeeTokens(base)) {
      not_read = lappend(not_read, makeString(name));
    }
  }
  if (count == 0) {
    FERNET_RAISE(ERRCODE_WRONG_OBJECT_TYPE,
                 errmsg("no column of \"%s\" can hold tokens",
                        RelationGetRelationName(relation)));
  }
  relation_close(relation, NoLock);
  return {{names, count}, not_read};
}

const char *NameOf(Oid relation, ColumnNames columns) {
  StringInfoData name;
  initStringInfo(&name);
  AppendQuoted(&name, get_namespace_name(get_rel_namespace(relation)));
  appendStringInfoChar(&name, '.');
  AppendQuoted(&name, get_rel_name(relation));
  const bool is_one = columns.size() == 1;
  const char *before = is_one ? "." : " (";
  for (const char *const column : columns) {
    appendStringInfoString(&name, before);
    AppendQuoted(&name, column);
    before = ", ";
  }
  appendStringInfoString(&name, columns.size() > 1 ? ")" : "");
  return name.data;
}

const char *NameOf(Oid relation, const char *column) {
  return NameOf(relation, ColumnNames(&column, 1));
}

}  // namespace fernet::pg
