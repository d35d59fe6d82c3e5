// Between the database encoding and UTF-8, which is what a token's plaintext
// is in, whatever database wrote it.
#pragma once

#include "pg/boundary.hpp"

namespace fernet::pg {

// TextToUtf8 is the UTF-8 form of `text`: the text itself where it is that
// already, else a new value for WipeAndFree. Raises 22021, which quotes no
// character, for text that has no UTF-8 form.
varlena *TextToUtf8(varlena *text);

// Utf8ToText is the text of `utf8`, a value that the caller has allocated:
// that same value, or a new one, with `utf8` wiped and freed. Raises 22021 for
// bytes that are no text in the database encoding; `utf8` is wiped then.
varlena *Utf8ToText(varlena *utf8);

// WipeAndFree wipes and frees `value` unless it is `original`: the rule for a
// value that may be a copy of ours or an argument.
void WipeAndFree(varlena *value, const void *original);

}  // namespace fernet::pg
