#include "pg/text_encoding.hpp"

#include <algorithm>

#include "pg/report.hpp"

namespace fernet::pg {
namespace {

void Wipe(varlena *value) {
  OPENSSL_cleanse(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

bool IsValid(int encoding, const varlena *value) {
  return pg_verify_mbstr(encoding, VARDATA_ANY(value),
                         static_cast<int>(VARSIZE_ANY_EXHDR(value)), true);
}

// NeedsNoConversion: SQL_ASCII is whatever its bytes are, so the bytes of a
// plaintext are looked upon as UTF-8 there.
bool NeedsNoConversion() {
  return GetDatabaseEncoding() == PG_UTF8 ||
         GetDatabaseEncoding() == PG_SQL_ASCII;
}

// Convert is `value` converted, or null when it holds a character that the
// other encoding lacks. The server's own conversions would quote that
// character in their error.
varlena *Convert(const varlena *value, int from, int to) {
  const Oid function = FindDefaultConversionProc(from, to);
  if (!OidIsValid(function)) {
    return nullptr;
  }
  const std::size_t size = VARSIZE_ANY_EXHDR(value);
  // The server's bound for growth, and its terminating NUL. Beyond the limit
  // of a value it converts less than all, which is told from the return value.
  const std::size_t room = std::min<std::size_t>(
      size * MAX_CONVERSION_GROWTH + MAX_CONVERSION_GROWTH + 1, kMaxValueSize);
  varlena *const result = AllocateValue(room);
  auto *const in = reinterpret_cast<unsigned char *>(
      const_cast<char *>(VARDATA_ANY(value)));
  auto *const out = reinterpret_cast<unsigned char *>(VARDATA(result));
  const int converted = pg_do_encoding_conversion_buf(
      function, from, to, in, static_cast<int>(size), out,
      static_cast<int>(room), true);
  if (static_cast<std::size_t>(converted) != size) {
    WipeAndFree(result, nullptr);
    return nullptr;
  }
  SetValueSize(result, strlen(VARDATA(result)));
  return result;
}

}  // namespace

varlena *TextToUtf8(varlena *text) {
  if (NeedsNoConversion()) {
    if (GetDatabaseEncoding() == PG_SQL_ASCII && !IsValid(PG_UTF8, text)) {
      DropContext();
      ereport(ERROR, errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
              errmsg("plaintext is not valid UTF-8"),
              errhint("Pass it as bytea."), HideStatement());
    }
    return text;
  }
  varlena *const utf8 = Convert(text, GetDatabaseEncoding(), PG_UTF8);
  if (utf8 == nullptr) {
    DropContext();
    ereport(ERROR, errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
            errmsg("plaintext cannot be converted to UTF-8"),
            errhint("Pass it as bytea."), HideStatement());
  }
  return utf8;
}

varlena *Utf8ToText(varlena *utf8) {
  varlena *text = nullptr;
  if (IsValid(PG_UTF8, utf8)) {
    text = NeedsNoConversion()
               ? utf8
               : Convert(utf8, PG_UTF8, GetDatabaseEncoding());
  }
  if (text == nullptr) {
    WipeAndFree(utf8, nullptr);
    DropContext();
    ereport(ERROR, errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
            errmsg("decrypted value is not text in the encoding \"%s\"",
                   GetDatabaseEncodingName()),
            errhint("Use fernet_decrypt_bytea."), HideStatement());
  }
  WipeAndFree(utf8, text);
  return text;
}

void WipeAndFree(varlena *value, const void *original) {
  if (value != original) {
    Wipe(value);
    pfree(value);
  }
}

}  // namespace fernet::pg
