#include "pg/rotation_target.hpp"

#include "pg/report.hpp"

namespace fernet::pg {
namespace {

void RequirePlainTable(Relation relation) {
  if (relation->rd_rel->relkind == RELKIND_RELATION) {
    return;
  }
  DropContext();
  ereport(ERROR, errcode(ERRCODE_WRONG_OBJECT_TYPE),
          errmsg("\"%s\" is not a table", RelationGetRelationName(relation)),
          relation->rd_rel->relkind == RELKIND_PARTITIONED_TABLE
              ? errhint("Rotate each of its partitions.")
              : 0,
          HideStatement());
}

void RequirePrivilege(Oid relation, AttrNumber attribute, AclMode mode) {
  if (pg_class_aclcheck(relation, GetUserId(), mode) == ACLCHECK_OK) {
    return;
  }
  const AclResult result =
      pg_attribute_aclcheck(relation, attribute, GetUserId(), mode);
  if (result != ACLCHECK_OK) {
    DropContext();
    aclcheck_error(result, OBJECT_TABLE, get_rel_name(relation));
  }
}

void RequireEveryRowVisible(Oid relation) {
  if (check_enable_rls(relation, InvalidOid, true) == RLS_ENABLED) {
    DropContext();
    ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
            errmsg("row security would hide rows of \"%s\" from the rotation",
                   get_rel_name(relation)),
            errhint("Rotate as the owner of the table or as a role with "
                    "BYPASSRLS."),
            HideStatement());
  }
}

AttrNumber FindColumn(Relation relation, const char *column) {
  const AttrNumber attribute =
      get_attnum(RelationGetRelid(relation), column);
  if (attribute <= 0) {
    DropContext();
    ereport(ERROR, errcode(ERRCODE_UNDEFINED_COLUMN),
            errmsg("column \"%s\" of relation \"%s\" does not exist", column,
                   RelationGetRelationName(relation)),
            HideStatement());
  }
  return attribute;
}

// ValueType is what the column's values are made of, whatever domain or length
// is around it.
Oid ValueType(Relation relation, AttrNumber attribute) {
  const auto *const column =
      TupleDescAttr(RelationGetDescr(relation), attribute - 1);
  if (column->attgenerated != '\0') {
    DropContext();
    ereport(ERROR, errcode(ERRCODE_GENERATED_ALWAYS),
            errmsg("column \"%s\" is a generated column",
                   NameStr(column->attname)),
            HideStatement());
  }
  switch (getBaseType(column->atttypid)) {
    case TEXTOID:
    case VARCHAROID:
      return TEXTOID;
    case BYTEAOID:
      return BYTEAOID;
    default:
      DropContext();
      ereport(ERROR, errcode(ERRCODE_WRONG_OBJECT_TYPE),
              errmsg("column \"%s\" is of type %s", NameStr(column->attname),
                     format_type_be(column->atttypid)),
              errdetail("Tokens are kept in columns of type text, varchar or "
                        "bytea, or of a domain over one of them."),
              HideStatement());
  }
}

}  // namespace

RotationTarget ResolveTarget(Oid relation_oid, const char *column) {
  const Relation relation = relation_open(relation_oid, RowExclusiveLock);
  RequirePlainTable(relation);
  const AttrNumber attribute = FindColumn(relation, column);
  RequirePrivilege(relation_oid, attribute, ACL_SELECT);
  RequirePrivilege(relation_oid, attribute, ACL_UPDATE);
  RequireEveryRowVisible(relation_oid);
  const RotationTarget target = {
      .relation = relation_oid,
      .attribute = attribute,
      .value_type = ValueType(relation, attribute),
      .relation_name = quote_qualified_identifier(
          get_namespace_name(RelationGetNamespace(relation)),
          RelationGetRelationName(relation)),
      .column_name = quote_identifier(pstrdup(column)),
      .pages = RelationGetNumberOfBlocks(relation),
  };
  relation_close(relation, NoLock);
  return target;
}

}  // namespace fernet::pg
