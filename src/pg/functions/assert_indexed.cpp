// SQL function fernet_assert_indexed: the gate before a key of blind indexes is
// dropped.

#include "pg/column/column_target.hpp"
#include "pg/column/page_batch.hpp"
#include "pg/column/reading.hpp"
#include "pg/column/triggers.hpp"
#include "pg/functions/gate.hpp"
#include "pg/functions/job_arguments.hpp"
#include "pg/report/report.hpp"
#include "pg/server/boundary.hpp"
#include "pg/server/subtransaction.hpp"
#include "pg/session/session_keys.hpp"

namespace fernet::pg {
namespace {

// Gate is what the caller asks for, and what was found.
struct Gate {
  Oid relation;
  const char *source;
  const char *index;
  ValueRule rule;
  Proof proof;
  Tally seen;
  FailureWarnings warnings;  // muted: the gate only counts

  ColumnNames columns() const { return {&index, 1}; }
};

// CheckGate locks the tables and checks what can be checked.
void CheckGate(void *state) {
  const auto *const gate = static_cast<Gate *>(state);
  static_cast<void>(
      CheckColumns(gate->relation, gate->columns(), ColumnAccess::kRead));
  static_cast<void>(CheckSource(gate->relation, gate->index, gate->source));
  RequireSameIndexes(gate->relation, gate->source, gate->index,
                     gate->rule.index_form);
}

// BeginProof waits for open transactions while no lock on the table is held.
void BeginProof(Gate *gate) {
  RunAndUndo(CheckGate, gate);
  RequireReadCommitted();
  gate->proof.rule = gate->rule;
  gate->proof.source = gate->source;
  WaitForOldWriters(gate->relation, NameOf(gate->relation, gate->index),
                    &gate->proof, nullptr, nullptr);
}

void ReadTable(Gate *gate, Oid table, std::int64_t *of_column) {
  TableTarget target;
  if (!OpenTarget(table, gate->columns(), ColumnAccess::kRead, &target)) {
    return;
  }
  OpenSource(gate->source, &target);
  const BatchResult result = ReadBatch(target, gate->rule, {0, target.pages},
                                       {}, &gate->warnings, nullptr);
  gate->seen.Add(result.tally);
  of_column[0] += result.of_column[0];
  of_column[1] += result.of_column[1];
  CloseTarget(target);
}

void RequireNothingLeft(const Gate &gate) {
  const Tally &seen = gate.seen;
  if (seen.changed + seen.failed == 0) {
    return;
  }
  FERNET_RAISE(
      kValuesLeft,
      errmsg(INT64_FORMAT " of " INT64_FORMAT
                          " values in %s are not the blind indexes of \"%s\" "
                          "under the first index key",
             seen.changed + seen.failed, seen.total(),
             NameOf(gate.relation, gate.index), gate.source),
      errdetail("Missing, or another value: " INT64_FORMAT
                ". Of a value that cannot be read: " INT64_FORMAT ".",
                seen.changed, seen.failed),
      errhint("Use fernet_index_column(), with the same context and bits."));
}

// RequireIndexed reads the columns.
void RequireIndexed(void *state) {
  auto *const gate = static_cast<Gate *>(state);
  CheckGate(gate);
  const Reading reading = BeginReading(gate->relation, gate->proof.reader);
  gate->seen = {};
  std::int64_t of_column[2] = {};
  for (int i = 0; i < list_length(reading.tables); ++i) {
    ReadTable(gate, list_nth_oid(reading.tables, i), of_column);
  }
  RequireSameCount(reading, gate->relation,
                   ColumnsToCount(gate->columns(), gate->source), of_column);
  JudgeProof(reading, gate->columns(), &gate->proof);
  EndReading(reading);
  RequireNothingLeft(*gate);
}

// Prove undoes each reading, so that its locks are not held while the next one
// waits.
void Prove(Gate *gate) {
  for (int i = 0; i < kMaxProofs && !gate->proof.holds; ++i) {
    BeginProof(gate);
    RunAndUndo(RequireIndexed, gate);
    EndProof(gate->proof);
  }
  if (!gate->proof.holds) {
    RefuseProof(NameOf(gate->relation, gate->index));
  }
}

}  // namespace
}  // namespace fernet::pg

// fernet_assert_indexed(relation regclass, source name, index name,
//     context text, bits integer DEFAULT 256) returns void
FERNET_SQL_FUNCTION(fernet_assert_indexed) {
  namespace pg = fernet::pg;
  constexpr const char *kNames[] = {"relation", "source", "index", "context",
                                    "bits"};
  pg::RequireArguments(fcinfo, kNames, lengthof(kNames));
  pg::Gate gate = {
      .relation = PG_GETARG_OID(0),
      .source = NameStr(*PG_GETARG_NAME(1)),
      .index = NameStr(*PG_GETARG_NAME(2)),
      .rule = {.direction = pg::ValueRule::kIndex,
               .keys = {},
               .index_form = pg::MakeBlindIndexForm(PG_GETARG_TEXT_PP(3),
                                                    PG_GETARG_INT32(4))},
      .proof = {.reader =
                    pg::ReaderOf(fcinfo->flinfo->fn_oid, PG_GETARG_OID(0))},
      .seen = {},
      .warnings = {},
  };
  gate.warnings.muted = true;
  const MemoryContext pins = pg::NewPinMemory();
  gate.rule.index_keys = pg::session_keys::PinIndexKeysUntil(pins);
  if (pg::session_keys::HasKey()) {
    gate.rule.keys = pg::session_keys::PinUntil(pins);
  }
  pg::RequirePrimary("Call fernet_assert_indexed() on the primary.");
  pg::Prove(&gate);
  MemoryContextDelete(pins);
  PG_RETURN_VOID();
}
