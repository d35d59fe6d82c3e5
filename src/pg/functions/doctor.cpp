// SQL function fernet_doctor: settings and surroundings by which keys or
// plaintexts could leak or operation could surprise, an item to a row.

#include <sys/resource.h>

#include <cstdlib>
#include <cstring>

#include "core/library.hpp"
#include "pg/report/counters.hpp"
#include "pg/report/report.hpp"
#include "pg/server/boundary.hpp"
#include "pg/server/result_rows.hpp"
#include "pg/session/guc_records.hpp"
#include "pg/session/session_keys.hpp"

namespace fernet::pg {
namespace {

constexpr const char *kOk = "ok";
constexpr const char *kNote = "note";
constexpr const char *kWarn = "warn";
constexpr const char *kFail = "fail";

// Findings writes the rows.
struct Findings {
  ResultRows rows;

  void Add(const char *item, const char *status, const char *detail,
           const char *hint = nullptr) const {
    ResultRow row;
    row.Text(item);
    row.Text(status);
    row.Text(detail);
    row.Text(hint);
    rows.Add(&row);
  }
};

// Setting is the value of a setting as text, or null if there is none of the
// name, as when its library is not loaded.
const char *Setting(const char *name) {
  return GetConfigOption(name, true, false);
}

bool IsSet(const char *name, const char *value) {
  const char *const setting = Setting(name);
  return setting != nullptr && strcmp(setting, value) == 0;
}

// IsThreshold says whether a duration is set that logs anything: -1 is off.
bool IsThreshold(const char *name) {
  const char *const setting = Setting(name);
  return setting != nullptr && strtol(setting, nullptr, 10) >= 0;
}

// PositionIn is the place of `library` in a list of libraries, or -1.
int PositionIn(const char *list_setting, const char *library) {
  const char *const value = Setting(list_setting);
  if (value == nullptr) {
    return -1;
  }
  List *names = NIL;
  if (!SplitDirectoriesString(pstrdup(value), ',', &names)) {
    return -1;
  }
  for (int i = 0; i < list_length(names); ++i) {
    const char *const path = static_cast<char *>(list_nth(names, i));
    const char *const slash = strrchr(path, '/');
    if (strncmp(slash == nullptr ? path : slash + 1, library,
                strlen(library)) == 0) {
      return i;
    }
  }
  return -1;
}

bool IsPreloaded(const char *library) {
  return PositionIn("shared_preload_libraries", library) >= 0 ||
         PositionIn("session_preload_libraries", library) >= 0;
}

const char *HowKeyWasSet() {
  return KeySource() == PGC_S_CLIENT ? "in the connection options"
                                     : "by SET or set_config";
}

void CheckKey(const Findings &out) {
  const KeyList *const list = session_keys::CurrentList();
  if (list == nullptr) {
    out.Add("key", kNote, "No key is set in this session.", kHowToGiveTheKey);
    return;
  }
  StringInfoData text;
  initStringInfo(&text);
  appendStringInfo(&text, "%lu set %s, by fingerprint, the first encrypts:",
                   static_cast<unsigned long>(list->keys().size()),
                   HowKeyWasSet());
  bool all_computed = true;
  for (const Key &key : list->keys()) {
    FingerprintText fingerprint;
    const bool computed = Fingerprint(key, &fingerprint) == Status::kOk;
    appendStringInfo(&text, " %s", computed ? fingerprint.data() : "?");
    all_computed = all_computed && computed;
  }
  if (!all_computed) {
    out.Add(
        "key", kWarn, text.data,
        "OpenSSL could not compute a fingerprint: it lacks HMAC or SHA-256, "
        "or memory.");
    return;
  }
  out.Add("key", kOk, text.data);
}

void CheckPreload(const Findings &out) {
  if (IsPreloaded("pg_fernet")) {
    out.Add("preload", kOk, "The library is loaded with the session.");
    return;
  }
  out.Add("preload", kWarn,
          "The library is loaded at the first call of a function. Before that, "
          "SHOW fernet.key shows the key, and a superuser's ALTER SYSTEM, "
          "ALTER ROLE or ALTER DATABASE would store it.",
          "ALTER DATABASE ... SET session_preload_libraries = 'pg_fernet'");
}

// CheckLoadOrder: hooks of what is loaded later are called first, so what is
// loaded after us sees the text of a SET before we can withhold it.
void CheckLoadOrder(const Findings &out) {
  const int ours = PositionIn("shared_preload_libraries", "pg_fernet");
  const bool before_statements =
      ours >= 0 &&
      PositionIn("shared_preload_libraries", "pg_stat_statements") > ours;
  const bool before_audit =
      ours >= 0 && PositionIn("shared_preload_libraries", "pgaudit") > ours;
  if (before_statements || before_audit) {
    out.Add("load order", kWarn,
            psprintf("%s is loaded after pg_fernet and so sees the text of a "
                     "SET fernet.key.",
                     before_statements ? "pg_stat_statements" : "pgaudit"),
            "Put pg_fernet last in shared_preload_libraries.");
    return;
  }
  out.Add("load order", kOk,
          "No library that keeps statements is loaded after pg_fernet.");
}

bool LogsStatements() {
  return IsSet("log_statement", "all") || IsSet("log_statement", "mod") ||
         IsThreshold("log_min_duration_statement") ||
         IsThreshold("log_min_duration_sample") ||
         (Setting("log_transaction_sample_rate") != nullptr &&
          strtod(Setting("log_transaction_sample_rate"), nullptr) > 0);
}

void CheckStatementLog(const Findings &out) {
  if (!LogsStatements()) {
    out.Add("statement log", kOk, "Statements are not logged.");
    return;
  }
  out.Add("statement log", kWarn,
          "Statements are logged (log_statement, log_min_duration_statement "
          "and the like): literal keys, tokens and plaintexts with them.",
          "Give keys in the connection options or as bind parameters, and "
          "plaintexts as bind parameters.");
}

void CheckParameterLog(const Findings &out) {
  const bool in_statements =
      LogsStatements() && !IsSet("log_parameter_max_length", "0");
  const bool in_errors = !IsSet("log_parameter_max_length_on_error", "0");
  if (!in_statements && !in_errors) {
    out.Add("parameter log", kOk, "Bind parameters are not logged.");
    return;
  }
  out.Add(
      "parameter log", kWarn,
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
    out.Add("debug log", kWarn,
            "Parse trees or plans are logged, with literals and parameters.",
            "Switch debug_print_parse, debug_print_rewritten and "
            "debug_print_plan off.");
    return;
  }
  out.Add("debug log", kOk, "Parse trees and plans are not logged.");
}

void CheckAutoExplain(const Findings &out) {
  if (!IsThreshold("auto_explain.log_min_duration")) {
    out.Add("auto_explain", kOk, "It is not loaded or logs nothing.");
    return;
  }
  out.Add("auto_explain", kWarn,
          "It logs the text of statements and, from PostgreSQL 16 on, their "
          "bind parameters.",
          "auto_explain.log_parameter_max_length = 0");
}

void CheckStatStatements(const Findings &out) {
  if (!IsSet("pg_stat_statements.track_utility", "on")) {
    out.Add("pg_stat_statements", kOk,
            "It is not loaded or does not track utility statements.");
    return;
  }
  out.Add("pg_stat_statements", kNote,
          "It tracks utility statements. The text of SET fernet.key and of DO "
          "blocks that name it is withheld from it; a literal in other utility "
          "statements is not.",
          "pg_stat_statements.track_utility = off");
}

void CheckAudit(const Findings &out) {
  const char *const log = Setting("pgaudit.log");
  if (log == nullptr || strcmp(log, "none") == 0 || *log == '\0') {
    out.Add("pgaudit", kOk, "It is not loaded or logs nothing.");
    return;
  }
  const bool parameters = IsSet("pgaudit.log_parameter", "on");
  out.Add("pgaudit", parameters ? kWarn : kNote,
          parameters
              ? "It logs statements and their bind parameters."
              : "It logs statements: literals in SELECT and DO with them.",
          parameters ? "pgaudit.log_parameter = off" : nullptr);
}

void CheckCoreDumps(const Findings &out) {
  rlimit limit{};
  if (getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur == 0) {
    out.Add("core dumps", kOk, "This session may write none.");
    return;
  }
  out.Add("core dumps", kNote,
          "A crash may write one. Our key pages are left out of it; OpenSSL's "
          "contexts and PostgreSQL's buffers are not.",
          "Treat a core dump like the key, or set the limit of the server's "
          "core files to 0.");
}

void CheckMemory(const Findings &out) {
  const SecretPages pages = session_keys::MemoryState();
  if (pages.address == nullptr) {
    out.Add("key memory", kNote, "No key has been set in this session yet.");
    return;
  }
  if (pages.left_out_of_dumps && pages.locked && pages.wiped_on_fork) {
    out.Add("key memory", kOk,
            "Key pages are left out of core dumps, locked, and wiped on fork.");
    return;
  }
  out.Add(
      "key memory", kWarn,
      psprintf("Key pages are %sleft out of core dumps, %slocked against "
               "swapping, and %swiped on fork.",
               pages.left_out_of_dumps ? "" : "not ",
               pages.locked ? "" : "not ", pages.wiped_on_fork ? "" : "not "),
      "Raise the server's limit of locked memory (LimitMEMLOCK).");
}

void CheckChecksums(const Findings &out) {
  const bool on = IsSet("data_checksums", "on");
  out.Add("data checksums", on ? kOk : kNote,
          on ? "On: a damaged page is noticed."
             : "Off: a damaged page shows only when a token does not open.");
}

void CheckCounters(const Findings &out) {
  const bool available = counters::ForEachDatabase(
      [](const counters::DatabaseCounts &, void *) {}, nullptr);
  if (available) {
    out.Add("counters", kOk, "pg_stat_fernet counts.");
    return;
  }
  out.Add("counters", kNote,
          "pg_stat_fernet is empty: before PostgreSQL 17 it needs "
          "shared_preload_libraries.",
          "shared_preload_libraries = 'pg_fernet'");
}

void CheckLibraries(const Findings &out) {
  const char *const version =
      psprintf("%s%s", CryptoLibraryVersion(),
               IsFipsRequired() ? ", FIPS providers only" : "");
  if (HasAlgorithms()) {
    out.Add("openssl", kOk, version);
    return;
  }
  out.Add("openssl", kFail,
          psprintf("%s. Its providers lack AES-128-CBC or SHA-256: nothing can "
                   "be encrypted or decrypted.",
                   version),
          "Mend openssl.cnf, or OPENSSL_CONF in the environment of the "
          "server.");
}

// ---------------------------------------------------------------------------
// What has to be asked of the catalogs

// AskOne runs a query of one text column through SPI and returns its first
// row's value, or null.
const char *AskOne(const char *query) {
  const int result = SPI_execute(query, true, 1);
  if (result != SPI_OK_SELECT || SPI_processed == 0) {
    return nullptr;
  }
  return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}

void CheckConnection(const Findings &out) {
  const char *const kind = AskOne(
      "SELECT CASE WHEN pg_catalog.inet_client_addr() IS NULL THEN 'local'"
      " WHEN s.ssl OR s.gss_enc THEN 'encrypted'"
      " WHEN s.ssl IS NULL THEN 'unknown' ELSE 'clear' END"
      " FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid())"
      " AS s");
  if (kind == nullptr || strcmp(kind, "unknown") == 0) {
    out.Add("connection", kNote,
            "This role may not see whether it is encrypted.");
  } else if (strcmp(kind, "clear") == 0) {
    out.Add("connection", kFail,
            "It is not encrypted: keys, tokens and plaintexts cross the "
            "network in clear.",
            "Connect with sslmode=verify-full, or by a local socket.");
  } else {
    out.Add("connection", kOk,
            strcmp(kind, "local") == 0 ? "It is a local socket."
                                       : "It is encrypted.");
  }
}

void CheckStoredKey(const Findings &out) {
  const char *const places = AskOne(
      "SELECT pg_catalog.string_agg(place, ', ' ORDER BY place COLLATE \"C\")"
      " FROM ("
      "SELECT CASE WHEN s.setrole = 0 AND s.setdatabase = 0"
      " THEN 'the settings of all roles' ELSE"
      " 'the settings of ' || pg_catalog.concat_ws(' in ',"
      " CASE WHEN s.setrole <> 0 THEN 'role '"
      " || pg_catalog.quote_ident(r.rolname) END,"
      " CASE WHEN s.setdatabase <> 0 THEN 'database '"
      " || pg_catalog.quote_ident(d.datname) END) END"
      " FROM pg_catalog.pg_db_role_setting AS s"
      " LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = s.setrole"
      " LEFT JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase"
      " WHERE EXISTS (SELECT FROM pg_catalog.unnest(s.setconfig) AS c"
      " WHERE pg_catalog.lower(c) LIKE 'fernet.key=_%')"
      " UNION ALL SELECT 'function ' || p.oid::pg_catalog.regprocedure::text"
      " FROM pg_catalog.pg_proc AS p"
      " WHERE EXISTS (SELECT FROM pg_catalog.unnest(p.proconfig) AS c"
      " WHERE pg_catalog.lower(c) LIKE 'fernet.key=_%')"
      ") AS stored(place)");
  const char *const files =
      superuser() ? AskOne(
                        "SELECT pg_catalog.string_agg(DISTINCT f.sourcefile,"
                        " ', ') FROM pg_catalog.pg_file_settings AS f"
                        " WHERE pg_catalog.lower(f.name) = 'fernet.key'"
                        " AND f.setting <> ''")
                  : nullptr;
  if (files != nullptr) {
    out.Add("stored key", kFail, psprintf("A key is stored in %s.", files),
            "Remove it there, and rotate to a new key.");
  }
  if (places == nullptr && files == nullptr) {
    out.Add("stored key", kOk, "No catalog holds a fernet.key.");
  }
  if (places == nullptr) {
    return;
  }
  out.Add("stored key", kFail, psprintf("A key is stored in %s.", places),
          "RESET it there, and rotate to a new key: the old one is in the "
          "table's dead rows, in WAL and in backups.");
}

void CheckStoredPlaintext(const Findings &out) {
  const char *const places = AskOne(
      "SELECT pg_catalog.string_agg(place, ', ' ORDER BY place COLLATE \"C\")"
      " FROM ("
      "SELECT 'function ' || p.oid::pg_catalog.regprocedure::text"
      " FROM pg_catalog.pg_proc AS p"
      " WHERE p.provolatile = 'i' AND pg_catalog.concat(p.prosrc,"
      " pg_catalog.pg_get_function_sqlbody(p.oid))"
      " ~* 'fernet_(try_)?decrypt'"
      " UNION ALL SELECT 'materialized view ' || "
      "c.oid::pg_catalog.regclass::text"
      " FROM pg_catalog.pg_class AS c"
      " JOIN pg_catalog.pg_rewrite AS w ON w.ev_class = c.oid"
      " WHERE c.relkind = 'm' AND pg_catalog.pg_get_viewdef(c.oid)"
      " ~* 'fernet_(try_)?decrypt'"
      " UNION ALL SELECT 'index ' || i.indexrelid::pg_catalog.regclass::text"
      " FROM pg_catalog.pg_index AS i WHERE i.indexprs IS NOT NULL"
      " AND pg_catalog.pg_get_indexdef(i.indexrelid)"
      " ~* 'fernet_(try_)?decrypt'"
      ") AS stored(place)");
  if (places == nullptr) {
    out.Add("stored plaintext", kOk,
            "No index, materialized view or function declared IMMUTABLE "
            "decrypts.");
    return;
  }
  out.Add("stored plaintext", kFail,
          psprintf("Decrypted values are kept, or may be, by %s.", places),
          "Drop it: what decrypts must be STABLE, and its results must not be "
          "stored.");
}

void CheckVersion(const Findings &out) {
  const char *const installed = AskOne(
      "SELECT extversion FROM pg_catalog.pg_extension"
      " WHERE extname = 'pg_fernet'");
  if (installed != nullptr && strcmp(installed, FERNET_VERSION) != 0) {
    out.Add("version", kWarn,
            psprintf("The library is %s and the extension %s.", FERNET_VERSION,
                     installed),
            "ALTER EXTENSION pg_fernet UPDATE, or reconnect after an upgrade.");
    return;
  }
  out.Add("version", kOk, FERNET_VERSION);
}

}  // namespace
}  // namespace fernet::pg

