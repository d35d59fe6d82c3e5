// Between the database encoding and UTF-8, which is what a token's plaintext
// is in, whatever database wrote it.
#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg {

// TryTextToUtf8 is the UTF-8 form of `text`: the text itself where it is that
// already, else a new value for WipeAndFree. Null for text that has none.
const varlena *TryTextToUtf8(const varlena *text);
// TextToUtf8 likewise; raises 22021, which quotes no character, instead.
varlena *TextToUtf8(varlena *text);

// TryUtf8ToText is the text of `utf8`, a value that the caller has allocated:
// that same value, or a new one, with `utf8` wiped and freed. Null for bytes
// that are no text in the database encoding; `utf8` is wiped and freed then.
varlena *TryUtf8ToText(varlena *utf8);
// Utf8ToText likewise; raises 22021, which quotes no character, instead.
varlena *Utf8ToText(varlena *utf8);

// WipeAndFree wipes and frees `value` unless it is `original`: the rule for a
// value that may be a copy of ours or an argument.
void WipeAndFree(varlena *value, const void *original);

}  // namespace fernet::pg
