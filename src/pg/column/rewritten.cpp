#include "pg/column/rewritten.hpp"

#include <utility>

namespace fernet::pg {
namespace {

constinit Rewrite current;

}  // namespace

Rewrite Announce(const Rewrite &rewrite) {
  return std::exchange(current, rewrite);
}

bool SameBytes(const varlena *one, const varlena *other) {
  const Datum first = PointerGetDatum(one);
  const Datum second = PointerGetDatum(other);
  return datumIsEqual(first, second, false, -1) ||
         datum_image_eq(first, second, false, -1);
}

bool IsRewritten(Relation relation, const HeapTupleData &old,
                 AttrNumber attribute, const varlena *value) {
  ItemPointerData place = old.t_self;
  if (current.target == nullptr ||
      RelationGetRelid(current.target->relation) !=
          RelationGetRelid(relation) ||
      !ItemPointerEquals(&current.place, &place)) {
    return false;
  }
  for (std::size_t i = 0; i < current.target->columns.size(); ++i) {
    if (current.target->columns[i].attribute == attribute) {
      return current.values[i].is_set && !current.values[i].is_null &&
             SameBytes(reinterpret_cast<const varlena *>(
                           DatumGetPointer(current.values[i].value)),
                       value);
    }
  }
  return false;
}

}  // namespace fernet::pg
