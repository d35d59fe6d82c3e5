// What fernet_doctor says of the server and its libraries.

#include <cstring>

#include "core/library.hpp"
#include "pg/functions/doctor_catalog.hpp"
#include "pg/functions/doctor_checks.hpp"
#include "pg/functions/doctor_settings.hpp"
#include "pg/report/counters.hpp"

namespace fernet::pg::doctor {
namespace {

constexpr const char *kKeepStatements[] = {"pg_stat_statements", "pgaudit",
                                           "pg_stat_monitor", "pg_qualstats"};

bool IsPreloaded(const char *library) {
  return PositionIn("shared_preload_libraries", library) >= 0 ||
         PositionIn("session_preload_libraries", library) >= 0;
}

}  // namespace

void CheckPreload(const Findings &out) {
  if (IsPreloaded("pg_fernet")) {
    out.Add(kOk, "The library is loaded with the session.");
    return;
  }
  out.Add(kWarn,
          "The library is loaded at the first call of a function. Before that, "
          "SHOW fernet.key shows the key, and a superuser's ALTER SYSTEM, "
          "ALTER ROLE or ALTER DATABASE would store it.",
          "ALTER DATABASE ... SET session_preload_libraries = 'pg_fernet'");
}

// CheckLoadOrder: hooks of what is loaded later are called first, so what is
// loaded after us sees the text of a SET before we can withhold it.
void CheckLoadOrder(const Findings &out) {
  const int ours = PositionIn("shared_preload_libraries", "pg_fernet");
  for (const char *const library : kKeepStatements) {
    if (ours >= 0 && PositionIn("shared_preload_libraries", library) > ours) {
      out.Add(kWarn,
              psprintf("%s is loaded after pg_fernet and so sees the text of "
                       "SET fernet.key.",
                       library),
              "Put pg_fernet last in shared_preload_libraries.");
      return;
    }
  }
  out.Add(kOk, "No library that keeps statements is loaded after pg_fernet.");
}

void CheckDataChecksums(const Findings &out) {
  const bool on = IsSet("data_checksums", "on");
  out.Add(on ? kOk : kNote,
          on ? "Checksums are on: PostgreSQL notices a damaged page."
             : "Checksums are off: a damaged page shows only when no key "
               "decrypts a token.");
}

void CheckCounters(const Findings &out) {
  const bool available =
      counters::ForEachTotal([](const counters::Total &, void *) {}, nullptr);
  if (available) {
    out.Add(kOk, "pg_stat_fernet counts.");
    return;
  }
  out.Add(kNote,
          "pg_stat_fernet is empty: before PostgreSQL 17 it needs "
          "shared_preload_libraries.",
          "shared_preload_libraries = 'pg_fernet'");
}

void CheckOpenssl(const Findings &out) {
  const char *const version =
      psprintf("%s%s", CryptoLibraryVersion(),
               IsFipsRequired() ? ", FIPS providers only" : "");
  if (HasAlgorithms()) {
    out.Add(kOk, version);
    return;
  }
  out.Add(
      kFail,
      psprintf("%s. OpenSSL's providers lack AES-128-CBC or SHA-256: pg_fernet "
               "can neither encrypt nor decrypt.",
               version),
      "Correct openssl.cnf, or OPENSSL_CONF in the environment of the server.");
}

void CheckVersion(const Findings &out) {
  const char *const installed = AskOne({{"pg_extension"},
                                        "SELECT extversion FROM pg_extension"
                                        " WHERE extname = 'pg_fernet'"});
  if (installed != nullptr && strcmp(installed, FERNET_VERSION) != 0) {
    out.Add(kWarn,
            psprintf("The library is %s and the extension %s.", FERNET_VERSION,
                     installed),
            "ALTER EXTENSION pg_fernet UPDATE, or reconnect after an upgrade.");
    return;
  }
  out.Add(kOk, FERNET_VERSION);
}

}  // namespace fernet::pg::doctor
