// The replicas that a job must not run away from.
#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg {

// StandbyLag says whether a replica is further behind than it may be. It knows
// by two things: the replay lag that the server reports, which is no news while
// replay is paused, and the WAL position of some time ago, which a replica must
// have replayed by now.
struct StandbyLag {
  std::int64_t limit = 0;  // microseconds; 0 for none
  XLogRecPtr position = InvalidXLogRecPtr;
  TimestampTz at = 0;  // when that was the end of WAL
};

// RequireSightOfLag raises 42501 if the current role cannot see the replay lag
// of replicas.
void RequireSightOfLag();

// IsTooFar says whether a replica lags by more than the limit. Physical and
// logical replicas count, if they report what they have replayed. To be called
// after each batch, in a transaction.
bool IsTooFar(StandbyLag *lag);

// AskForNews makes the end of this transaction write WAL. A standby says how
// far it has replayed when it gets WAL, and otherwise only every
// wal_receiver_status_interval: a job that waits for it would write none.
void AskForNews();

// IsArchiveBehind says whether the archiver's last attempt has failed: then WAL
// piles up on the server.
bool IsArchiveBehind();

}  // namespace fernet::pg
