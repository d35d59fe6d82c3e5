// One batch of a job on columns: a range of heap pages in one transaction.
#pragma once

#include <array>

#include "pg/column/column_target.hpp"
#include "pg/column/failure_warnings.hpp"
#include "pg/column/left_pages.hpp"
#include "pg/column/page_scan.hpp"
#include "pg/server/boundary.hpp"
#include "pg/value/value_change.hpp"

namespace fernet::pg {

// Tally counts values that are not NULL.
struct Tally {
  std::int64_t changed = 0;
  std::int64_t unchanged = 0;
  std::int64_t plaintext = 0;     // not tokens, and left as they are
  std::int64_t unknown_left = 0;  // see ValueChange::kUnknown
  std::int64_t failed = 0;
  std::int64_t busy = 0;  // changed or locked by another transaction

  std::int64_t adopted = 0;       // of changed: plaintexts before
  std::int64_t fresh = 0;         // of changed: see BatchOrder::fresh_since
  std::int64_t refused = 0;       // of failed: by the table or its triggers
  std::int64_t malformed = 0;     // of failed: not tokens
  std::int64_t no_key_opens = 0;  // of failed: no key decrypts them

  // Of all but the failed: with a token that no key decrypts.
  std::int64_t holding_unknown = 0;

  // Tokens by the key that decrypts them, before the change.
  std::array<std::int64_t, kMaxKeys> of_key{};

  std::int64_t total() const {
    return changed + unchanged + plaintext + unknown_left + failed + busy;
  }
  std::int64_t left() const { return failed + busy; }
  void Add(const Tally &other);
};

// BatchOrder says how much a batch does at the most, and how.
struct BatchOrder {
  static constexpr std::int64_t kAny = PG_INT64_MAX;

  std::int64_t rows = kAny;          // written, or tried
  std::int64_t values = kAny;        // read
  std::int64_t bytes = kAny;         // of new values
  std::int64_t microseconds = kAny;  // since its start

  // What it does with a row that another transaction holds: leaves it, waits
  // for it (an order of one row), or leaves it and warns of it.
  enum Busy { kLeave, kWait, kName };
  Busy busy = kLeave;
  // A lock that the triggers of a row do not get is a refusal of the row, not
  // a reason to try it again.
  bool is_last_try = false;
  // A trigger may defer constraints. With this they are checked with the rows
  // that they may refuse, and not at the commit, where they would end the job.
  bool fires_deferred = false;
  // A reading tries what it can of a write (dry_run.hpp), and counts what the
  // table refuses.
  bool tries_writing = false;
  // A token of this time or later, in seconds since 1970, counts as fresh.
  std::uint64_t fresh_since = PG_UINT64_MAX;
};

struct BatchResult {
  Tally tally;
  // How many values there are in each column, and after them in the source of a
  // blind index, in the memory of whoever called RunBatch or ReadBatch.
  std::int64_t *of_column;
  PageRange rest;  // of the range, for the next batch
  // The batch met a lock of others that it could not get as a whole.
  bool met_lock = false;
};

// RunBatch applies `rule` to the values in `range` of `target`, as a new
// snapshot sees them, until it has done what `order` allows. A row gets all of
// its new values in one version. If the table refuses it with all of them, it
// gets those that the table takes one after the other, in the order of the
// columns, and the others stay as they are. The pages of rows that are busy are
// added to `left`, unless it is null.
//
// No statement of a trigger waits for a lock for longer than half of
// deadlock_timeout, so that the application is never the victim of a deadlock
// with a job. The setting returns to what it was.
BatchResult RunBatch(const TableTarget &target, const ValueRule &rule,
                     PageRange range, const BatchOrder &order,
                     FailureWarnings *warnings, LeftPages *left);

// ReadBatch writes nothing and counts what RunBatch would do with the values
// that the active snapshot sees. The pages of values that RunBatch would change
// are added to `left`, unless it is null.
BatchResult ReadBatch(const TableTarget &target, const ValueRule &rule,
                      PageRange range, const BatchOrder &order,
                      FailureWarnings *warnings, LeftPages *left);

// CountChanges and CountFailures add the written and the failed values of
// `tally` to the counters when the transaction commits.
void CountChanges(const Tally &tally, ValueRule::Direction direction);
void CountFailures(const Tally &tally);

}  // namespace fernet::pg
