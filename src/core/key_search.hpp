// Where a text holds what looks like a key.
#pragma once

#include <span>

namespace fernet {

// HoldsKey says whether a word of `text` looks like a Fernet key: 43 characters
// that ParseKey accepts, between characters that are not base64url's. A key in
// percent-encoding, or after a backslash's escape, is a word as well. Without
// the '=' a word needs capitals, small letters and digits, as all but one of a
// thousand random keys have, and must not follow a dot: names have the alphabet
// of a key, and the signature of a JSON web token its length. The parts of a
// SCRAM secret are no keys. It looks at nothing twice, and keeps nothing.
bool HoldsKey(std::span<const char> text) noexcept;

}  // namespace fernet