// fernet_doctor() returns table (item text, status text, detail text,
//                                hint text)
FERNET_SQL_FUNCTION(fernet_doctor) {
  namespace pg = fernet::pg;
  const pg::Findings out = {pg::ResultRows(fcinfo)};
  // The queries below name operators as anybody would.
  const int nest_level = NewGUCNestLevel();
  static_cast<void>(set_config_option("search_path", "pg_catalog, pg_temp",
                                      PGC_USERSET, PGC_S_SESSION,
                                      GUC_ACTION_SAVE, true, 0, false));
  SPI_connect();
  pg::CheckKey(out);
  pg::CheckPreload(out);
  pg::CheckLoadOrder(out);
  pg::CheckStatementLog(out);
  pg::CheckParameterLog(out);
  pg::CheckDebugLog(out);
  pg::CheckAutoExplain(out);
  pg::CheckStatStatements(out);
  pg::CheckAudit(out);
  pg::CheckConnection(out);
  pg::CheckCoreDumps(out);
  pg::CheckMemory(out);
  pg::CheckChecksums(out);
  pg::CheckCounters(out);
  pg::CheckStoredKey(out);
  pg::CheckStoredPlaintext(out);
  pg::CheckLibraries(out);
  pg::CheckVersion(out);
  SPI_finish();
  AtEOXact_GUC(true, nest_level);
  return Datum{0};
}
