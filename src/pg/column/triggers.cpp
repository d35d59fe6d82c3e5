#include "pg/column/triggers.hpp"

#include <algorithm>
#include <cstdlib>

#include "pg/server/raise.hpp"
#include "pg/value/text_encoding.hpp"

// A trigger that calls this function encrypts.
extern "C" PGDLLEXPORT Datum fernet_encrypt_trigger(PG_FUNCTION_ARGS);
// A trigger that calls this one keeps blind indexes.
extern "C" PGDLLEXPORT Datum fernet_blind_index_trigger(PG_FUNCTION_ARGS);

namespace fernet::pg {
namespace {

// Names says whether an argument of `trigger` is `column`, or `column` with ':'
// and a path.
bool Names(Relation relation, const Trigger &trigger, const char *column) {
  const std::size_t length = strlen(column);
  for (int i = 0; i < trigger.tgnargs; ++i) {
    const char *const argument = trigger.tgargs[i];
    const bool begins = strncmp(argument, column, length) == 0;
    if (begins && (argument[length] == '\0' ||
                   (argument[length] == ':' &&
                    get_attnum(RelationGetRelid(relation), argument) <= 0))) {
      return true;
    }
  }
  return false;
}

bool Calls(const Trigger &trigger, PGFunction function) {
  FmgrInfo called;
  fmgr_info(trigger.tgfoid, &called);
  return called.fn_addr == function;
}

// Encrypts says whether `trigger` encrypts `column` on an update.
bool Encrypts(Relation relation, const char *column) {
  const AttrNumber attribute = get_attnum(RelationGetRelid(relation), column);
  const TriggerDesc *const triggers = relation->trigdesc;
  for (int i = 0; triggers != nullptr && i < triggers->numtriggers; ++i) {
    const Trigger &trigger = triggers->triggers[i];
    if (!FiresOnUpdate(trigger, attribute) ||
        !Names(relation, trigger, column)) {
      continue;
    }
    if (Calls(trigger, fernet_encrypt_trigger)) {
      return true;
    }
  }
  return false;
}

// KeepsIndex says whether `trigger` keeps blind indexes in the column `index`.
bool KeepsIndex(const Trigger &trigger, const char *index) {
  return trigger.tgenabled != TRIGGER_DISABLED && trigger.tgnargs >= 3 &&
         strcmp(trigger.tgargs[1], index) == 0 &&
         Calls(trigger, fernet_blind_index_trigger);
}

// Keeps says whether those are of `source`, in the form `form`.
bool Keeps(const Trigger &trigger, const char *source,
           const BlindIndexForm &form) {
  const auto bits =
      trigger.tgnargs < 4
          ? static_cast<std::int32_t>(8 * kMaxBlindIndexSize)
          : static_cast<std::int32_t>(strtol(trigger.tgargs[3], nullptr, 10));
  const auto context = ViewText(TextToUtf8(cstring_to_text(trigger.tgargs[2])));
  const auto expected = ViewText(form.context);
  return strcmp(trigger.tgargs[0], source) == 0 &&
         bits == static_cast<std::int32_t>(8 * form.size) &&
         std::equal(context.begin(), context.end(), expected.begin(),
                    expected.end());
}

[[noreturn]] void RefuseOtherIndexes(Relation relation, const Trigger &trigger,
                                     const char *index) {
  FERNET_RAISE(
      ERRCODE_INVALID_PARAMETER_VALUE,
      errmsg("the trigger \"%s\" of \"%s\" keeps other blind indexes in "
             "\"%s\"",
             trigger.tgname, RelationGetRelationName(relation), index),
      errdetail("The arguments of the trigger are the source \"%s\", the "
                "context \"%s\" and "
                "%s bits.",
                trigger.tgargs[0], trigger.tgargs[2],
                trigger.tgnargs < 4 ? "256" : trigger.tgargs[3]),
      errhint("Use the same source, context and bits, or change the trigger "
              "first."));
}

bool FiresOnUpdateOfOne(Relation relation, const Trigger &trigger,
                        ColumnNames columns) {
  return std::any_of(columns.begin(), columns.end(), [&](const char *column) {
    return FiresOnUpdate(trigger,
                         get_attnum(RelationGetRelid(relation), column));
  });
}

// TriggersThatFire lists the names of the triggers that an update of one of
// `columns` fires.
const char *TriggersThatFire(Relation relation, ColumnNames columns) {
  StringInfoData names;
  initStringInfo(&names);
  const TriggerDesc *const triggers = relation->trigdesc;
  for (int i = 0; triggers != nullptr && i < triggers->numtriggers; ++i) {
    const Trigger &trigger = triggers->triggers[i];
    if (FiresOnUpdateOfOne(relation, trigger, columns)) {
      appendStringInfo(&names, "%s%s", names.len == 0 ? "" : ", ",
                       quote_identifier(trigger.tgname));
    }
  }
  return names.data;
}

}  // namespace

bool FiresOnUpdate(const Trigger &trigger, AttrNumber attribute) {
  bool names_column = trigger.tgnattr == 0;
  for (int i = 0; i < trigger.tgnattr; ++i) {
    names_column = names_column || trigger.tgattr[i] == attribute;
  }
  const bool enabled =
      trigger.tgenabled == TRIGGER_FIRES_ALWAYS ||
      (trigger.tgenabled == TRIGGER_FIRES_ON_ORIGIN &&
       SessionReplicationRole != SESSION_REPLICATION_ROLE_REPLICA) ||
      (trigger.tgenabled == TRIGGER_FIRES_ON_REPLICA &&
       SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA);
  return (trigger.tgtype & TRIGGER_TYPE_UPDATE) != 0 && !trigger.tgisinternal &&
         enabled && names_column;
}

const char *TriggersOnUpdate(Relation relation, AttrNumber attribute,
                             bool before) {
  StringInfoData names;
  initStringInfo(&names);
  const TriggerDesc *const triggers = relation->trigdesc;
  for (int i = 0; triggers != nullptr && i < triggers->numtriggers; ++i) {
    const Trigger &trigger = triggers->triggers[i];
    const bool is_before = TRIGGER_FOR_BEFORE(trigger.tgtype);
    if (FiresOnUpdate(trigger, attribute) &&
        (before ? is_before : !is_before)) {
      appendStringInfo(&names, "%s%s", names.len == 0 ? "" : ", ",
                       quote_identifier(trigger.tgname));
    }
  }
  return names.data;
}

void NameTriggers(Oid relation_oid, ColumnNames columns) {
  constexpr int kMaxTables = 10;
  List *const tables = TablesBelow(relation_oid, ColumnAccess::kWrite);
  int found = 0;
  for (int i = 0; i < list_length(tables); ++i) {
    const Relation relation = relation_open(list_nth_oid(tables, i), NoLock);
    const char *const names = TriggersThatFire(relation, columns);
    if (*names != '\0' && ++found <= kMaxTables) {
      ereport(NOTICE,
              errmsg("triggers of \"%s\" will fire: %s",
                     RelationGetRelationName(relation), names),
              HideStatement());
    }
    relation_close(relation, NoLock);
  }
  if (found > kMaxTables) {
    ereport(NOTICE,
            errmsg("triggers of %d more tables will fire", found - kMaxTables),
            HideStatement());
  }
}

void RequireNoEncryption(Oid relation_oid, const char *column) {
  List *const tables = TablesBelow(relation_oid, ColumnAccess::kWrite);
  for (int i = 0; i < list_length(tables); ++i) {
    const Relation relation = relation_open(list_nth_oid(tables, i), NoLock);
    if (Encrypts(relation, column)) {
      FERNET_RAISE(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                   errmsg("a trigger of \"%s\" would encrypt \"%s\" again",
                          RelationGetRelationName(relation), column),
                   errhint("Drop or disable the trigger first."));
    }
    relation_close(relation, NoLock);
  }
}

void RequireSameIndexes(Oid relation_oid, const char *source, const char *index,
                        const BlindIndexForm &form) {
  List *const tables = TablesBelow(relation_oid, ColumnAccess::kRead);
  for (int i = 0; i < list_length(tables); ++i) {
    const Relation relation = relation_open(list_nth_oid(tables, i), NoLock);
    const TriggerDesc *const triggers = relation->trigdesc;
    for (int k = 0; triggers != nullptr && k < triggers->numtriggers; ++k) {
      const Trigger &trigger = triggers->triggers[k];
      if (KeepsIndex(trigger, index) && !Keeps(trigger, source, form)) {
        RefuseOtherIndexes(relation, trigger, index);
      }
    }
    relation_close(relation, NoLock);
  }
}

}  // namespace fernet::pg
