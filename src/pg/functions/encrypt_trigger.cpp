// SQL function fernet_encrypt_trigger, which encrypts columns as they are
// written.

#include "core/diagnosis.hpp"
#include "pg/column/check_domain.hpp"
#include "pg/column/column_target.hpp"
#include "pg/functions/row_trigger.hpp"
#include "pg/report/report.hpp"
#include "pg/server/unix_time.hpp"
#include "pg/value/cause.hpp"
#include "pg/value/json_tree.hpp"
#include "pg/value/text_encoding.hpp"
#include "pg/value/token_value.hpp"
#include "pg/value/verdict.hpp"

extern "C" {
#include "common/hashfn.h"
}

namespace fernet::pg {
namespace {

// Column is a column that the trigger encrypts: its values, or, with paths, the
// strings to which they lead in a document.
struct Column {
  ColumnTarget target;
  NameData name;
  List *paths;  // values of type jsonpath
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

// partitions is a list of LinkUntilReset.
constinit Columns *partitions = nullptr;

constexpr RowTrigger kTrigger = {"fernet_encrypt_trigger", "'column', ..."};

const TriggerData *RequireTrigger(FunctionCallInfo fcinfo) {
  const TriggerData *const call = RequireRowTrigger(fcinfo, kTrigger);
  if (call->tg_trigger->tgnargs == 0) {
    RefuseCall(kTrigger, "needs the name of a column");
  }
  return call;
}

// LengthOfName is the length of the name of the column in `argument`, which may
// be followed by ':' and a path.
std::size_t LengthOfName(Relation relation, const char *argument) {
  const Oid table = RelationGetRelid(relation);
  if (get_attnum(table, argument) > 0) {
    return strlen(argument);
  }
  for (const char *at = strchr(argument, ':'); at != nullptr;
       at = strchr(at + 1, ':')) {
    const auto length = static_cast<std::size_t>(at - argument);
    if (get_attnum(table, pnstrdup(argument, length)) > 0) {
      return length;
    }
  }
  return strlen(argument);
}

// DescribeDocuments fills in `*out` for a column of documents. Its
// max_characters and value_type are those of a string in one.
void DescribeDocuments(Relation relation, const char *name, ColumnTarget *out) {
  const AttrNumber attribute = get_attnum(RelationGetRelid(relation), name);
  const auto *const column =
      TupleDescAttr(RelationGetDescr(relation), attribute - 1);
  const Oid base = getBaseType(column->atttypid);
  if (base != JSONBOID) {
    FERNET_RAISE(ERRCODE_WRONG_OBJECT_TYPE,
                 errmsg("column \"%s\" of type %s has no strings at a path",
                        name, format_type_be(column->atttypid)),
                 errdetail("A path needs a column of type jsonb."));
  }
  if (column->attgenerated != '\0') {
    FERNET_RAISE(ERRCODE_GENERATED_ALWAYS,
                 errmsg("column \"%s\" is a generated column", name));
  }
  *out = {.attribute = attribute,
          .value_type = TEXTOID,
          .holder_type = InvalidOid,
          .max_characters = 0,
          .is_padded = false,
          .domain = base == column->atttypid ? InvalidOid : column->atttypid};
}

void *ReadPath(const char *text) {
  varlena *const path =
      PG_DETOAST_DATUM(DirectFunctionCall1(jsonpath_in, CStringGetDatum(text)));
  RequireLeafPath(path);
  return path;
}

// AddDocuments adds `path` to the column `name`, which may have others.
void AddDocuments(Columns *columns, Relation relation, const char *name,
                  void *path) {
  Column *column = columns->columns;
  Column *const end = column + columns->count;
  while (column != end &&
         (column->paths == NIL || namestrcmp(&column->name, name) != 0)) {
    ++column;
  }
  if (column == end) {
    ++columns->count;
    namestrcpy(&column->name, name);
    DescribeDocuments(relation, name, &column->target);
  }
  column->paths = lappend(column->paths, path);
}

void RequireNoDocuments(Relation relation, const char *name) {
  const Oid table = RelationGetRelid(relation);
  const AttrNumber attribute = get_attnum(table, name);
  if (attribute > 0 && getBaseType(get_atttype(table, attribute)) == JSONBOID) {
    FERNET_RAISE(ERRCODE_WRONG_OBJECT_TYPE,
                 errmsg("column \"%s\" of type jsonb cannot be encrypted as a "
                        "whole",
                        name),
                 errhint("Add the path of the strings to encrypt, as in "
                         "fernet_encrypt_trigger('%s:$.password').",
                         name));
  }
}

void AddColumn(Columns *columns, Relation relation, const char *argument) {
  const std::size_t length = LengthOfName(relation, argument);
  if (argument[length] == ':') {
    AddDocuments(columns, relation, pnstrdup(argument, length),
                 ReadPath(argument + length + 1));
    return;
  }
  RequireNoDocuments(relation, argument);
  Column *const column = &columns->columns[columns->count++];
  namestrcpy(&column->name, argument);
  DescribeOpenColumn(relation, argument, &column->target);
}

Columns *NewColumns(const TriggerData *call, MemoryContext memory) {
  const int count = call->tg_trigger->tgnargs;
  auto *const columns = static_cast<Columns *>(MemoryContextAllocZero(
      memory, offsetof(Columns, columns) +
                  sizeof(Column) * static_cast<std::size_t>(count)));
  columns->memory = memory;
  columns->root = RootOf(call->tg_relation);
  const MemoryContext before = MemoryContextSwitchTo(memory);
  for (int i = 0; i < count; ++i) {
    AddColumn(columns, call->tg_relation, call->tg_trigger->tgargs[i]);
  }
  MemoryContextSwitchTo(before);
  if (OidIsValid(columns->root)) {
    LinkUntilReset<Columns, &partitions>(columns);
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
[[noreturn]] void RefuseDamagedToken(const varlena *value,
                                     const Outcome &outcome) {
  ReportMalformed(
      ExplainNonToken(session_keys::CurrentOrNone(), value, outcome),
      "If the value is a plaintext, encrypt it with fernet_encrypt(). ");
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
    RefuseDamagedToken(value, outcome);
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
    CheckDomain(column.domain, PointerGetDatum(stored), false);
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

List *StringsAt(const Column &column, JsonbValue *tree) {
  List *strings = NIL;
  for (int i = 0; i < list_length(column.paths); ++i) {
    strings = FindStrings(tree, list_nth(column.paths, i), strings);
  }
  return strings;
}

bool Contains(List *strings, const JsonbValue &wanted) {
  const auto &text = wanted.val.string;
  for (int i = 0; i < list_length(strings); ++i) {
    const auto &other =
        static_cast<const JsonbValue *>(list_nth(strings, i))->val.string;
    if (other.len == text.len &&
        memcmp(other.val, text.val, static_cast<std::size_t>(text.len)) == 0) {
      return true;
    }
  }
  return false;
}

// OldDocument is the document that the row had before, looked at once it is
// asked for.
struct OldDocument {
  varlena *stored;  // null if there was none
  bool is_read;
  JsonbValue tree;
  List *strings;
};

// Had says whether the row had `string` before, in the same column at its
// paths.
bool Had(const Column &column, OldDocument *old, const JsonbValue &string) {
  if (old->stored == nullptr) {
    return false;
  }
  if (!old->is_read) {
    old->is_read = true;
    old->tree = UnpackJsonb(DatumGetJsonbP(PointerGetDatum(old->stored)));
    old->strings = StringsAt(column, &old->tree);
  }
  return Contains(old->strings, string);
}

// TreatString encrypts `*string` in place. Returns whether it has changed.
bool TreatString(const Column &column, JsonbValue *string, Origin origin,
                 OldDocument *old, bool *is_kept) {
  varlena *const value = CopyOfString(*string);
  Outcome outcome;
  const bool is_token = IsToken(value, &outcome);
  const Origin of_string =
      !is_token && origin == Origin::kStatement && Had(column, old, *string)
          ? Origin::kSameAgain
          : origin;
  ColumnTarget target = column.target;
  target.domain = InvalidOid;  // of the document
  const varlena *const token =
      is_token ? nullptr : Treat(target, value, of_string, is_kept);
  WipeAndFree(value, nullptr);
  if (token != nullptr) {
    ReplaceString(string, token);
  }
  return token != nullptr;
}

// TreatDocument is TreatStored for the strings in a document.
varlena *TreatDocument(const Column &column, varlena *stored, Origin origin,
                       varlena *old_stored, bool *is_kept) {
  Jsonb *const document = DatumGetJsonbP(PointerGetDatum(stored));
  JsonbValue tree = UnpackJsonb(document);
  List *const strings = StringsAt(column, &tree);
  OldDocument old = {
      .stored = old_stored, .is_read = false, .tree = {}, .strings = NIL};
  bool has_changed = false;
  for (int i = 0; i < list_length(strings); ++i) {
    CHECK_FOR_INTERRUPTS();
    has_changed =
        TreatString(column, static_cast<JsonbValue *>(list_nth(strings, i)),
                    origin, &old, is_kept) ||
        has_changed;
  }
  varlena *const encrypted =
      has_changed ? reinterpret_cast<varlena *>(JsonbValueToJsonb(&tree))
                  : nullptr;
  WipeAndFree(reinterpret_cast<varlena *>(document), stored);
  if (has_changed && OidIsValid(column.target.domain)) {
    CheckDomain(column.target.domain, PointerGetDatum(encrypted), false);
  }
  return encrypted;
}

// EncryptStored is TreatStored, and takes care of what rows keep that are moved
// to another partition.
varlena *EncryptStored(const Columns &columns, Column *column, varlena *stored,
                       bool is_insert, Origin origin, varlena *old_stored) {
  if (is_insert && TakeRemembered(columns, *column, stored)) {
    return nullptr;
  }
  bool is_kept = origin == Origin::kOldRow;
  varlena *encrypted = nullptr;
  if (!is_kept) {
    encrypted =
        column->paths == NIL
            ? TreatStored(column->target, stored, origin, &is_kept)
            : TreatDocument(*column, stored, origin, old_stored, &is_kept);
  }
  if (is_kept) {
    RememberValue(columns, column, encrypted == nullptr ? stored : encrypted);
  }
  return encrypted;
}

// OldOf is what the row stored in the column before, or null.
varlena *OldOf(const TriggerData *call, AttrNumber attribute) {
  bool is_null = true;
  Datum old = 0;
  if (!TRIGGER_FIRED_BY_INSERT(call->tg_event)) {
    old = heap_getattr(call->tg_trigtuple, attribute,
                       RelationGetDescr(call->tg_relation), &is_null);
  }
  return is_null ? nullptr : reinterpret_cast<varlena *>(DatumGetPointer(old));
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
      TRIGGER_FIRED_BY_INSERT(call->tg_event), OriginOf(call, attribute, datum),
      OldOf(call, attribute));
  return token == nullptr ? row : Replace(row, descriptor, attribute, token);
}

}  // namespace
}  // namespace fernet::pg

// fernet_encrypt_trigger('column' or 'column:path', ...) returns trigger
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
