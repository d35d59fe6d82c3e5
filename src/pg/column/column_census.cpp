#include "pg/column/column_census.hpp"

#include <algorithm>

#include "pg/column/column_target.hpp"
#include "pg/column/page_scan.hpp"
#include "pg/column/reading.hpp"
#include "pg/server/interrupts.hpp"
#include "pg/value/verdict.hpp"

namespace fernet::pg {
namespace {

void CountMalformed(ColumnCensus *census, const varlena *value) {
  census->malformed.Add(0);
  census->plaintext += MayBePlaintext(value) ? 1 : 0;
}

void Count(ColumnCensus *census, const varlena *value) {
  TokenReader reader(MayGoOn);
  const Verdict verdict = JudgeValue(census->keys, value, &reader);
  switch (verdict.kind) {
    case Verdict::kMalformed:
      CountMalformed(census, value);
      break;
    case Verdict::kOpened:
      census->of_key[verdict.key_index].Add(reader.timestamp());
      break;
    case Verdict::kUnknownKey:
      census->unknown_key.Add(0);
      break;
    case Verdict::kNoKey:
      census->no_key_set.Add(0);
      break;
  }
}

void CountTable(Oid table, const char *column, ColumnCensus *census) {
  ColumnTarget target;
  if (!OpenTarget(table, column, ColumnAccess::kRead, &target)) {
    return;
  }
  ScanValues(
      target, {0, target.pages},
      [](TupleTableSlot *, varlena *value, void *state) {
        Count(static_cast<ColumnCensus *>(state), value);
      },
      census);
  CloseTarget(target);
}

}  // namespace

std::int64_t ColumnCensus::values() const {
  std::int64_t values =
      unknown_key.values + no_key_set.values + malformed.values;
  for (const CensusGroup &group : of_key) {
    values += group.values;
  }
  return values;
}

void CensusGroup::Add(std::uint64_t timestamp) {
  oldest = values == 0 ? timestamp : std::min(oldest, timestamp);
  newest = values == 0 ? timestamp : std::max(newest, timestamp);
  ++values;
}

void TakeCensus(Oid relation, const char *column, const SessionKeys &keys,
                ColumnCensus *out) {
  *out = {};
  out->keys = keys;
  CheckColumn(relation, column, ColumnAccess::kRead);
  const Reading reading = BeginReading(relation);
  for (int i = 0; i < list_length(reading.tables); ++i) {
    CountTable(list_nth_oid(reading.tables, i), column, out);
  }
  RequireSameCount(relation, column, out->values());
  EndReading(reading);
}

}  // namespace fernet::pg
