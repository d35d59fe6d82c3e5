// A jsonb document as a tree, and the strings in it to which a path leads.
#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg {

// UnpackJsonb is the tree of `document`, for JsonbValueToJsonb. Its strings and
// numbers stand in `document`, which must stay.
JsonbValue UnpackJsonb(Jsonb *document);

// RequireLeafPath raises 0A000 if the jsonpath `path` has a step that
// FindStrings cannot follow: it follows members, elements, and all that is
// below. A filter or a method makes new items, and says nothing of where they
// are.
void RequireLeafPath(const void *path);

// FindStrings adds the strings of `*tree` at `path`, which RequireLeafPath has
// passed, to `strings`, a List of JsonbValue pointers into the tree. One may be
// there several times. It follows the path as jsonb_path_query does, and raises
// what a strict path raises.
List *FindStrings(JsonbValue *tree, const void *path, List *strings);

// CopyOfString is `string` as a text of its own.
varlena *CopyOfString(const JsonbValue &string);

// ReplaceString makes `*string` the text `value`, which must stay.
void ReplaceString(JsonbValue *string, const varlena *value);

}  // namespace fernet::pg
