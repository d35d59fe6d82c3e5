// SQL function fernet_assert_rotated: the gate before a key is dropped.

#include "pg/column/column_census.hpp"
#include "pg/column/column_target.hpp"
#include "pg/column/reading.hpp"
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
  const char *column;  // null: all that can hold tokens
  OnPlaintext on_plaintext;
  OnUnknown on_unknown;
  const char *fingerprint;  // that the first key must have, or null
  bool allow_empty;
  SessionKeys keys;
  Proof proof;
  TokenColumns columns;
  ColumnCensus *census;  // for each of them

  const char *name() const {
    return column == nullptr ? NameOf(relation, ColumnNames())
                             : NameOf(relation, column);
  }
  std::span<const ColumnCensus> found() const {
    return {census, columns.names.size()};
  }
};

// ListColumns locks the table if it has to look for columns, so that none is
// added before they are read.
void ListColumns(void *state) {
  auto *const gate = static_cast<Gate *>(state);
  gate->columns = gate->column == nullptr
                      ? FindTokenColumns(gate->relation, ColumnAccess::kRead)
                      : TokenColumns{ColumnNames(&gate->column, 1), NIL};
  gate->census = static_cast<ColumnCensus *>(
      palloc(gate->columns.names.size() * sizeof(ColumnCensus)));
}

// BeginProof waits for open transactions while no lock on the table is held.
void BeginProof(Gate *gate) {
  RunAndUndo(ListColumns, gate);
  const ColumnNames columns = gate->columns.names;
  if (get_attnum(gate->relation, columns[0]) <= 0) {
    CheckColumns(gate->relation, columns, ColumnAccess::kRead);
  }
  RequireRights(gate->relation, columns, ColumnAccess::kRead);
  RequireReadCommitted();
  gate->proof.rule = {.on_plaintext = OnPlaintext::kLeave,
                      .on_unknown = gate->on_unknown,
                      .keys = gate->keys};
  WaitForOldWriters(gate->relation, gate->name(), &gate->proof, nullptr,
                    nullptr);
}

// AllowedBy is how many values that are or hold a token which no key decrypts
// the caller allows.
std::int64_t AllowedBy(const Gate &gate, const ColumnCensus &census) {
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

// Left counts values that are not encrypted with the first key.
struct Left {
  std::int64_t secondary = 0;
  std::int64_t unknown = 0;
  std::int64_t malformed = 0;

  std::int64_t total() const { return secondary + unknown + malformed; }
};

Left LeftIn(const Gate &gate, const ColumnCensus &census) {
  Left left;
  for (std::uint32_t i = 1; i < census.keys.ring->size(); ++i) {
    left.secondary += census.of_key[i].values;
  }
  left.unknown = census.unknown_key.values - AllowedBy(gate, census);
  left.malformed =
      census.malformed.values -
      (gate.on_plaintext == OnPlaintext::kFail ? 0 : census.plaintext);
  return left;
}

// NameLeft names the columns in which something is left, if the caller has not.
const char *NameLeft(const Gate &gate) {
  StringInfoData names;
  initStringInfo(&names);
  for (std::size_t i = 0; i < gate.found().size(); ++i) {
    const std::int64_t left = LeftIn(gate, gate.census[i]).total();
    if (left > 0) {
      appendStringInfo(&names, "%s%s (" INT64_FORMAT ")",
                       names.len == 0 ? " In: " : ", ",
                       quote_identifier(gate.columns.names[i]), left);
    }
  }
  appendStringInfoChar(&names, '.');
  return gate.column == nullptr ? names.data : "";
}

void RequireNothingLeft(const Gate &gate) {
  Left left;
  std::int64_t values = 0;
  for (const ColumnCensus &census : gate.found()) {
    const Left in_column = LeftIn(gate, census);
    left.secondary += in_column.secondary;
    left.unknown += in_column.unknown;
    left.malformed += in_column.malformed;
    values += census.values();
  }
  if (left.total() > 0) {
    FERNET_RAISE(
        kValuesLeft,
        errmsg(INT64_FORMAT " of " INT64_FORMAT
                            " values in %s are not encrypted with the first "
                            "key",
               left.total(), values, gate.name()),
        errdetail("Encrypted with another key of \"fernet.key\": " INT64_FORMAT
                  ". Encrypted with an unknown key: " INT64_FORMAT
                  ". Not tokens: " INT64_FORMAT ".%s",
                  left.secondary, left.unknown, left.malformed,
                  NameLeft(gate)));
  }
}

void RequireToken(const Gate &gate) {
  std::int64_t tokens = 0;
  for (const ColumnCensus &census : gate.found()) {
    for (const CensusTokens &form : census.tokens) {
      tokens += form.of_key[0].values;
    }
  }
  if (!gate.allow_empty && tokens == 0) {
    FERNET_RAISE(kValuesLeft, errmsg("no token was found in %s", gate.name()),
                 errhint("If the %s may be empty, add "
                         "\"allow_empty => true\".",
                         gate.column == nullptr ? "table" : "column"));
  }
}

// RequireRotated reads the columns.
void RequireRotated(void *state) {
  auto *const gate = static_cast<Gate *>(state);
  ListColumns(gate);
  TakeCensus(gate->relation, gate->columns.names, gate->keys,
             gate->proof.reader, &gate->proof, gate->census);
  RequireFingerprint(*gate->census[0].keys.list, gate->fingerprint);
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
  std::int64_t allowed = 0;
  for (const ColumnCensus &census : gate.found()) {
    allowed += AllowedBy(gate, census);
  }
  if (allowed > 0) {
    ereport(NOTICE,
            errmsg(INT64_FORMAT " values in %s are or hold a token that no key "
                                "of the session decrypts",
                   allowed, gate.name()),
            HideStatement());
  }
}

// TellOfNotRead: nobody knows what is in these columns.
void TellOfNotRead(const Gate &gate) {
  const int count = list_length(gate.columns.not_read);
  if (count == 0) {
    return;
  }
  StringInfoData names;
  initStringInfo(&names);
  for (int i = 0; i < count; ++i) {
    appendStringInfo(
        &names, "%s%s", i == 0 ? "" : ", ",
        quote_identifier(strVal(list_nth(gate.columns.not_read, i))));
  }
  ereport(
      NOTICE,
      errmsg("columns of %s that were not read: %s", gate.name(), names.data),
      errdetail("Values of their types are not searched for tokens."),
      HideStatement());
}

}  // namespace
}  // namespace fernet::pg

