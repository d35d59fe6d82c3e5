// One batch of a job on a column: a range of heap pages in one transaction.
#pragma once

#include <array>

#include "pg/column/column_target.hpp"
#include "pg/column/failure_warnings.hpp"
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

// RunBatch applies `rule` to the values in `range` of `target`, as a new
// snapshot sees them.
Tally RunBatch(const ColumnTarget &target, const ValueRule &rule,
               PageRange range, FailureWarnings *warnings);

// ReadBatch writes nothing and counts what RunBatch would do with the values
// that the active snapshot sees.
Tally ReadBatch(const ColumnTarget &target, const ValueRule &rule,
                PageRange range, FailureWarnings *warnings);

// CountChanges and CountFailures add the written and the failed values of
// `tally` to the counters when the transaction commits.
void CountChanges(const Tally &tally, ValueRule::Direction direction);
void CountFailures(const Tally &tally);

// PageDensity estimates the rows on a page of `target`, at least 1, from the
// last ANALYZE or VACUUM.
double PageDensity(const ColumnTarget &target);

}  // namespace fernet::pg
