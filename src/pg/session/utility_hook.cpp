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

// SetsKeyInBlock says whether a DO block mentions the key: pg_stat_statements
// would keep its text with all literals.
bool SetsKeyInBlock(Node *statement) {
  if (!IsA(statement, DoStmt)) {
    return false;
  }
  const List *const arguments = castNode(DoStmt, statement)->args;
  for (int i = 0; i < list_length(arguments); ++i) {
    const auto *const argument = static_cast<DefElem *>(list_nth(arguments, i));
    if (strcmp(argument->defname, "as") == 0 &&
        strcasestr(strVal(argument->arg), kSettingPrefix) != nullptr) {
      return true;
    }
  }
  return false;
}

// Refuse raises the error of `set` before the server does, which would log the
// text of the statement.
void RefuseBadSet(Node *statement, const VariableSetStmt *set) {
  if (!IsSettingDefined(set->name)) {
    ReportUnknownSetting(set->name);
  }
  if (IsA(statement, AlterSystemStmt)) {
    events::KeyRefused(kKeyWouldBeStored);
    ReportKeyWouldBeStored(ERROR);
  }
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
  PlannedStmt withheld;
  if (set != nullptr && context == PROCESS_UTILITY_TOPLEVEL) {
    WithholdStatementText();
  }
  if (set != nullptr) {
    RefuseBadSet(statement, set);
  }
  if (set != nullptr || SetsKeyInBlock(statement)) {
    // Without a query id pg_stat_statements keeps nothing. It and pgaudit read
    // another text than the statement's; only the parse tree is the same.
    withheld = *planned;
    withheld.queryId = 0;
    withheld.stmt_location = 0;
    withheld.stmt_len = static_cast<int>(strlen(kWithheldText));
    planned = &withheld;
    text = kWithheldText;
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
