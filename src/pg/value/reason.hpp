#pragma once

namespace fernet::pg {

// Reason is why a value was not changed.
enum class Reason {
  kMalformed,       // the value is not a token
  kHoldsToken,      // the value holds a token, and is none
  kPartHoldsToken,  // a string or a key of the document holds one, and is none
  kTooManyCandidates,  // too much in the value looks like a token
  kNoKeyOpens,         // no key of the session decrypts it
  kUnknownInside,      // its plaintext holds a token that no key decrypts
  kHoldsUnknown,       // it is none, and holds a token that no key decrypts
  kHoldsRemnant,       // it is none, and holds one that was cut or changed
  kNotRead,            // a part of it is of a type that cannot be searched
  kNotText,            // the plaintext cannot be converted
  kTooLarge,           // the token would be larger than a value can be
  kTooLong,            // the column has no room for the new value
  kPlaintextIsToken,   // the plaintext would be taken for a token again
  kSuppressed,         // a BEFORE trigger suppressed the update
  kRefused,            // a constraint, an index or a trigger raised an error
  kUnreadable,         // the stored value is damaged
  kLocked,             // another transaction holds the row
};

}  // namespace fernet::pg
