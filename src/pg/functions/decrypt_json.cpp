// SQL function fernet_decrypt_json, for views that show documents decrypted.

#include "pg/report/events.hpp"
#include "pg/report/report.hpp"
#include "pg/server/boundary.hpp"
#include "pg/session/session_keys.hpp"
#include "pg/value/cause.hpp"
#include "pg/value/json_tree.hpp"
#include "pg/value/text_encoding.hpp"
#include "pg/value/token_value.hpp"

namespace fernet::pg {
namespace {

// DecryptString is the text in the token `string`.
varlena *DecryptString(const SessionKeys &keys, const JsonbValue &string) {
  varlena *const token = CopyOfString(string);
  TokenReader reader(MayGoOn);
  std::uint32_t index = 0;
  varlena *plaintext = nullptr;
  const Outcome outcome =
      OpenValue(keys, token, {}, &reader, &index, &plaintext);
  if (!outcome.ok()) {
    events::Failed("decrypt", outcome.status);
    ReportFailure(outcome, keys, token);
  }
  pfree(token);
  events::Used(counters::kDecrypted, "decrypt", keys.list->keys()[index]);
  return Utf8ToText(plaintext);
}

int CompareStrings(const ListCell *one, const ListCell *other) {
  const auto *const a = static_cast<const JsonbValue *>(lfirst(one));
  const auto *const b = static_cast<const JsonbValue *>(lfirst(other));
  return a < b ? -1 : a > b ? 1 : 0;
}

// DecryptStrings decrypts each of `strings`, and returns the plaintexts.
List *DecryptStrings(const SessionKeys &keys, List *strings) {
  list_sort(strings, CompareStrings);
  List *plaintexts = NIL;
  for (int i = 0; i < list_length(strings); ++i) {
    CHECK_FOR_INTERRUPTS();
    auto *const string = static_cast<JsonbValue *>(list_nth(strings, i));
    // A path may lead to a string in several ways.
    if (i > 0 && string == list_nth(strings, i - 1)) {
      continue;
    }
    varlena *const plaintext = DecryptString(keys, *string);
    ReplaceString(string, plaintext);
    plaintexts = lappend(plaintexts, plaintext);
  }
  return plaintexts;
}

}  // namespace
}  // namespace fernet::pg

// fernet_decrypt_json(document jsonb, path jsonpath) returns jsonb
FERNET_SQL_FUNCTION(fernet_decrypt_json) {
  namespace pg = fernet::pg;
  const pg::SessionKeys keys = pg::session_keys::Current();
  Jsonb *const document = PG_GETARG_JSONB_P(0);
  const void *const path = PG_DETOAST_DATUM(PG_GETARG_DATUM(1));
  pg::RequireLeafPath(path);
  JsonbValue tree = pg::UnpackJsonb(document);
  List *const strings = pg::FindStrings(&tree, path, NIL);
  if (strings == NIL) {
    PG_RETURN_JSONB_P(document);
  }
  List *const plaintexts = pg::DecryptStrings(keys, strings);
  Jsonb *const decrypted = JsonbValueToJsonb(&tree);
  for (int i = 0; i < list_length(plaintexts); ++i) {
    pg::WipeAndFree(static_cast<varlena *>(list_nth(plaintexts, i)), nullptr);
  }
  PG_RETURN_JSONB_P(decrypted);
}
