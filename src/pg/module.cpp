#include "pg/report/counters.hpp"
#include "pg/server/boundary.hpp"
#include "pg/session/settings.hpp"
#include "pg/session/statement_hooks.hpp"
#include "pg/session/utility_hook.hpp"

extern "C" {
FERNET_MODULE_MAGIC(FERNET_VERSION);
PGDLLEXPORT void _PG_init(void);
}

void _PG_init(void) {
  fernet::pg::DefineSettings();
  fernet::pg::InstallStatementHooks();
  fernet::pg::InstallUtilityHook();
  fernet::pg::counters::Install();
}
