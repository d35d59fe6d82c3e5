// What fernet_doctor says of logs and statistics that keep statements.

#include <cstdlib>
#include <cstring>
#include <span>

#include "pg/functions/doctor_checks.hpp"
#include "pg/functions/doctor_settings.hpp"

namespace fernet::pg::doctor {
namespace {

bool LogsStatements() {
  return IsSet("log_statement", "all") || IsSet("log_statement", "mod") ||
         IsThreshold("log_min_duration_statement") ||
         IsThreshold("log_min_duration_sample") ||
         (Setting("log_transaction_sample_rate") != nullptr &&
          strtod(Setting("log_transaction_sample_rate"), nullptr) > 0);
}

// Each writes its figures with the text of the statement.
constexpr const char *kStatistics[] = {"log_parser_stats", "log_planner_stats",
                                       "log_executor_stats",
                                       "log_statement_stats"};

// SwitchedOn is the first of `settings` that is on, or null.
const char *SwitchedOn(std::span<const char *const> settings) {
  for (const char *const setting : settings) {
    if (IsSet(setting, "on")) {
      return setting;
    }
  }
  return nullptr;
}

}  // namespace

void CheckStatementLog(const Findings &out) {
  const char *const statistics = SwitchedOn(kStatistics);
  if (!LogsStatements() && statistics != nullptr) {
    out.Add(kWarn,
            psprintf("%s logs the text of statements with its figures, and so "
                     "literal keys, tokens and plaintexts.",
                     statistics),
            psprintf("Switch %s off, or give keys in the connection options or "
                     "as bind parameters, and plaintexts as bind parameters.",
                     statistics));
    return;
  }
  if (!LogsStatements() && IsSet("log_statement", "ddl")) {
    out.Add(kNote,
            "The server logs the statements that define objects "
            "(log_statement = ddl), and so a key in ALTER ROLE ... SET or in "
            "a function.",
            "Write no key into a definition.");
    return;
  }
  if (!LogsStatements()) {
    out.Add(kOk,
            "Statements are not logged, but for the text of one that fails or "
            "has another message in the log.");
    return;
  }
  out.Add(
      kWarn,
      "The server logs statements (log_statement, log_min_duration_statement "
      "and the like), and so literal keys, tokens and plaintexts.",
      "Give keys in the connection options or as bind parameters, and "
      "plaintexts as bind parameters.");
}

void CheckParameterLog(const Findings &out) {
  const bool in_statements =
      LogsStatements() && !IsSet("log_parameter_max_length", "0");
  const bool in_errors = !IsSet("log_parameter_max_length_on_error", "0");
  if (!in_statements && !in_errors) {
    out.Add(kOk, "Bind parameters are not logged.");
    return;
  }
  out.Add(
      kWarn,
      in_statements
          ? "Bind parameters are logged with the statements."
          : "Bind parameters are logged with the errors of other functions.",
      in_statements ? "ALTER ROLE ... SET log_parameter_max_length = 0"
                    : "log_parameter_max_length_on_error = 0");
}

void CheckDebugLog(const Findings &out) {
  if (IsSet("debug_print_raw_parse", "on") ||
      IsSet("debug_print_parse", "on") || IsSet("debug_print_plan", "on") ||
      IsSet("debug_print_rewritten", "on")) {
    out.Add(kWarn,
            "Parse trees or plans are logged, with literals and parameters.",
            "Switch debug_print_parse, debug_print_rewritten and "
            "debug_print_plan off.");
    return;
  }
  out.Add(kOk, "Parse trees and plans are not logged.");
}

void CheckAutoExplain(const Findings &out) {
  if (!IsThreshold("auto_explain.log_min_duration")) {
    out.Add(kOk, "auto_explain is not loaded or logs nothing.");
    return;
  }
  if (IsSet("auto_explain.log_verbose", "on")) {
    out.Add(kWarn,
            "auto_explain logs the text of statements, and with log_verbose "
            "the expressions of their plans: keys and plaintexts in them, and "
            "bind parameters too, even with log_parameter_max_length = 0.",
            "auto_explain.log_verbose = off");
    return;
  }
  out.Add(kWarn,
          "auto_explain logs the text and the conditions of statements with "
          "the values in them and, from PostgreSQL 16 on, bind parameters.",
          "auto_explain.log_parameter_max_length = 0");
}

void CheckStatStatements(const Findings &out) {
  if (!IsSet("pg_stat_statements.track_utility", "on")) {
    out.Add(kOk,
            "pg_stat_statements is not loaded or does not track utility "
            "statements.");
    return;
  }
  out.Add(kNote,
          "pg_stat_statements tracks utility statements. Keys are overwritten "
          "in their text; plaintexts are not where they are literals, as in "
          "EXPLAIN, COPY, CREATE TABLE AS, DECLARE CURSOR, DO and CALL.",
          "Give plaintexts as bind parameters, or set "
          "pg_stat_statements.track_utility = off");
}

void CheckAudit(const Findings &out) {
  const char *const log = Setting("pgaudit.log");
  const char *const role = Setting("pgaudit.role");
  const bool of_session =
      log != nullptr && strcmp(log, "none") != 0 && *log != '\0';
  const bool of_objects = role != nullptr && *role != '\0';
  if (!of_session && !of_objects) {
    out.Add(kOk, "pgaudit is not loaded or logs nothing.");
    return;
  }
  const bool parameters = IsSet("pgaudit.log_parameter", "on");
  out.Add(parameters ? kWarn : kNote,
          parameters
              ? "pgaudit logs statements and their bind parameters, keys and "
                "plaintexts among them."
              : "pgaudit logs statements. Keys are overwritten in them, but "
                "for one that is given to a function or procedure of your own; "
                "literal plaintexts are not.",
          parameters ? "pgaudit.log_parameter = off"
                     : "Give keys in the connection options, and plaintexts as "
                       "bind parameters.");
}

}  // namespace fernet::pg::doctor
