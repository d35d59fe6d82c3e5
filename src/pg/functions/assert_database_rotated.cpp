// SQL function fernet_assert_database_rotated: the gate before a key is
// dropped, for all places of the database.

#include <cstring>

#include "pg/column/database_reading.hpp"
#include "pg/column/reading.hpp"
#include "pg/functions/database_search.hpp"
#include "pg/functions/doctor_catalog.hpp"
#include "pg/functions/gate.hpp"
#include "pg/functions/job_arguments.hpp"
#include "pg/report/report.hpp"
#include "pg/server/boundary.hpp"
#include "pg/server/subtransaction.hpp"
#include "pg/session/session_keys.hpp"

namespace fernet::pg {
namespace {

using doctor::Places;

// Found is what a reading has found.
struct Found {
  std::int64_t primary = 0;
  std::int64_t secondary = 0;
  std::int64_t unknown = 0;
  std::int64_t allowed = 0;  // of unknown keys, as the caller wants it
  std::int64_t malformed = 0;
  std::int64_t too_many = 0;  // values
  std::int64_t not_read = 0;  // places
  Places *left = nullptr;
  Places *unread = nullptr;
  Places *excepted = nullptr;
  bool has_missed = false;  // an old value may have come and gone
};

// DatabaseGate is what the caller asks for, and what was found.
struct DatabaseGate {
  MemoryContext memory;
  SearchScope scope;
  List *except;  // names of places
  OnUnknown on_unknown;
  const char *fingerprint;  // that the first key must have, or null
  bool allow_empty;
  Reader reader;
  // Pinned: what counts the rows may run code of the owner of a table, which
  // changes the setting.
  SessionKeys keys;
  List *tables;
  Watch watch;
  Found found;
};

bool IsExcepted(const DatabaseGate &gate, const char *name) {
  for (int i = 0; i < list_length(gate.except); ++i) {
    if (strcmp(name, static_cast<const char *>(list_nth(gate.except, i))) ==
        0) {
      return true;
    }
  }
  return false;
}

const char *QualifiedName(Oid relation) {
  return quote_qualified_identifier(
      get_namespace_name(get_rel_namespace(relation)), get_rel_name(relation));
}

// IsExceptedAt is for a table, or one of its columns if `column` is not null,
// named with its schema, or without one that is on the path.
bool IsExceptedAt(const DatabaseGate &gate, Oid relation, const char *column) {
  const char *const suffix =
      column == nullptr ? "" : psprintf(".%s", quote_identifier(column));
  return IsExcepted(gate, psprintf("%s%s", QualifiedName(relation), suffix)) ||
         (RelationIsVisible(relation) &&
          IsExcepted(gate,
                     psprintf("%s%s", quote_identifier(get_rel_name(relation)),
                              suffix)));
}

bool IsExceptedPlace(const DatabaseGate &gate, const SearchedPlace &place) {
  if (place.name != nullptr && IsExcepted(gate, place.name)) {
    return true;
  }
  if (!OidIsValid(place.relation)) {
    return place.name == nullptr && IsExcepted(gate, place.type);
  }
  return IsExceptedAt(gate, place.relation, nullptr) ||
         (place.column != nullptr &&
          IsExceptedAt(gate, place.relation, place.column));
}

const char *NameOfPlace(const SearchedPlace &place) {
  if (place.name != nullptr) {
    return place.name;
  }
  if (!OidIsValid(place.relation)) {
    return place.type;
  }
  return place.column == nullptr
             ? QualifiedName(place.relation)
             : psprintf("%s.%s", QualifiedName(place.relation),
                        quote_identifier(place.column));
}

// AllowedIn is how many of the tokens that no key decrypts the caller allows.
std::int64_t AllowedIn(OnUnknown on_unknown, const TokenTally &tally) {
  constexpr auto kWhole = static_cast<std::size_t>(TokenForm::kWhole);
  switch (on_unknown) {
    case OnUnknown::kFail:
      break;
    case OnUnknown::kLeave:
      return tally.of_unknown();
    case OnUnknown::kPlaintext:
      return tally.of_unknown() - tally.unknown_key[kWhole];
  }
  return 0;
}

void AddTally(const SearchedPlace &place, OnUnknown on_unknown, Found *found) {
  const TokenTally &tally = *place.tally;
  const std::int64_t allowed = AllowedIn(on_unknown, tally);
  const std::int64_t unknown = tally.of_unknown() - allowed;
  found->primary += tally.of_primary();
  found->secondary += tally.of_secondary();
  found->unknown += unknown;
  found->allowed += allowed;
  found->malformed += tally.malformed;
  found->too_many += tally.too_many;
  if (tally.of_secondary() + unknown + tally.malformed + tally.too_many > 0) {
    found->left->Add(NameOfPlace(place));
  }
}

void AddNotRead(const SearchedPlace &place, const char *why, Found *found) {
  ++found->not_read;
  found->unread->Add(psprintf("%s (%s)", NameOfPlace(place), why));
}

// NeedsOtherKey says whether a token that came and went in a place needs more
// than the first key.
bool NeedsOtherKey(const TokenTally &tally, OnUnknown on_unknown) {
  return tally.of_secondary() + tally.malformed + tally.too_many > 0 ||
         tally.of_unknown() > AllowedIn(on_unknown, tally);
}

void AddPlace(const SearchedPlace &place, void *state) {
  auto *const gate = static_cast<DatabaseGate *>(state);
  if (IsExceptedPlace(*gate, place)) {
    gate->found.excepted->Add(NameOfPlace(place));
    return;
  }
  if (place.not_read != nullptr) {
    AddNotRead(place, place.not_read, &gate->found);
    return;
  }
  gate->found.has_missed |= place.vanished != nullptr &&
                            NeedsOtherKey(*place.vanished, gate->on_unknown);
  AddTally(place, gate->on_unknown, &gate->found);
  if (place.tally->not_read > 0) {
    AddNotRead(place, "A part of its values is not searched.", &gate->found);
  }
}

Places *NewPlaces(MemoryContext memory) {
  const MemoryContext before = MemoryContextSwitchTo(memory);
  auto *const places = static_cast<Places *>(palloc(sizeof(Places)));
  new (places) Places();
  MemoryContextSwitchTo(before);
  return places;
}

// kOthersTemporary in "except_places" stands for the temporary tables of other
// sessions, whose names nobody knows.
constexpr const char *kOthersTemporary = "pg_temp";

// LeavesOut says whether `table` is neither locked nor read, and tells `found`,
// unless it is null. Temporary tables of other sessions come and go.
bool LeavesOut(const DatabaseGate &gate, Oid table, Found *found) {
  const bool is_temporary = isOtherTempNamespace(get_rel_namespace(table));
  const bool is_excepted = IsExceptedAt(gate, table, nullptr) ||
                           (is_temporary && IsExcepted(gate, kOthersTemporary));
  if (found != nullptr && is_excepted) {
    found->excepted->Add(QualifiedName(table));
  } else if (found != nullptr && is_temporary) {
    AddNotRead({.relation = table},
               "It is a temporary table of another session.", found);
  }
  return is_excepted || is_temporary;
}

// TablesOf lists the tables of the gate, as `snapshot` sees them.
List *TablesOf(const DatabaseGate &gate, Snapshot snapshot, Found *found) {
  const List *const all = ListTables(gate.scope, snapshot);
  List *tables = NIL;
  for (int i = 0; i < list_length(all); ++i) {
    const Oid table = list_nth_oid(all, i);
    const bool is_gone = get_rel_name(table) == nullptr;
    if (!is_gone && !LeavesOut(gate, table, found)) {
      tables = lappend_oid(tables, table);
    }
  }
  return tables;
}

bool HasSameTables(void *state) {
  const auto *const gate = static_cast<const DatabaseGate *>(state);
  const List *const now = TablesOf(*gate, GetActiveSnapshot(), nullptr);
  return list_length(now) == list_length(gate->tables) &&
         list_difference_oid(now, gate->tables) == NIL;
}

void ListAnew(DatabaseGate *gate) {
  const MemoryContext before = MemoryContextSwitchTo(gate->memory);
  gate->found = {};
  gate->found.left = NewPlaces(gate->memory);
  gate->found.unread = NewPlaces(gate->memory);
  gate->found.excepted = NewPlaces(gate->memory);
  gate->tables = TablesOf(*gate, GetLatestSnapshot(), &gate->found);
  MemoryContextSwitchTo(before);
}

// ReadAll reads everything in one snapshot.
void ReadAll(void *state) {
  auto *const gate = static_cast<DatabaseGate *>(state);
  Snapshot snapshot = nullptr;
  while ((snapshot = BeginDatabaseReading(gate->tables, gate->reader,
                                          HasSameTables, gate)) == nullptr) {
    CHECK_FOR_INTERRUPTS();
    ListAnew(gate);
  }
  const bool is_quiet = IsDatabaseQuiet(gate->tables, snapshot, gate->reader);
  const SearchRule rule = {.keys = gate->keys,
                           .percent = 100,
                           .snapshot = snapshot,
                           .since = is_quiet ? nullptr : gate->watch.since,
                           .sink = AddPlace,
                           .state = gate};
  SearchTables(gate->tables, rule);
  SearchCatalogs(gate->scope, rule);
  gate->found.has_missed |=
      !is_quiet && !AreSameFiles(gate->watch, WithPartitions(gate->tables));
  EndDatabaseReading(snapshot, gate->reader);
}

void RequireAllRead(const Found &found) {
  if (found.not_read > 0) {
    FERNET_RAISE(
        kValuesLeft,
        errmsg("places of the database were not read: " INT64_FORMAT,
               found.not_read),
        errdetail("They are: %s. Nothing is proved about them.",
                  found.unread->Words()),
        errhint("Call the function with a role that may read them, or add to "
                "\"except_places\" what holds no token that is needed. The "
                "program pg_fernet reads tables whose rows are stored "
                "somewhere else."));
  }
}

void RequireNoTokenLeft(const Found &found) {
  const std::int64_t left =
      found.secondary + found.unknown + found.malformed + found.too_many;
  if (left > 0) {
    FERNET_RAISE(
        kValuesLeft,
        errmsg(INT64_FORMAT " of " INT64_FORMAT
                            " tokens in the database are not encrypted with "
                            "the first key",
               left, left + found.primary + found.allowed),
        errdetail("Encrypted with another key of \"fernet.key\": " INT64_FORMAT
                  ". Encrypted with an unknown key: " INT64_FORMAT
                  ". Cut or changed: " INT64_FORMAT
                  ". Values in which too much looks like a token: " INT64_FORMAT
                  ". They are in %s.%s",
                  found.secondary, found.unknown, found.malformed,
                  found.too_many, found.left->Words(),
                  found.not_read == 0
                      ? ""
                      : psprintf(" Not read: %s.", found.unread->Words())),
        errhint("fernet_find_tokens() counts them by place."));
  }
}

void RequireAnyToken(const DatabaseGate &gate) {
  if (!gate.allow_empty && gate.found.primary == 0) {
    FERNET_RAISE(kValuesLeft, errmsg("no token was found in the database"),
                 errhint("If there may be none, add \"allow_empty => true\"."));
  }
}

void Judge(const DatabaseGate &gate) {
  RequireNoTokenLeft(gate.found);
  RequireAllRead(gate.found);
  RequireAnyToken(gate);
}

void ReadAndJudge(void *state) {
  ReadAll(state);
  Judge(*static_cast<DatabaseGate *>(state));
}

void TellOfRest(const DatabaseGate &gate) {
  if (gate.found.allowed > 0) {
    ereport(NOTICE,
            errmsg("no key of the session decrypts " INT64_FORMAT
                   " tokens in the database",
                   gate.found.allowed),
            HideStatement());
  }
  if (!gate.found.excepted->IsEmpty()) {
    ereport(NOTICE,
            errmsg("nothing is proved about %s", gate.found.excepted->Words()),
            HideStatement());
  }
}

List *ReadExcepted(FunctionCallInfo fcinfo, int index) {
  if (PG_ARGISNULL(index)) {
    return NIL;
  }
  Datum *items = nullptr;
  bool *nulls = nullptr;
  int count = 0;
  deconstruct_array(PG_GETARG_ARRAYTYPE_P(index), TEXTOID, -1, false,
                    TYPALIGN_INT, &items, &nulls, &count);
  List *names = NIL;
  for (int i = 0; i < count; ++i) {
    if (nulls[i]) {
      FERNET_RAISE(ERRCODE_NULL_VALUE_NOT_ALLOWED,
                   errmsg("\"except_places\" must not have an element that is "
                          "NULL"));
    }
    names = lappend(names, TextDatumGetCString(items[i]));
  }
  return names;
}

// Prove undoes each reading, so that its locks are not held while the next one
// waits.
void Prove(DatabaseGate *gate) {
  gate->found.has_missed = true;
  for (int i = 0; i < kMaxProofs && gate->found.has_missed; ++i) {
    ListAnew(gate);
    gate->watch = WaitForDatabaseWriters(gate->tables, gate->reader);
    RunAndUndo(ReadAndJudge, gate);
    EndDatabaseProof(gate->watch, gate->reader);
  }
  if (gate->found.has_missed) {
    RefuseProof("the database");
  }
  TellOfRest(*gate);
}

}  // namespace
}  // namespace fernet::pg

