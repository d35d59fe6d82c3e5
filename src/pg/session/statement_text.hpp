// The text of the statement that is being executed, where it holds a key.
#pragma once

namespace fernet::pg {

// kWithheldText is what takes the place of such a text.
inline constexpr const char *kWithheldText =
    "<statement with a Fernet key withheld>";

// WithholdStatementText replaces the text of the current statement in what the
// log, pg_stat_activity, and a crash or deadlock report would show of it.
// Raises nothing.
void WithholdStatementText();

// WithholdStatementTextWith does so if the text holds one of the keys in
// `value`, a list as given for fernet.key.
void WithholdStatementTextWith(const char *value);

}  // namespace fernet::pg
