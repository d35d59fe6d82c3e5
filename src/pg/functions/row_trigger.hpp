// What the triggers of this extension that are fired before each row have in
// common.
#pragma once

#include "pg/server/boundary.hpp"

namespace fernet::pg {

// RowTrigger says how a function is to be called.
struct RowTrigger {
  const char *function;   // its name
  const char *arguments;  // of an example, in quotation marks
};

// RefuseCall raises 39P01. `rule` completes a sentence that begins with the
// function.
[[noreturn]] void RefuseCall(const RowTrigger &trigger, const char *rule);

// RequireRowTrigger returns how the function was fired: before INSERT or UPDATE
// of a row. Otherwise it raises 39P01.
const TriggerData *RequireRowTrigger(FunctionCallInfo fcinfo,
                                     const RowTrigger &trigger);

// RootOf is the table at the root of `relation`, a partition; otherwise
// InvalidOid.
Oid RootOf(Relation relation);

// LinkUntilReset puts `item` at the head of a list until its `memory` is reset
// or deleted. An Item has the members next, unlink and memory.
//
// When an UPDATE moves a row to another partition, PostgreSQL fires the
// triggers BEFORE UPDATE there and the triggers BEFORE INSERT here, and does
// not tell these the old row. Such a list is of the partitions of the
// statements that are running.
template <typename Item, Item **kList>
void LinkUntilReset(Item *item) {
  item->next = *kList;
  *kList = item;
  // cppcheck-suppress constParameter ; the type of a callback of the server
  item->unlink.func = [](void *gone) {
    Item **link = kList;
    while (*link != gone) {
      link = &(*link)->next;
    }
    *link = (*link)->next;
  };
  item->unlink.arg = item;
  MemoryContextRegisterResetCallback(item->memory, &item->unlink);
}

}  // namespace fernet::pg