// fernet_assert_rotated(relation regclass, column_name name DEFAULT NULL,
//     on_plaintext text DEFAULT 'fail', on_unknown text DEFAULT 'fail',
//     fingerprint text DEFAULT NULL, allow_empty boolean DEFAULT false)
//     returns void
FERNET_SQL_FUNCTION(fernet_assert_rotated) {
  namespace pg = fernet::pg;
  pg::RequireArgument(fcinfo, 0, "relation");
  pg::RequireArgument(fcinfo, 2, "on_plaintext");
  pg::RequireArgument(fcinfo, 3, "on_unknown");
  pg::RequireArgument(fcinfo, 5, "allow_empty");
  pg::Gate gate = {
      .relation = PG_GETARG_OID(0),
      .column = PG_ARGISNULL(1) ? nullptr : NameStr(*PG_GETARG_NAME(1)),
      .on_plaintext = pg::ReadOnPlaintext(fcinfo, 2),
      .on_unknown = pg::ReadOnUnknown(fcinfo, 3),
      .fingerprint =
          PG_ARGISNULL(4) ? nullptr : text_to_cstring(PG_GETARG_TEXT_PP(4)),
      .allow_empty = PG_GETARG_BOOL(5),
      .keys = {},
      .proof = {.reader =
                    pg::ReaderOf(fcinfo->flinfo->fn_oid, PG_GETARG_OID(0))},
      .columns = {},
      .census = nullptr,
  };
  if (gate.on_plaintext == pg::OnPlaintext::kEncrypt) {
    pg::RefuseParameter("on_plaintext", "\"fail\" or \"leave\"");
  }
  // Without a column, values without a token are none of its business.
  if (gate.column == nullptr) {
    gate.on_plaintext = pg::OnPlaintext::kLeave;
  }
  const MemoryContext pins = pg::NewPinMemory();
  gate.keys = pg::session_keys::PinUntil(pins);
  pg::RequirePrimary("Call fernet_assert_rotated() on the primary.");
  pg::Prove(&gate);
  pg::TellOfUnknown(gate);
  pg::TellOfNotRead(gate);
  MemoryContextDelete(pins);
  PG_RETURN_VOID();
}
