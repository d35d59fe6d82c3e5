// One batch of a job on a column: a range of heap pages in one transaction.
#pragma once

#include "pg/boundary.hpp"
#include "pg/column_target.hpp"
#include "pg/page_scan.hpp"
#include "pg/value_change.hpp"

namespace fernet::pg {

// Tally counts values that are not NULL.
struct Tally {
  std::int64_t changed = 0;
  std::int64_t unchanged = 0;
  std::int64_t plaintext = 0;  // no tokens, and left as they are
  std::int64_t failed = 0;
  std::int64_t busy = 0;  // changed or locked by another transaction

  std::int64_t total() const {
    return changed + unchanged + plaintext + failed + busy;
  }
  std::int64_t left() const { return failed + busy; }
  void Add(const Tally &other);
};

// FailureWarnings tells of the first failing values by place and SQLSTATE,
// never by content.
struct FailureWarnings {
  int told = 0;
  bool muted = false;  // in a second pass, which finds the same ones again
  std::int64_t too_long = 0;  // new values that the column has no room for
};

// RunBatch applies `rule` to the values in `range` of `target`. With `dry_run`
// it writes nothing and counts what it would.
Tally RunBatch(const ColumnTarget &target, const ValueRule &rule,
               PageRange range, bool dry_run, FailureWarnings *warnings);

// PageDensity is about how many rows a page of `target` holds, at least 1, by
// what the last ANALYZE or VACUUM saw.
double PageDensity(const ColumnTarget &target);

}  // namespace fernet::pg
