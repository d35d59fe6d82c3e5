// SQL function fernet_assert_rotated: the gate before a key is dropped.

#include <cstring>

#include "pg/column/column_census.hpp"
#include "pg/column/column_target.hpp"
#include "pg/column/reading.hpp"
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
  const char *column;
  OnPlaintext on_plaintext;
  OnUnknown on_unknown;
  const char *fingerprint;  // that the first key must have, or null
  bool allow_empty;
  Proof proof;
  ColumnCensus census;

  const char *name() const { return NameOf(relation, column); }
};

void RequirePrimary() {
  if (RecoveryInProgress()) {
    FERNET_RAISE(
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        errmsg("cannot prove a rotation during recovery"),
        errdetail("Transactions of the primary, which may still write old "
                  "values, cannot be seen here."),
        errhint("Call fernet_assert_rotated() on the primary."));
  }
}

// BeginProof waits for open transactions while no lock on the table is held.
void BeginProof(Gate *gate) {
  const ColumnNames columns(&gate->column, 1);
  if (get_attnum(gate->relation, gate->column) <= 0) {
    CheckColumns(gate->relation, columns, ColumnAccess::kRead);
  }
  RequireRights(gate->relation, columns, ColumnAccess::kRead);
  RequireReadCommitted();
  // Asked for each time: what counts the rows may run code of the table's
  // owner, which resets its settings.
  gate->proof.rule = {.on_plaintext = OnPlaintext::kLeave,
                      .on_unknown = gate->on_unknown,
                      .keys = session_keys::Current()};
  WaitForOldWriters(gate->relation, gate->name(), &gate->proof, nullptr,
                    nullptr);
}

void RequireFingerprint(const Gate &gate) {
  const char *const first = FingerprintOf(gate.census.keys.list->keys()[0]);
  if (gate.fingerprint != nullptr && strcmp(gate.fingerprint, first) != 0) {
    FERNET_RAISE(kValuesLeft,
                 errmsg("the first key of \"fernet.key\" is not the expected "
                        "one"),
                 errdetail("Its fingerprint is %s.", first),
                 errhint("Put the key that shall encrypt first in the list, or "
                         "correct \"fingerprint\"."));
  }
}

// AllowedBy is how many values that are or hold a token which no key decrypts
// the caller allows.
std::int64_t AllowedBy(const Gate &gate) {
  const ColumnCensus &census = gate.census;
  switch (gate.on_unknown) {
    case OnUnknown::kFail:
      break;
    case OnUnknown::kLeave:
      return census.unknown_key.values;
    case OnUnknown::kPlaintext:
      return census.unknown_inside +
             (gate.on_plaintext == OnPlaintext::kFail ? 0 : census.quoting);
  }
  return 0;
}

void RequireNothingLeft(const Gate &gate) {
  const ColumnCensus &census = gate.census;
  std::int64_t secondary = 0;
  for (std::uint32_t i = 1; i < census.keys.ring->size(); ++i) {
    secondary += census.of_key[i].values;
  }
  const std::int64_t unknown = census.unknown_key.values - AllowedBy(gate);
  const std::int64_t malformed =
      census.malformed.values -
      (gate.on_plaintext == OnPlaintext::kFail ? 0 : census.plaintext);
  const std::int64_t left = secondary + unknown + malformed;
  if (left > 0) {
    FERNET_RAISE(
        kValuesLeft,
        errmsg(INT64_FORMAT " of " INT64_FORMAT
                            " values in %s are not encrypted with the first "
                            "key",
               left, census.values(), gate.name()),
        errdetail("Encrypted with another key of \"fernet.key\": " INT64_FORMAT
                  ". Encrypted with an unknown key: " INT64_FORMAT
                  ". Not tokens: " INT64_FORMAT ".",
                  secondary, unknown, malformed));
  }
}

void RequireToken(const Gate &gate) {
  std::int64_t tokens = 0;
  for (const CensusTokens &form : gate.census.tokens) {
    tokens += form.of_key[0].values;
  }
  if (!gate.allow_empty && tokens == 0) {
    FERNET_RAISE(kValuesLeft, errmsg("no token was found in %s", gate.name()),
                 errhint("If the column may be empty, add "
                         "\"allow_empty => true\"."));
  }
}

// RequireRotated reads the column.
void RequireRotated(void *state) {
  auto *const gate = static_cast<Gate *>(state);
  TakeCensus(gate->relation, ColumnNames(&gate->column, 1),
             session_keys::Current(), gate->proof.reader, &gate->proof,
             &gate->census);
  RequireFingerprint(*gate);
  RequireNothingLeft(*gate);
  RequireToken(*gate);
}

// Prove undoes each reading, so that its locks are not held while the next one
// waits.
void Prove(Gate *gate) {
  for (int i = 0; i < kMaxProofs && !gate->proof.holds; ++i) {
    BeginProof(gate);
    RunAndUndo(RequireRotated, gate);
    EndProof(gate->proof);
  }
  if (!gate->proof.holds) {
    RefuseProof(gate->name());
  }
}

void TellOfUnknown(const Gate &gate) {
  const std::int64_t allowed = AllowedBy(gate);
  if (allowed > 0) {
    ereport(NOTICE,
            errmsg(INT64_FORMAT " values in %s are or hold a token that no key "
                                "of the session decrypts",
                   allowed, gate.name()),
            HideStatement());
  }
}

}  // namespace
}  // namespace fernet::pg

// fernet_assert_rotated(relation regclass, column_name name,
//     on_plaintext text DEFAULT 'fail', on_unknown text DEFAULT 'fail',
//     fingerprint text DEFAULT NULL, allow_empty boolean DEFAULT false)
//     returns void
FERNET_SQL_FUNCTION(fernet_assert_rotated) {
  namespace pg = fernet::pg;
  constexpr const char *kNames[] = {"relation", "column_name", "on_plaintext",
                                    "on_unknown"};
  pg::RequireArguments(fcinfo, kNames, lengthof(kNames));
  pg::RequireArgument(fcinfo, 5, "allow_empty");
  pg::Gate gate = {
      .relation = PG_GETARG_OID(0),
      .column = NameStr(*PG_GETARG_NAME(1)),
      .on_plaintext = pg::ReadOnPlaintext(fcinfo, 2),
      .on_unknown = pg::ReadOnUnknown(fcinfo, 3),
      .fingerprint =
          PG_ARGISNULL(4) ? nullptr : text_to_cstring(PG_GETARG_TEXT_PP(4)),
      .allow_empty = PG_GETARG_BOOL(5),
      .proof = {.reader =
                    pg::ReaderOf(fcinfo->flinfo->fn_oid, PG_GETARG_OID(0))},
      .census = {},
  };
  if (gate.on_plaintext == pg::OnPlaintext::kEncrypt) {
    pg::RefuseParameter("on_plaintext", "\"fail\" or \"leave\"");
  }
  static_cast<void>(pg::session_keys::Current());  // raises if there is none
  pg::RequirePrimary();
  pg::Prove(&gate);
  pg::TellOfUnknown(gate);
  PG_RETURN_VOID();
}
