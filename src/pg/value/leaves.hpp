// The leaves of a value: its texts and bytes, however deep in arrays,
// documents and rows they are.
#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg {

// LeafVisitor is told of the leaves of a value. The caller sets `visit`.
struct LeafVisitor {
  // Visit returns null, or a new value with as many bytes that takes the place
  // of `leaf`.
  varlena *(*visit)(LeafVisitor *self, std::span<const char> leaf);
  bool is_done = false;       // `visit` sets it, to leave out all other leaves
  Oid not_read = InvalidOid;  // the first type in which nobody has looked
  List *changed_domains = NIL;  // for CheckDomains
};

// VisitLeaves visits the leaves of `value`, of type `type`, in which there can
// be a token or what is left of one (MayHoldPlaces). Returns `value`, or, if
// one has changed, a new value in the current memory context that is rebuilt
// with the new leaves; the rest of it is as it was.
//
// The keys of objects are leaves as well. The texts of a value of type json
// are visited as they are written, with escapes.
//
// Reading calls no function of a type but the output function of hstore. For a
// new value, it raises what the type says to that: the bounds of a range may
// be in the wrong order.
Datum VisitLeaves(Datum value, Oid type, LeafVisitor *visitor);

// CheckDomains checks what VisitLeaves has changed against the constraints of
// its domains. It is apart from that because it runs code of others, which may
// take the key away.
void CheckDomains(const LeafVisitor &visitor);

}  // namespace fernet::pg
