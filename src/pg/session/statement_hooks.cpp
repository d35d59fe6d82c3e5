#include "pg/session/statement_hooks.hpp"

#include <cstring>

#include "pg/server/boundary.hpp"
#include "pg/session/settings.hpp"
#include "pg/session/statement_text.hpp"

namespace fernet::pg {
namespace {

constinit post_parse_analyze_hook_type next_analyze_hook = nullptr;
constinit planner_hook_type next_planner_hook = nullptr;
constinit ExecutorStart_hook_type next_start_hook = nullptr;
constinit emit_log_hook_type next_log_hook = nullptr;

// IsDefinition says whether `query` stores its own text, or what is in it. A
// hook that replays such statements elsewhere must not replay asterisks.
bool IsDefinition(const Query *query) {
  return query->utilityStmt != nullptr &&
         IsA(query->utilityStmt, CreateFunctionStmt);
}

// The types of the hooks differ between servers: hence the templates.
template <typename Jumble>
void AfterAnalysis(ParseState *state, Query *query, Jumble *jumble) {
  if (state->p_sourcetext != nullptr && !IsDefinition(query)) {
    OverwriteKeysIn(state->p_sourcetext);
    // The server analyses a function of many statements in a loop that nothing
    // else would interrupt, and each time its whole text is looked at.
    CHECK_FOR_INTERRUPTS();
  }
  if (next_analyze_hook != nullptr) {
    next_analyze_hook(state, query, jumble);
  }
}

// BeforeError is for an error of a statement that no other hook sees: one that
// the parser or the analysis refuses. The log shows its text. `error` is left
// alone, as the server asks.
void BeforeError(ErrorData *error) {
  if (error->elevel == ERROR && error->output_to_server &&
      debug_query_string != nullptr) {
    OverwriteKeysIn(debug_query_string);
  }
  if (next_log_hook != nullptr) {
    next_log_hook(error);
  }
}

// MaySetOurs says whether `call` is a set_config of a setting of ours, or of
// one that is not known yet.
bool MaySetOurs(const FuncExpr *call) {
  if (call->funcid != F_SET_CONFIG) {
    return false;
  }
  const auto *const name = static_cast<const Node *>(linitial(call->args));
  if (!IsA(name, Const)) {
    return true;
  }
  const auto *const constant = reinterpret_cast<const Const *>(name);
  const auto *const text =
      reinterpret_cast<const varlena *>(DatumGetPointer(constant->constvalue));
  return !constant->constisnull &&
         ViewText(text).size() > strlen(kSettingPrefix) &&
         pg_strncasecmp(ViewText(text).data(), kSettingPrefix,
                        strlen(kSettingPrefix)) == 0;
}

// HoldsSetOfOurs looks for such a call anywhere in `node`, a query or a part of
// one.
bool HoldsSetOfOurs(Node *node, void *) {
  if (node == nullptr) {
    return false;
  }
  if (IsA(node, FuncExpr) && MaySetOurs(reinterpret_cast<FuncExpr *>(node))) {
    return true;
  }
  return IsA(node, Query)
             ? WalkQuery(reinterpret_cast<Query *>(node), HoldsSetOfOurs)
             : WalkExpression(node, HoldsSetOfOurs);
}

// PlanWithoutKey leaves a parameter that is a key a parameter: in a plan for
// its value, it would be a constant for auto_explain to show.
template <typename... More>
PlannedStmt *PlanWithoutKey(Query *query, const char *text, int options,
                            ParamListInfo parameters, More... more) {
  if (parameters != nullptr &&
      HoldsSetOfOurs(reinterpret_cast<Node *>(query), nullptr)) {
    parameters = nullptr;
  }
  const planner_hook_type next =
      next_planner_hook != nullptr ? next_planner_hook : standard_planner;
  return next(query, text, options, parameters, more...);
}

template <typename... Arguments>
auto StartWithoutKey(QueryDesc *query, Arguments... arguments) {
  query->sourceText = HandOn(query->sourceText);
  const ExecutorStart_hook_type next =
      next_start_hook != nullptr ? next_start_hook : standard_ExecutorStart;
  return next(query, arguments...);
}

}  // namespace

void InstallStatementHooks() {
  next_analyze_hook = post_parse_analyze_hook;
  post_parse_analyze_hook = AfterAnalysis;
  next_planner_hook = planner_hook;
  planner_hook = PlanWithoutKey;
  next_start_hook = ExecutorStart_hook;
  ExecutorStart_hook = StartWithoutKey;
  next_log_hook = emit_log_hook;
  emit_log_hook = BeforeError;
}

}  // namespace fernet::pg
