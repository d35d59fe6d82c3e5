#pragma once

namespace fernet::pg {

// InstallStatementHooks has the keys in the text of a statement overwritten
// once it was parsed, before others see it or it runs, and keeps a key that is
// a bind parameter of set_config out of plans. What is loaded after us looks
// before us. Called once, by _PG_init.
void InstallStatementHooks();

}  // namespace fernet::pg
