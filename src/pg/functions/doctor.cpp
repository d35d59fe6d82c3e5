// SQL function fernet_doctor: settings and surroundings by which keys or
// plaintexts could leak or operation could surprise, an item to a row.

#include "pg/functions/doctor_checks.hpp"
#include "pg/server/boundary.hpp"

namespace fernet::pg::doctor {
namespace {

struct Check {
  const char *item;
  void (*look)(const Findings &out);
};

// In the order of the rows.
constexpr Check kChecks[] = {
    {"key", CheckKey},
    {"index key", CheckIndexKey},
    {"preload", CheckPreload},
    {"load order", CheckLoadOrder},
    {"statement log", CheckStatementLog},
    {"parameter log", CheckParameterLog},
    {"debug log", CheckDebugLog},
    {"auto_explain", CheckAutoExplain},
    {"pg_stat_statements", CheckStatStatements},
    {"pgaudit", CheckAudit},
    {"connection", CheckConnection},
    {"core dumps", CheckCoreDumps},
    {"key memory", CheckKeyMemory},
    {"data checksums", CheckDataChecksums},
    {"counters", CheckCounters},
    {"captured calls", CheckCapturedCalls},
    {"search path", CheckSearchPath},
    {"trigger order", CheckTriggerOrder},
    {"stored key", CheckStoredKey},
    {"stored plaintext", CheckStoredPlaintext},
    {"openssl", CheckOpenssl},
    {"version", CheckVersion},
};

// SearchPath is the schemas in which this session looks for functions. It
// makes no schema for temporary objects, as asking in SQL would.
Datum SearchPath() {
  constexpr int kMostSchemas = 1000;
  auto *const schemas = static_cast<Oid *>(palloc(kMostSchemas * sizeof(Oid)));
  const int count =
      Min(fetch_search_path_array(schemas, kMostSchemas), kMostSchemas);
  auto *const elements =
      static_cast<Datum *>(palloc(kMostSchemas * sizeof(Datum)));
  for (int i = 0; i < count; ++i) {
    elements[i] = ObjectIdGetDatum(schemas[i]);
  }
  return PointerGetDatum(
      construct_array(elements, count, OIDOID, sizeof(Oid), true, 'i'));
}

}  // namespace

void Findings::Add(const char *status, const char *detail,
                   const char *hint) const {
  ResultRow row;
  row.Text(item);
  row.Text(status);
  row.Text(detail);
  row.Text(hint);
  rows->Add(&row);
}

}  // namespace fernet::pg::doctor

// fernet_doctor() returns table (item text, status text, detail text,
//                                hint text)
FERNET_SQL_FUNCTION(fernet_doctor) {
  namespace doctor = fernet::pg::doctor;
  const fernet::pg::ResultRows rows(fcinfo);
  const Datum search_path = doctor::SearchPath();
  // The queries of the checks name operators as anybody would.
  const int nest_level = NewGUCNestLevel();
  static_cast<void>(set_config_option("search_path", "pg_catalog, pg_temp",
                                      PGC_USERSET, PGC_S_SESSION,
                                      GUC_ACTION_SAVE, true, 0, false));
  SPI_connect();
  for (const doctor::Check &check : doctor::kChecks) {
    check.look({&rows, check.item, search_path});
  }
  SPI_finish();
  AtEOXact_GUC(true, nest_level);
  return Datum{0};
}
