// The text of the running statement, which may hold a key.
#pragma once

namespace fernet::pg {

// kWithheldText replaces a text that holds a key.
inline constexpr const char *kWithheldText =
    "<statement with a Fernet key withheld>";

// WithholdStatementText replaces the text of the current statement in the log,
// pg_stat_activity, and crash and deadlock reports. Raises nothing.
void WithholdStatementText();

// WithholdStatementTextWith does so if the text holds one of the keys in
// `value`, a list as given for fernet.key.
void WithholdStatementTextWith(const char *value);

}  // namespace fernet::pg
