// What a value of a type is made of, as far as tokens can be in it.
#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg {

enum class ValueForm {
  kWithoutTokens,  // too small, or numbers
  kText,           // bytes that may be a token: text, bytea and their like
  kJson,           // the text of a document
  kJsonb,
  kHstore,
  kXml,
  kArray,
  kComposite,
  kRange,
  kMultirange,
  kDomain,
  kNotRead,  // any other type: there may be tokens in it, nobody has looked
};

// FormOf is the form of the values of `type`. A type of an extension counts as
// text if its input function is that of text, as citext's is.
ValueForm FormOf(Oid type);

// MayHoldTokens says whether there can be a token in values of `type` that
// VisitLeaves finds. IsHolder says so of a type whose values are no tokens.
bool MayHoldTokens(Oid type);
bool IsHolder(Oid type);

}  // namespace fernet::pg
