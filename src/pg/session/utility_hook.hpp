#pragma once

namespace fernet::pg {

// InstallUtilityHook looks at every utility statement before others do: in the
// text of one that sets fernet.key the key is overwritten, and ALTER SYSTEM SET
// fernet.key is refused. What is loaded after us looks before us. Called once,
// by _PG_init.
void InstallUtilityHook();

}  // namespace fernet::pg
