// SQL functions fernet_blind_index and fernet_blind_indexes, for text and
// bytea.

#include "pg/report/events.hpp"
#include "pg/server/boundary.hpp"
#include "pg/session/session_keys.hpp"
#include "pg/value/blind_index_value.hpp"
#include "pg/value/text_encoding.hpp"

namespace fernet::pg {
namespace {

// ArrayOf is the blind indexes of `plaintext` under each key, as an array.
Datum ArrayOf(const IndexKeys &keys, const BlindIndexForm &form,
              const varlena *plaintext) {
  const std::uint32_t count = keys.indexer->size();
  auto *const indexes = static_cast<Datum *>(palloc(count * sizeof(Datum)));
  for (std::uint32_t i = 0; i < count; ++i) {
    indexes[i] = PointerGetDatum(BlindIndexOf(keys, i, form, plaintext));
  }
  return PointerGetDatum(construct_array(indexes, static_cast<int>(count),
                                         BYTEAOID, -1, false, TYPALIGN_INT));
}

Datum IndexUnderFirst(const IndexKeys &keys, const BlindIndexForm &form,
                      const varlena *plaintext) {
  return PointerGetDatum(BlindIndexOf(keys, 0, form, plaintext));
}

using Compute = Datum(const IndexKeys &, const BlindIndexForm &,
                      const varlena *);

// ReadForm reads the arguments "context" and "bits". Errors must come before
// there is a copy of the plaintext.
BlindIndexForm ReadForm(FunctionCallInfo fcinfo) {
  static_cast<void>(session_keys::CurrentIndexKeys());
  return MakeBlindIndexForm(PG_GETARG_TEXT_PP(1), PG_GETARG_INT32(2));
}

Datum IndexOf(const BlindIndexForm &form, const varlena *plaintext,
              Compute compute) {
  const IndexKeys keys = session_keys::CurrentIndexKeys();
  const Datum result = compute(keys, form, plaintext);
  events::IndexKeyUsed("blind index", keys.list->keys()[0]);
  return result;
}

Datum IndexText(FunctionCallInfo fcinfo, Compute compute) {
  const BlindIndexForm form = ReadForm(fcinfo);
  text *const plaintext = PG_GETARG_TEXT_PP(0);
  varlena *const utf8 = TextToUtf8(plaintext);
  const Datum result = IndexOf(form, utf8, compute);
  WipeAndFree(utf8, plaintext);
  WipeAndFree(plaintext, PG_GETARG_POINTER(0));
  return result;
}

Datum IndexBytes(FunctionCallInfo fcinfo, Compute compute) {
  const BlindIndexForm form = ReadForm(fcinfo);
  bytea *const plaintext = PG_GETARG_BYTEA_PP(0);
  const Datum result = IndexOf(form, plaintext, compute);
  WipeAndFree(plaintext, PG_GETARG_POINTER(0));
  return result;
}

}  // namespace
}  // namespace fernet::pg

// fernet_blind_index(value text, context text, bits integer DEFAULT 256)
//   returns bytea
FERNET_SQL_FUNCTION(fernet_blind_index_text) {
  return fernet::pg::IndexText(fcinfo, fernet::pg::IndexUnderFirst);
}

// fernet_blind_index(value bytea, context text, bits integer DEFAULT 256)
//   returns bytea
FERNET_SQL_FUNCTION(fernet_blind_index_bytea) {
  return fernet::pg::IndexBytes(fcinfo, fernet::pg::IndexUnderFirst);
}

// fernet_blind_indexes(value text, context text, bits integer DEFAULT 256)
//   returns bytea[]
FERNET_SQL_FUNCTION(fernet_blind_indexes_text) {
  return fernet::pg::IndexText(fcinfo, fernet::pg::ArrayOf);
}

// fernet_blind_indexes(value bytea, context text, bits integer DEFAULT 256)
//   returns bytea[]
FERNET_SQL_FUNCTION(fernet_blind_indexes_bytea) {
  return fernet::pg::IndexBytes(fcinfo, fernet::pg::ArrayOf);
}
