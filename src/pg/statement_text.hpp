#pragma once

namespace fernet::pg {

// HideStatementText replaces the text of the statement that is being executed,
// in what the log, pg_stat_activity and a crash report would show of it, when
// it holds one of the keys in `value`. Raises nothing.
void HideStatementText(const char *value);

}  // namespace fernet::pg
