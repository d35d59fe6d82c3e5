// The warnings of a job about the values that it could not change.
#pragma once

#include "pg/column/column_target.hpp"
#include "pg/column/row_writer.hpp"
#include "pg/server/boundary.hpp"
#include "pg/server/subtransaction.hpp"
#include "pg/value/cause.hpp"
#include "pg/value/reason.hpp"

namespace fernet::pg {

// Failure is why one value was not changed.
struct Failure {
  Reason reason;
  Cause cause = {};        // of kMalformed; empty if it is not known
  std::size_t offset = 0;  // of kHoldsToken
  // The column whose value is the reason, if it is the source of a blind index.
  const ColumnTarget *source = nullptr;
  // Of kRefused and kUnreadable:
  Refusal refusal = {};
  WritePhase phase = WritePhase::kRow;
  const char *holder = nullptr;  // of kLocked: who, or null if it is not known
};

// FailureWarnings reports the first failing values with place, SQLSTATE and
// cause, never with content. It reports each place once.
struct FailureWarnings {
  static constexpr int kMost = 20;
  struct Told {
    Oid table;
    AttrNumber attribute;
    ItemPointerData place;
  };

  int count = 0;
  Told told[kMost];
  bool muted = false;
  std::int64_t too_long = 0;  // new values that the column has no room for
};

// WouldWarn says whether WarnOfFailure would warn of the value now.
bool WouldWarn(const FailureWarnings &warnings, Relation relation,
               const ColumnTarget &column, const ItemPointerData &place);

// WarnOfFailure warns the client about the value of `column` at `place` of
// `relation`.
void WarnOfFailure(FailureWarnings *warnings, Relation relation,
                   const ColumnTarget &column, const ItemPointerData &place,
                   const Failure &failure);

}  // namespace fernet::pg
