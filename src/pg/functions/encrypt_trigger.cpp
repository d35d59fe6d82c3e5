// SQL function fernet_encrypt_trigger, which encrypts columns as they are
// written.

#include "core/diagnosis.hpp"
#include "pg/column/column_target.hpp"
#include "pg/report/report.hpp"
#include "pg/server/unix_time.hpp"
#include "pg/value/text_encoding.hpp"
#include "pg/value/token_value.hpp"
#include "pg/value/verdict.hpp"

extern "C" {
#include "common/hashfn.h"
}

namespace fernet::pg {
namespace {

// Column is a column that the trigger encrypts.
struct Column {
  ColumnTarget target;
  NameData name;
  // A digest of the value that the last row of an UPDATE had before and keeps,
  // if that value is no token.
  std::uint64_t kept;
  bool has_kept;
};

// Columns are the arguments of the trigger, looked up once for a statement.
struct Columns {
  Columns *next;
  MemoryContextCallback unlink;
  MemoryContext memory;  // of the statement
  Oid root;              // of the table, a partition; otherwise InvalidOid
  int count;
  Column columns[FLEXIBLE_ARRAY_MEMBER];
};

// When an UPDATE moves a row to another partition, PostgreSQL fires the
// triggers BEFORE UPDATE there and the triggers BEFORE INSERT here, and does
// not tell these the old row. So the partitions of the statements under way are
// in a list.
constinit Columns *partitions = nullptr;

[[noreturn]] void RefuseCall(const char *rule) {
  FERNET_RAISE(
      ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
      errmsg("fernet_encrypt_trigger() %s", rule),
      errhint("CREATE TRIGGER ... BEFORE INSERT OR UPDATE ON ... FOR EACH "
              "ROW EXECUTE FUNCTION fernet_encrypt_trigger('column', ...)"));
}

const TriggerData *RequireTrigger(FunctionCallInfo fcinfo) {
  if (!CALLED_AS_TRIGGER(fcinfo)) {
    RefuseCall("must be called by a trigger");
  }
  const auto *const call = reinterpret_cast<TriggerData *>(fcinfo->context);
  if (!TRIGGER_FIRED_FOR_ROW(call->tg_event) ||
      !TRIGGER_FIRED_BEFORE(call->tg_event)) {
    RefuseCall("must be fired before each row");
  }
  if (!TRIGGER_FIRED_BY_INSERT(call->tg_event) &&
      !TRIGGER_FIRED_BY_UPDATE(call->tg_event)) {
    RefuseCall("must be fired by INSERT or UPDATE");
  }
  if (call->tg_trigger->tgnargs == 0) {
    RefuseCall("needs the name of a column");
  }
  return call;
}

Oid RootOf(Relation relation) {
  return relation->rd_rel->relispartition
             ? llast_oid(get_partition_ancestors(RelationGetRelid(relation)))
             : InvalidOid;
}

void Link(Columns *columns) {
  columns->next = partitions;
  partitions = columns;
  // cppcheck-suppress constParameter ; the type of a callback of the server
  columns->unlink.func = [](void *gone) {
    Columns **link = &partitions;
    while (*link != gone) {
      link = &(*link)->next;
    }
    *link = (*link)->next;
  };
  columns->unlink.arg = columns;
  MemoryContextRegisterResetCallback(columns->memory, &columns->unlink);
}

Columns *NewColumns(const TriggerData *call, MemoryContext memory) {
  const int count = call->tg_trigger->tgnargs;
  auto *const columns = static_cast<Columns *>(MemoryContextAllocZero(
      memory, offsetof(Columns, columns) +
                  sizeof(Column) * static_cast<std::size_t>(count)));
  columns->memory = memory;
  columns->root = RootOf(call->tg_relation);
  columns->count = count;
  for (int i = 0; i < count; ++i) {
    Column *const column = &columns->columns[i];
    namestrcpy(&column->name, call->tg_trigger->tgargs[i]);
    DescribeOpenColumn(call->tg_relation, call->tg_trigger->tgargs[i],
                       &column->target);
  }
  if (OidIsValid(columns->root)) {
    Link(columns);
  }
  return columns;
}

Columns *FindColumns(FunctionCallInfo fcinfo, const TriggerData *call) {
  if (fcinfo->flinfo->fn_extra == nullptr) {
    fcinfo->flinfo->fn_extra = NewColumns(call, fcinfo->flinfo->fn_mcxt);
  }
  return static_cast<Columns *>(fcinfo->flinfo->fn_extra);
}

// Origin is where a value that is about to be stored comes from.
enum class Origin {
  kStatement,  // or a trigger before this one
  kSameAgain,  // the statement sets the column to the value that it had
  kOldRow,     // the statement does not set the column
};

Origin OriginOf(const TriggerData *call, AttrNumber attribute, Datum value) {
  if (TRIGGER_FIRED_BY_INSERT(call->tg_event)) {
    return Origin::kStatement;
  }
  bool was_null = false;
  const Datum old =
      heap_getattr(call->tg_trigtuple, attribute,
                   RelationGetDescr(call->tg_relation), &was_null);
  // The old value may be stored in another form, for example as the default of
  // an ADD COLUMN that did not rewrite the rows.
  if (was_null || !(datumIsEqual(old, value, false, -1) ||
                    datum_image_eq(old, value, false, -1))) {
    return Origin::kStatement;
  }
  return bms_is_member(attribute - FirstLowInvalidHeapAttributeNumber,
                       call->tg_updatedcols)
             ? Origin::kSameAgain
             : Origin::kOldRow;
}

// DigestOf tells stored values apart: a moved row keeps their form.
std::uint64_t DigestOf(const varlena *stored) {
  return hash_bytes_extended(reinterpret_cast<const unsigned char *>(stored),
                             static_cast<int>(VARSIZE_ANY(stored)), 0);
}

void RememberValue(const Columns &columns, Column *column,
                   const varlena *stored) {
  if (OidIsValid(columns.root)) {
    column->has_kept = true;
    column->kept = DigestOf(stored);
  }
}

// TakeRemembered says whether `stored`, which is about to be inserted into
// `column`, is what a row that is moved from another partition has kept.
bool TakeRemembered(const Columns &columns, const Column &column,
                    const varlena *stored) {
  for (Columns *other = partitions; other != nullptr; other = other->next) {
    const bool may_be_from = OidIsValid(columns.root) &&
                             other->root == columns.root &&
                             other->memory == columns.memory;
    for (int i = 0; may_be_from && i < other->count; ++i) {
      Column *const from = &other->columns[i];
      if (from->has_kept && from->kept == DigestOf(stored) &&
          namestrcmp(&from->name, NameStr(column.name)) == 0) {
        from->has_kept = false;
        return true;
      }
    }
  }
  return false;
}

// RefuseDamagedToken: a value that holds a token in some form must not be
// encrypted as a plaintext, or the token would be lost.
[[noreturn]] void RefuseDamagedToken(const Outcome &outcome) {
  FERNET_RAISE(
      kMalformedToken, errmsg("malformed Fernet token"),
      errdetail_internal("%s", TokenDefect(outcome)),
      errhint(
          "If the value is a plaintext, encrypt it with fernet_encrypt()."));
}

[[noreturn]] void RefuseCandidates() {
  FERNET_RAISE(ERRCODE_PROGRAM_LIMIT_EXCEEDED,
               errmsg("too much in the value looks like a Fernet token"),
               errhint("If the value is a plaintext, encrypt it with "
                       "fernet_encrypt()."));
}

[[noreturn]] void RefuseHolder() {
  FERNET_RAISE(kMalformedToken, errmsg("value holds a Fernet token"),
               errdetail("A key in \"fernet.key\" decrypts it."),
               errhint("Store the token alone; or, if the value is a "
                       "plaintext, encrypt it with fernet_encrypt()."));
}

// RefuseToken refuses what is or was a token in another form, and what holds a
// token of the session: its key may be dropped, and nobody would look for it
// here. A text that quotes somebody else's token is a plaintext.
void RefuseToken(const varlena *value, const Outcome &outcome) {
  if (!IsNoTraceOfToken(DiagnoseNonToken(ViewText(value)))) {
    RefuseDamagedToken(outcome);
  }
  const TokenTraces traces = TraceTokens(session_keys::Current(), value);
  if (traces.status == Status::kTooManyCandidates) {
    RefuseCandidates();
  }
  if (traces.primary + traces.secondary > 0) {
    RefuseHolder();
  }
}

// WouldRefuse says whether RefuseToken raises an error.
bool WouldRefuse(const varlena *value) {
  if (!session_keys::HasKey() ||
      !IsNoTraceOfToken(DiagnoseNonToken(ViewText(value)))) {
    return true;
  }
  const TokenTraces traces = TraceTokens(session_keys::Current(), value);
  return traces.status == Status::kTooManyCandidates ||
         traces.primary + traces.secondary > 0;
}

void CheckTokenFits(const ColumnTarget &column, std::size_t size) {
  if (column.max_characters > 0 &&
      size > static_cast<std::size_t>(column.max_characters)) {
    FERNET_RAISE(
        ERRCODE_STRING_DATA_RIGHT_TRUNCATION,
        errmsg("token of %zu characters is too long for type character%s(%d)",
               size, column.is_padded ? "" : " varying",
               column.max_characters));
  }
}

// CheckDomain checks the token: the server has only checked the plaintext. It
// raises the domain's error without the statement and the line of COPY, which
// would show the plaintext.
void CheckDomain(Oid domain, const varlena *token) {
  const MemoryContext memory = CurrentMemoryContext;
  PG_TRY();
  { domain_check(PointerGetDatum(token), false, domain, nullptr, nullptr); }
  PG_CATCH();
  {
    MemoryContextSwitchTo(memory);
    ErrorData *const error = CopyErrorData();
    FlushErrorState();
    error->hide_stmt = true;
    error->hide_ctx = true;
    error->context = nullptr;
    ReThrowError(error);
  }
  PG_END_TRY();
}

bool IsToken(const varlena *value, Outcome *outcome) {
  TokenReader reader(MayGoOn);
  *outcome = LoadValue(value, &reader);
  return outcome->ok();
}

// Fits says whether the column has room for the token of a plaintext.
bool Fits(const ColumnTarget &column, const varlena *plaintext) {
  return column.max_characters == 0 ||
         TokenSize(ViewBytes(plaintext).size()) <=
             static_cast<std::size_t>(column.max_characters);
}

// Encrypt returns the token for `value`, a plaintext that is written to
// `column`.
varlena *Encrypt(const ColumnTarget &column, varlena *value) {
  varlena *const bytes =
      column.value_type == TEXTOID ? TextToUtf8(value) : value;
  varlena *const token =
      EncryptValue(bytes, static_cast<std::uint64_t>(UnixSecondsNow()));
  WipeAndFree(bytes, value);
  CheckTokenFits(column, VARSIZE(token) - VARHDRSZ);
  varlena *const stored = PadForColumn(column, token);
  if (OidIsValid(column.domain)) {
    CheckDomain(column.domain, stored);
  }
  return stored;
}

// Treat returns what `column` is to store in place of `value`, or null for the
// value itself: it is a token; or the row had it before, and it cannot be
// encrypted, which is no reason to refuse a row with no news in it. Sets
// `*is_kept` in the second case.
varlena *Treat(const ColumnTarget &column, varlena *value, Origin origin,
               bool *is_kept) {
  Outcome outcome;
  if (IsToken(value, &outcome)) {
    return nullptr;
  }
  if (origin == Origin::kSameAgain &&
      (WouldRefuse(value) || !Fits(column, value))) {
    *is_kept = true;
    return nullptr;
  }
  // Errors must come before there is a copy of the plaintext.
  RefuseToken(value, outcome);
  return Encrypt(column, value);
}

HeapTuple Replace(HeapTuple row, TupleDesc descriptor, AttrNumber attribute,
                  const varlena *value) {
  int column = attribute;
  Datum new_value = PointerGetDatum(value);
  bool is_null = false;
  return heap_modify_tuple_by_cols(row, descriptor, 1, &column, &new_value,
                                   &is_null);
}

// TreatStored is Treat for a value as the row stores it.
varlena *TreatStored(const ColumnTarget &column, varlena *stored, Origin origin,
                     bool *is_kept) {
  varlena *const value = pg_detoast_datum_packed(stored);
  varlena *const trimmed = TrimOfColumn(column, value);
  varlena *const token = Treat(column, trimmed, origin, is_kept);
  WipeAndFree(trimmed, value);
  WipeAndFree(value, stored);
  return token;
}

// EncryptStored is TreatStored, and takes care of what rows keep that are moved
// to another partition.
varlena *EncryptStored(const Columns &columns, Column *column, varlena *stored,
                       bool is_insert, Origin origin) {
  if (is_insert && TakeRemembered(columns, *column, stored)) {
    return nullptr;
  }
  bool is_kept = origin == Origin::kOldRow;
  varlena *const token =
      is_kept ? nullptr : TreatStored(column->target, stored, origin, &is_kept);
  if (is_kept) {
    RememberValue(columns, column, stored);
  }
  return token;
}

// EncryptColumn is `row` with `column` encrypted, or `row` itself if there is
// nothing to do.
HeapTuple EncryptColumn(const TriggerData *call, const Columns &columns,
                        Column *column, HeapTuple row) {
  const AttrNumber attribute = column->target.attribute;
  const TupleDesc descriptor = RelationGetDescr(call->tg_relation);
  bool is_null = false;
  const Datum datum = heap_getattr(row, attribute, descriptor, &is_null);
  column->has_kept = false;
  if (is_null) {
    return row;
  }
  const varlena *const token = EncryptStored(
      columns, column, reinterpret_cast<varlena *>(DatumGetPointer(datum)),
      TRIGGER_FIRED_BY_INSERT(call->tg_event),
      OriginOf(call, attribute, datum));
  return token == nullptr ? row : Replace(row, descriptor, attribute, token);
}

}  // namespace
}  // namespace fernet::pg

// fernet_encrypt_trigger('column', ...) returns trigger
FERNET_SQL_FUNCTION(fernet_encrypt_trigger) {
  namespace pg = fernet::pg;
  const TriggerData *const call = pg::RequireTrigger(fcinfo);
  pg::Columns *const columns = pg::FindColumns(fcinfo, call);
  HeapTuple row = TRIGGER_FIRED_BY_INSERT(call->tg_event) ? call->tg_trigtuple
                                                          : call->tg_newtuple;
  for (int i = 0; i < columns->count; ++i) {
    row = pg::EncryptColumn(call, *columns, &columns->columns[i], row);
  }
  return PointerGetDatum(row);
}
