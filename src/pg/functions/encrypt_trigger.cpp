// SQL function fernet_encrypt_trigger, which encrypts columns as they are
// written.

#include "core/diagnosis.hpp"
#include "pg/column/column_target.hpp"
#include "pg/report/report.hpp"
#include "pg/server/unix_time.hpp"
#include "pg/value/text_encoding.hpp"
#include "pg/value/token_value.hpp"
#include "pg/value/verdict.hpp"

namespace fernet::pg {
namespace {

// Columns are the arguments of the trigger, looked up once for a statement.
struct Columns {
  int count;
  ColumnTarget targets[FLEXIBLE_ARRAY_MEMBER];
};

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

const Columns *FindColumns(FunctionCallInfo fcinfo, const TriggerData *call) {
  if (fcinfo->flinfo->fn_extra == nullptr) {
    const int count = call->tg_trigger->tgnargs;
    auto *const columns = static_cast<Columns *>(MemoryContextAlloc(
        fcinfo->flinfo->fn_mcxt,
        offsetof(Columns, targets) +
            sizeof(ColumnTarget) * static_cast<std::size_t>(count)));
    columns->count = count;
    for (int i = 0; i < count; ++i) {
      DescribeOpenColumn(call->tg_relation, call->tg_trigger->tgargs[i],
                         &columns->targets[i]);
    }
    fcinfo->flinfo->fn_extra = columns;
  }
  return static_cast<const Columns *>(fcinfo->flinfo->fn_extra);
}

// IsWritten says whether the statement, or a trigger before this one, wrote the
// column of the row. A value that was there before stays as it is: a table may
// be adopted while it is in use. The old value may be stored in another form,
// for example as the default of an ADD COLUMN that did not rewrite the rows.
bool IsWritten(const TriggerData *call, AttrNumber attribute, Datum value) {
  if (TRIGGER_FIRED_BY_INSERT(call->tg_event) ||
      bms_is_member(attribute - FirstLowInvalidHeapAttributeNumber,
                    call->tg_updatedcols)) {
    return true;
  }
  bool was_null = false;
  const Datum old =
      heap_getattr(call->tg_trigtuple, attribute,
                   RelationGetDescr(call->tg_relation), &was_null);
  return was_null || !(datumIsEqual(old, value, false, -1) ||
                       datum_image_eq(old, value, false, -1));
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

// RefuseToken refuses what is or was a token in another form, and what holds a
// token of the session: its key may be dropped, and nobody would look for it
// here. A text that quotes somebody else's token is a plaintext.
void RefuseToken(const varlena *value, const Outcome &outcome) {
  if (!IsNoTraceOfToken(DiagnoseNonToken(ViewText(value)))) {
    RefuseDamagedToken(outcome);
  }
  const TokenTraces traces = TraceTokens(session_keys::Current(), value);
  if (traces.status == Status::kTooManyCandidates) {
    FERNET_RAISE(ERRCODE_PROGRAM_LIMIT_EXCEEDED,
                 errmsg("too much in the value looks like a Fernet token"),
                 errhint("If the value is a plaintext, encrypt it with "
                         "fernet_encrypt()."));
  }
  if (traces.primary + traces.secondary > 0) {
    FERNET_RAISE(kMalformedToken, errmsg("value holds a Fernet token"),
                 errdetail("A key in \"fernet.key\" decrypts it."),
                 errhint("Store the token alone; or, if the value is a "
                         "plaintext, encrypt it with fernet_encrypt()."));
  }
}

void CheckTokenFits(const ColumnTarget &column, std::size_t size) {
  if (column.max_characters > 0 &&
      size > static_cast<std::size_t>(column.max_characters)) {
    FERNET_RAISE(
        ERRCODE_STRING_DATA_RIGHT_TRUNCATION,
        errmsg("token of %zu characters is too long for type character "
               "varying(%d)",
               size, column.max_characters));
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

// Encrypt returns the token for `value`, which is written to `column`, or null
// if `value` is a token already.
varlena *Encrypt(const ColumnTarget &column, varlena *value) {
  TokenReader reader(MayGoOn);
  const Outcome outcome = LoadValue(value, &reader);
  if (outcome.ok()) {
    return nullptr;
  }
  // Errors must come before there is a copy of the plaintext.
  RefuseToken(value, outcome);
  varlena *const bytes =
      column.value_type == TEXTOID ? TextToUtf8(value) : value;
  varlena *const token =
      EncryptValue(bytes, static_cast<std::uint64_t>(UnixSecondsNow()));
  WipeAndFree(bytes, value);
  CheckTokenFits(column, VARSIZE(token) - VARHDRSZ);
  if (OidIsValid(column.domain)) {
    CheckDomain(column.domain, token);
  }
  return token;
}

// EncryptColumn is `row` with `column` encrypted, or `row` itself if there is
// nothing to do.
HeapTuple EncryptColumn(const TriggerData *call, const ColumnTarget &column,
                        HeapTuple row) {
  const TupleDesc descriptor = RelationGetDescr(call->tg_relation);
  bool is_null = false;
  const Datum datum = heap_getattr(row, column.attribute, descriptor, &is_null);
  if (is_null || !IsWritten(call, column.attribute, datum)) {
    return row;
  }
  auto *const stored = reinterpret_cast<varlena *>(DatumGetPointer(datum));
  varlena *const value = pg_detoast_datum_packed(stored);
  varlena *const token = Encrypt(column, value);
  WipeAndFree(value, stored);
  if (token == nullptr) {
    return row;
  }
  int attribute = column.attribute;
  Datum new_value = PointerGetDatum(token);
  bool new_is_null = false;
  return heap_modify_tuple_by_cols(row, descriptor, 1, &attribute, &new_value,
                                   &new_is_null);
}

}  // namespace
}  // namespace fernet::pg

// fernet_encrypt_trigger('column', ...) returns trigger
FERNET_SQL_FUNCTION(fernet_encrypt_trigger) {
  namespace pg = fernet::pg;
  const TriggerData *const call = pg::RequireTrigger(fcinfo);
  const pg::Columns *const columns = pg::FindColumns(fcinfo, call);
  HeapTuple row = TRIGGER_FIRED_BY_INSERT(call->tg_event) ? call->tg_trigtuple
                                                          : call->tg_newtuple;
  for (int i = 0; i < columns->count; ++i) {
    row = pg::EncryptColumn(call, columns->targets[i], row);
  }
  return PointerGetDatum(row);
}