// fernet_assert_database_rotated(schemas name[] DEFAULT NULL,
//     except_places text[] DEFAULT NULL, on_unknown text DEFAULT 'fail',
//     fingerprint text DEFAULT NULL, allow_empty boolean DEFAULT false)
//     returns void
FERNET_SQL_FUNCTION(fernet_assert_database_rotated) {
  namespace pg = fernet::pg;
  pg::RequireArgument(fcinfo, 2, "on_unknown");
  pg::RequireArgument(fcinfo, 4, "allow_empty");
  const MemoryContext pins = pg::NewPinMemory();
  pg::DatabaseGate gate = {
      .memory = CurrentMemoryContext,
      .scope = pg::ReadScope(fcinfo, 0, -1),
      .except = pg::ReadExcepted(fcinfo, 1),
      .on_unknown = pg::ReadOnUnknown(fcinfo, 2),
      .fingerprint =
          PG_ARGISNULL(3) ? nullptr : text_to_cstring(PG_GETARG_TEXT_PP(3)),
      .allow_empty = PG_GETARG_BOOL(4),
      .reader = pg::Reader::kUnmarked,
      .keys = pg::session_keys::PinUntil(pins),
      .tables = NIL,
      .watch = {},
      .found = {},
  };
  pg::RequireReadCommitted();
  pg::RequirePrimary(
      "Call fernet_assert_database_rotated() on the primary, or "
      "fernet_find_tokens() here.");
  pg::RequireFingerprint(*gate.keys.list, gate.fingerprint);
  gate.reader = pg::ReaderOfAll(
      fcinfo->flinfo->fn_oid, pg::TablesOf(gate, GetLatestSnapshot(), nullptr));
  pg::Prove(&gate);
  MemoryContextDelete(pins);
  PG_RETURN_VOID();
}
