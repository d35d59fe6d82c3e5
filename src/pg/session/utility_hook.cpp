#include "pg/session/utility_hook.hpp"

#include <cstring>

#include "pg/report/events.hpp"
#include "pg/report/report.hpp"
#include "pg/server/boundary.hpp"
#include "pg/session/guc_records.hpp"
#include "pg/session/settings.hpp"
#include "pg/session/statement_text.hpp"

namespace fernet::pg {
namespace {

constinit ProcessUtility_hook_type next_hook = nullptr;

bool IsEmptyString(const Node *node) {
  if (!IsA(node, A_Const)) {
    return false;
  }
  const auto *const constant = reinterpret_cast<const A_Const *>(node);
  return !constant->isnull && IsA(&constant->val, String) &&
         *constant->val.sval.sval == '\0';
}

// IsOurs says whether `statement` gives a value to a setting of ours. An empty
// value needs no hiding and is allowed everywhere.
bool IsOurs(const VariableSetStmt *statement) {
  return statement->kind == VAR_SET_VALUE && statement->name != nullptr &&
         pg_strncasecmp(statement->name, kSettingPrefix,
                        strlen(kSettingPrefix)) == 0 &&
         pg_strcasecmp(statement->name, events::kLogSettingName) != 0 &&
         !IsEmptyString(static_cast<const Node *>(linitial(statement->args)));
}

// SetAmong finds a SET of ours among the clauses of CREATE or ALTER FUNCTION.
const VariableSetStmt *SetAmong(const List *clauses) {
  for (int i = 0; i < list_length(clauses); ++i) {
    const auto *const clause = static_cast<DefElem *>(list_nth(clauses, i));
    if (strcmp(clause->defname, "set") == 0) {
      const auto *const set = castNode(VariableSetStmt, clause->arg);
      if (IsOurs(set)) {
        return set;
      }
    }
  }
  return nullptr;
}

// SetIn is the SET in `statement` that gives a value to a setting of ours, or
// null.
const VariableSetStmt *SetIn(Node *statement) {
  const VariableSetStmt *set = nullptr;
  switch (nodeTag(statement)) {
    case T_VariableSetStmt:
      set = castNode(VariableSetStmt, statement);
      break;
    case T_AlterSystemStmt:
      set = castNode(AlterSystemStmt, statement)->setstmt;
      break;
    case T_AlterRoleSetStmt:
      set = castNode(AlterRoleSetStmt, statement)->setstmt;
      break;
    case T_AlterDatabaseSetStmt:
      set = castNode(AlterDatabaseSetStmt, statement)->setstmt;
      break;
    case T_CreateFunctionStmt:
      return SetAmong(castNode(CreateFunctionStmt, statement)->options);
    case T_AlterFunctionStmt:
      return SetAmong(castNode(AlterFunctionStmt, statement)->actions);
    default:
      return nullptr;
  }
  return IsOurs(set) ? set : nullptr;
}

// TextOf is the value of `set`, or null when it is more than one text.
const char *TextOf(const VariableSetStmt *set) {
  const auto *const argument = static_cast<const Node *>(linitial(set->args));
  if (list_length(set->args) != 1 || !IsA(argument, A_Const)) {
    return nullptr;
  }
  const auto *const constant = reinterpret_cast<const A_Const *>(argument);
  return !constant->isnull && IsA(&constant->val, String)
             ? constant->val.sval.sval
             : nullptr;
}

// TracesOf is what in the value of `set` is a key, in each of its arguments.
KeyTraces TracesOf(const VariableSetStmt *set) {
  KeyTraces traces;
  for (int i = 0; i < list_length(set->args); ++i) {
    const auto *const argument =
        static_cast<const Node *>(list_nth(set->args, i));
    if (IsA(argument, A_Const)) {
      const auto *const constant = reinterpret_cast<const A_Const *>(argument);
      if (!constant->isnull && IsA(&constant->val, String)) {
        const char *const value = constant->val.sval.sval;
        traces.AddValue({value, strlen(value)});
      }
    }
  }
  return traces;
}

// GoesToCitusWorkers says whether Citus is to send the text of `set` on.
bool GoesToCitusWorkers(const VariableSetStmt *set) {
  if (!set->is_local) {
    return false;
  }
  const char *const propagate =
      GetConfigOption("citus.propagate_set_commands", true, false);
  return propagate != nullptr && pg_strcasecmp(propagate, "local") == 0;
}

// TextForCitus is a SET LOCAL that does what `set` does.
const char *TextForCitus(const VariableSetStmt *set) {
  return psprintf("SET LOCAL %s = %s", set->name,
                  quote_literal_cstr(TextOf(set)));
}

// SettingNamed is the setting for keys of that name; of another name, as good
// as fernet.key.
KeySetting SettingNamed(const char *name) {
  return pg_strcasecmp(name, NameOf(KeySetting::kIndexKey)) == 0
             ? KeySetting::kIndexKey
             : KeySetting::kKey;
}

// RefuseBadSet raises the error of `set` before the server does, which would
// log the text of the statement.
void RefuseBadSet(Node *statement, const VariableSetStmt *set) {
  if (!IsSettingDefined(set->name)) {
    ReportUnknownSetting(set->name);
  }
  if (IsA(statement, AlterSystemStmt)) {
    const KeySetting setting = SettingNamed(set->name);
    events::KeyRefused(setting, kKeyWouldBeStored);
    ReportKeyWouldBeStored(ERROR, setting);
  }
}

// Overwritten is a copy of `text` without what `traces` stands for, or itself.
const char *Overwritten(const char *text, const KeyTraces &traces) {
  if (!traces.OccurIn({text, strlen(text)})) {
    return text;
  }
  char *const copy = pstrdup(text);
  traces.Overwrite({copy, strlen(copy)});
  return copy;
}

void ProcessUtilityWithoutKey(PlannedStmt *planned, const char *text,
                              bool read_only_tree,
                              ProcessUtilityContext context,
                              ParamListInfo params,
                              QueryEnvironment *environment,
                              DestReceiver *destination,
                              QueryCompletion *completion) {
  Node *const statement = planned->utilityStmt;
  const VariableSetStmt *const set = SetIn(statement);
  PlannedStmt without_id;
  text = HandOn(text);
  if (set != nullptr) {
    const KeyTraces traces = TracesOf(set);
    OverwriteKeys(traces);
    RefuseBadSet(statement, set);
    text = Overwritten(text, traces);
    // Before PostgreSQL 18 the query id is a hash of the text with the key, and
    // each key would be a row of pg_stat_statements. Without one there is none.
    without_id = *planned;
    without_id.queryId = 0;
    if (IsA(statement, VariableSetStmt) && GoesToCitusWorkers(set) &&
        TextOf(set) != nullptr) {
      text = TextForCitus(set);
      without_id.stmt_location = 0;
      without_id.stmt_len = static_cast<int>(strlen(text));
    }
    planned = &without_id;
  }
  const ProcessUtility_hook_type next =
      next_hook != nullptr ? next_hook : standard_ProcessUtility;
  next(planned, text, read_only_tree, context, params, environment, destination,
       completion);
}

}  // namespace

void InstallUtilityHook() {
  next_hook = ProcessUtility_hook;
  ProcessUtility_hook = ProcessUtilityWithoutKey;
}

}  // namespace fernet::pg
