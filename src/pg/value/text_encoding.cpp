#include "pg/value/text_encoding.hpp"

#include "pg/report/report.hpp"
#include "pg/server/interrupts.hpp"

namespace fernet::pg {
namespace {

void Wipe(varlena *value) {
  OPENSSL_cleanse(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

bool IsValid(int encoding, const varlena *value) {
  return pg_verify_mbstr(encoding, VARDATA_ANY(value),
                         static_cast<int>(VARSIZE_ANY_EXHDR(value)), true);
}

// NeedsNoConversion: SQL_ASCII has no encoding of its own, so the bytes of a
// plaintext count as UTF-8 there.
bool NeedsNoConversion() {
  return GetDatabaseEncoding() == PG_UTF8 ||
         GetDatabaseEncoding() == PG_SQL_ASCII;
}

// A value is converted in pieces through a buffer of this size: for the whole
// value, the server's function needs a buffer of four times its size.
constexpr std::size_t kPieceSize = 16384;

struct Conversion {
  Oid function;
  int from;
  int to;
};

// ConvertPieces converts `value` and stores the size of the result in
// `*out_size`, and the result in `out` unless that is null. Returns false when
// `value` holds a character that the other encoding lacks: the server's own
// error would quote that character.
bool ConvertPieces(const Conversion &conversion, const varlena *value,
                   char *out, std::size_t *out_size) {
  auto *const piece = static_cast<unsigned char *>(palloc(kPieceSize));
  auto *in =
      reinterpret_cast<unsigned char *>(const_cast<char *>(VARDATA_ANY(value)));
  std::size_t left = VARSIZE_ANY_EXHDR(value);
  std::size_t size = 0;
  int converted = 1;
  bool go_on = true;
  while (left > 0 && converted > 0 && go_on) {
    converted = pg_do_encoding_conversion_buf(
        conversion.function, conversion.from, conversion.to, in,
        static_cast<int>(left), piece, static_cast<int>(kPieceSize), true);
    const std::size_t made =
        converted > 0 ? strlen(reinterpret_cast<char *>(piece)) : 0;
    if (out != nullptr) {
      memcpy(out + size, piece, made);
    }
    size += made;
    in += converted;
    left -= static_cast<std::size_t>(converted);
    go_on = MayGoOn();
  }
  OPENSSL_cleanse(piece, kPieceSize);
  if (!go_on) {
    OPENSSL_cleanse(out, out == nullptr ? 0 : size);
    RaiseIfStopped(Status::kStopped);
  }
  pfree(piece);
  *out_size = size;
  return left == 0;
}

// Convert is `value` in the other encoding, or null; see ConvertPieces.
varlena *Convert(const varlena *value, int from, int to) {
  const Conversion conversion = {FindDefaultConversionProc(from, to), from, to};
  std::size_t size = 0;
  if (!OidIsValid(conversion.function) ||
      !ConvertPieces(conversion, value, nullptr, &size)) {
    return nullptr;
  }
  if (size > kMaxValueSize) {
    FERNET_RAISE(
        ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        errmsg("value is too large in the other encoding"),
        errdetail("The converted value would have %zu bytes; the limit is %zu.",
                  size, kMaxValueSize));
  }
  varlena *const result = AllocateValue(size);
  static_cast<void>(ConvertPieces(conversion, value, VARDATA(result), &size));
  return result;
}

}  // namespace

const varlena *TryTextToUtf8(const varlena *text) {
  if (!NeedsNoConversion()) {
    return Convert(text, GetDatabaseEncoding(), PG_UTF8);
  }
  const bool is_utf8 =
      GetDatabaseEncoding() == PG_UTF8 || IsValid(PG_UTF8, text);
  return is_utf8 ? text : nullptr;
}

varlena *TextToUtf8(varlena *text) {
  const varlena *const utf8 = TryTextToUtf8(text);
  if (utf8 == nullptr) {
    FERNET_RAISE(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE,
                 errmsg("plaintext cannot be converted to UTF-8"),
                 errhint("Pass the plaintext as bytea."));
  }
  return const_cast<varlena *>(utf8);
}

varlena *TryUtf8ToText(varlena *utf8) {
  varlena *text = nullptr;
  if (IsValid(PG_UTF8, utf8)) {
    text = NeedsNoConversion() ? utf8
                               : Convert(utf8, PG_UTF8, GetDatabaseEncoding());
  }
  WipeAndFree(utf8, text);
  return text;
}

varlena *Utf8ToText(varlena *utf8) {
  varlena *const text = TryUtf8ToText(utf8);
  if (text == nullptr) {
    FERNET_RAISE(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE,
                 errmsg("decrypted value is not text in the encoding \"%s\"",
                        GetDatabaseEncodingName()),
                 errhint("Use fernet_decrypt_bytea."));
  }
  return text;
}

void WipeAndFree(varlena *value, const void *original) {
  if (value != original) {
    Wipe(value);
    pfree(value);
  }
}

}  // namespace fernet::pg
