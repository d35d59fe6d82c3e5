// The text of the statement that is being executed, where it holds keys. They
// are overwritten with asterisks: the text stays a statement of the same length
// and says what was done.
#pragma once

#include "core/key_traces.hpp"

namespace fernet::pg {

// OverwriteKeys overwrites what `traces` stands for in all that the server
// shows of the running statement: the log, pg_stat_activity, a crash or
// deadlock report, parallel workers, prepared statements, cursors and reports
// of memory. The text of a string of several statements is one for all of
// them. Raises nothing.
void OverwriteKeys(const KeyTraces &traces);

// OverwriteKeysOf does so with `value`, as given for a setting of ours.
void OverwriteKeysOf(const char *value);

// OverwriteKeysIn does so with the keys that the statement `text` speaks of,
// before it runs. `text` itself is left alone where it is not the server's own,
// but that of a function for example.
void OverwriteKeysIn(const char *text);

// HandOn is `text`, for others to see and perhaps to execute, without the keys
// that it speaks of: itself, or a copy in the current memory context.
const char *HandOn(const char *text);

}  // namespace fernet::pg
