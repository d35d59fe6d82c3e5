#include "pg/column/column_census.hpp"

#include <algorithm>

#include "pg/column/page_scan.hpp"
#include "pg/server/interrupts.hpp"
#include "pg/value/inner_tokens.hpp"
#include "pg/value/token_places.hpp"
#include "pg/value/verdict.hpp"

namespace fernet::pg {
namespace {

// ValueCount is the count of one value, while its places are found.
struct ValueCount {
  ColumnCensus *census;
  bool has_token = false;
  bool has_remnant = false;
  bool has_unknown = false;
  bool has_opened = false;
  std::uint32_t last_key = 0;  // the one furthest from the first
};

TokenForm FormOf(const Place &place) {
  return place.nesting > 0     ? TokenForm::kNested
         : place.decodings > 0 ? TokenForm::kEncoded
                               : TokenForm::kInside;
}

void CountFound(const Place &place, void *state) noexcept {
  auto *const count = static_cast<ValueCount *>(state);
  CensusTokens &tokens = *count->census->of(FormOf(place));
  switch (place.kind) {
    case Place::kOpened:
      tokens.of_key[place.key_index].Add(place.timestamp);
      count->has_opened = true;
      count->last_key = std::max(count->last_key, place.key_index);
      break;
    case Place::kUnknownKey:
      tokens.unknown_key.Add(place.timestamp);
      count->has_unknown = true;
      break;
    case Place::kNotTried:
      tokens.no_key_set.Add(place.timestamp);
      break;
    case Place::kRemnant:
      count->has_remnant = true;
      return;
  }
  count->has_token = true;
}

// CountHoldingValue counts a value that is no token and holds some. It may be a
// plaintext that quotes them if `is_text`.
void CountHoldingValue(ColumnCensus *census, const ValueCount &count,
                       bool is_text) {
  if (count.last_key > 0) {
    census->of_key[count.last_key].Add(0);
  } else if (count.has_unknown) {
    ++(is_text && !count.has_opened ? census->quoting : census->unknown_inside);
    census->unknown_key.Add(0);
  } else {
    (count.has_opened ? census->of_key[0] : census->no_key_set).Add(0);
  }
}

void CountNonToken(ColumnCensus *census, const varlena *value) {
  if (VARSIZE_ANY_EXHDR(value) == 0) {
    census->empty.Add(0);
    return;
  }
  ValueCount count = {.census = census};
  const Status status = FindPlaces(census->keys, value, CountFound, &count);
  if (status != Status::kOk || count.has_remnant) {
    census->malformed.Add(0);
  } else if (count.has_token) {
    CountHoldingValue(census, count, true);
  } else {
    census->malformed.Add(0);
    census->plaintext += MayBePlaintext(value, {}) ? 1 : 0;
  }
}

void CountOpened(ColumnCensus *census, TokenReader *reader,
                 std::uint32_t key_index) {
  const std::uint64_t timestamp = reader->timestamp();
  census->of(TokenForm::kWhole)->of_key[key_index].Add(timestamp);
  ValueCount count = {.census = census, .last_key = key_index};
  const Status status =
      FindPlacesInside(census->keys, reader, key_index, CountFound, &count);
  // The key that is needed for longest comes first: a value that needs a later
  // key must not pass for one that quotes a token of somebody else.
  if (count.last_key > 0) {
    census->of_key[count.last_key].Add(timestamp);
  } else if (status != Status::kOk) {
    census->malformed.Add(0);  // it was not read whole
  } else if (count.has_unknown) {
    ++census->unknown_inside;
    census->unknown_key.Add(timestamp);
  } else {
    census->of_key[0].Add(timestamp);
  }
}

void Count(ColumnCensus *census, const varlena *value) {
  TokenReader reader(MayGoOn);
  const Verdict verdict = JudgeValue(census->keys, value, &reader);
  CensusTokens &whole = *census->of(TokenForm::kWhole);
  switch (verdict.kind) {
    case Verdict::kMalformed:
      CountNonToken(census, value);
      break;
    case Verdict::kOpened:
      CountOpened(census, &reader, verdict.key_index);
      break;
    case Verdict::kUnknownKey:
      whole.unknown_key.Add(reader.timestamp());
      census->unknown_key.Add(reader.timestamp());
      break;
    case Verdict::kKeyMissing:
      whole.no_key_set.Add(reader.timestamp());
      census->no_key_set.Add(reader.timestamp());
      break;
  }
}

// CountHolder is for a value of a type whose values are no tokens.
void CountHolder(ColumnCensus *census, Datum value, Oid type) {
  ValueCount count = {.census = census};
  const InnerTokens inner =
      TraceInnerTokens(census->keys, value, type, CountFound, &count);
  if (inner.traces.status != Status::kOk || count.has_remnant ||
      OidIsValid(inner.not_read)) {
    census->malformed.Add(0);
  } else if (count.has_token) {
    CountHoldingValue(census, count, false);
  } else {
    census->without.Add(0);
  }
}

void CountInColumn(const ColumnTarget &column, const varlena *value,
                   ColumnCensus *census) {
  if (OidIsValid(column.holder_type)) {
    CountHolder(census, PointerGetDatum(value), column.holder_type);
  } else {
    Count(census, value);
  }
}

struct CensusOfTable {
  const TableTarget *target;
  ColumnCensus *census;  // for each column
};

bool CountRow(TupleTableSlot *row, void *state) {
  const auto *const scan = static_cast<CensusOfTable *>(state);
  for (std::size_t i = 0; i < scan->target->columns.size(); ++i) {
    const ColumnTarget &column = scan->target->columns[i];
    varlena *const stored = ValueIn(row, column);
    if (stored != nullptr) {
      const StoredValue value = ReadStored(column, stored);
      CountInColumn(column, value.value, &scan->census[i]);
      WipeStored(value);
    }
  }
  return true;
}

void CountTable(Oid table, ColumnNames columns, ColumnCensus *census) {
  TableTarget target;
  if (!OpenTarget(table, columns, ColumnAccess::kRead, &target)) {
    return;
  }
  CensusOfTable scan = {&target, census};
  ScanRows(target, {0, target.pages}, CountRow, &scan);
  CloseTarget(target);
}

}  // namespace

std::int64_t ColumnCensus::values() const {
  std::int64_t values = unknown_key.values + no_key_set.values +
                        malformed.values + empty.values + without.values;
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

void TakeCensus(Oid relation, ColumnNames columns, const SessionKeys &keys,
                Reader reader, Proof *proof, ColumnCensus *out) {
  static_cast<void>(CheckColumns(relation, columns, ColumnAccess::kRead));
  const Reading reading = BeginReading(relation, reader);
  for (std::size_t i = 0; i < columns.size(); ++i) {
    out[i] = {};
    out[i].keys = keys;
  }
  for (int i = 0; i < list_length(reading.tables); ++i) {
    CountTable(list_nth_oid(reading.tables, i), columns, out);
  }
  auto *const values = static_cast<std::int64_t *>(
      palloc(columns.size() * sizeof(std::int64_t)));
  for (std::size_t i = 0; i < columns.size(); ++i) {
    values[i] = out[i].values();
  }
  RequireSameCount(reading, relation, columns, values);
  if (proof != nullptr) {
    JudgeProof(reading, columns, proof);
  }
  EndReading(reading);
}

}  // namespace fernet::pg
