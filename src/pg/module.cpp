#include "pg/boundary.hpp"
#include "pg/counters.hpp"
#include "pg/settings.hpp"
#include "pg/utility_hook.hpp"

extern "C" {
FERNET_MODULE_MAGIC(FERNET_VERSION);
PGDLLEXPORT void _PG_init(void);
}

void _PG_init(void) {
  fernet::pg::DefineSettings();
  fernet::pg::InstallUtilityHook();
  fernet::pg::counters::Install();
}
