// Conversions between the database encoding and UTF-8. The plaintext of a token
// is UTF-8 in every database.
#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg {

// TryTextToUtf8 is the UTF-8 form of `text`: `text` itself if it is UTF-8
// already, else a new value for WipeAndFree. Null for text without a UTF-8
// form.
const varlena *TryTextToUtf8(const varlena *text);
// TextToUtf8 likewise, but instead of null it raises 22021, which quotes no
// character.
varlena *TextToUtf8(varlena *text);

// TryUtf8ToText is the text of `utf8`, a value that the caller has allocated:
// `utf8` itself, or a new value after it has wiped and freed `utf8`. Null for
// bytes that are not text in the database encoding; `utf8` is then wiped and
// freed.
varlena *TryUtf8ToText(varlena *utf8);
// Utf8ToText likewise, but instead of null it raises 22021, which quotes no
// character.
varlena *Utf8ToText(varlena *utf8);

// WipeAndFree wipes and frees `value` unless it is `original`: for a value that
// may be an argument or our copy of one.
void WipeAndFree(varlena *value, const void *original);

}  // namespace fernet::pg
