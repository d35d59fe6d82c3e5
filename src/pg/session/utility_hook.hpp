#pragma once

namespace fernet::pg {

// InstallUtilityHook looks at every utility statement before others do: the
// text of one that sets fernet.key is withheld from pg_stat_statements, pgaudit
// and the log, and ALTER SYSTEM SET fernet.key is refused. A library that is
// loaded later sees the statement first. Called once, by _PG_init.
void InstallUtilityHook();

}  // namespace fernet::pg
