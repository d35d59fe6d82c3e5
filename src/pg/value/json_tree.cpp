#include "pg/value/json_tree.hpp"

#include <algorithm>

#include "pg/server/raise.hpp"

extern "C" {
#include "utils/jsonpath.h"
}

namespace fernet::pg {
namespace {

JsonbValue Unpack(JsonbContainer *container);

void UnpackItem(JsonbIterator **iterator, JsonbValue *out) {
  JsonbIteratorNext(iterator, out, true);
  if (out->type == jbvBinary) {
    *out = Unpack(out->val.binary.data);
  }
}

JsonbValue Unpack(JsonbContainer *container) {
  check_stack_depth();
  CHECK_FOR_INTERRUPTS();
  JsonbIterator *iterator = JsonbIteratorInit(container);
  JsonbValue outer;
  if (JsonbIteratorNext(&iterator, &outer, true) == WJB_BEGIN_ARRAY) {
    const auto size = static_cast<std::size_t>(outer.val.array.nElems);
    outer.val.array.elems = static_cast<JsonbValue *>(MemoryContextAllocHuge(
        CurrentMemoryContext, Max(size, 1) * sizeof(JsonbValue)));
    for (JsonbValue &item : std::span(outer.val.array.elems, size)) {
      UnpackItem(&iterator, &item);
    }
    return outer;
  }
  const auto size = static_cast<std::size_t>(outer.val.object.nPairs);
  outer.val.object.pairs = static_cast<JsonbPair *>(MemoryContextAllocHuge(
      CurrentMemoryContext, Max(size, 1) * sizeof(JsonbPair)));
  for (JsonbPair &pair : std::span(outer.val.object.pairs, size)) {
    pair.order = 0;
    UnpackItem(&iterator, &pair.key);
    UnpackItem(&iterator, &pair.value);
  }
  return outer;
}

std::span<JsonbValue> ElementsOf(const JsonbValue &array) {
  return {array.val.array.elems,
          static_cast<std::size_t>(array.val.array.nElems)};
}

std::span<JsonbPair> PairsOf(const JsonbValue &object) {
  return {object.val.object.pairs,
          static_cast<std::size_t>(object.val.object.nPairs)};
}

bool IsContainer(const JsonbValue &item) {
  return item.type == jbvArray || item.type == jbvObject;
}

// Search is where a path leads, as the server's jsonpath_exec.c follows it.
struct Search {
  bool is_lax;
  bool ignores_errors;  // of the structure, as a lax path and below "**"
  List *strings;
};

[[noreturn]] void RaiseMissing(int sqlstate, const char *what) {
  FERNET_RAISE(sqlstate, errmsg("jsonpath is strict, and %s", what),
               errhint("A path without \"strict\" leads to nothing there."));
}

void Follow(Search *search, JsonPathItem *step, JsonbValue *at, bool unwraps);

void FollowNext(Search *search, JsonPathItem *step, JsonbValue *at) {
  JsonPathItem next;
  if (jspGetNext(step, &next)) {
    Follow(search, &next, at, search->is_lax);
  } else if (at->type == jbvString) {
    search->strings = lappend(search->strings, at);
  }
}

// FollowElements takes the step `step` in each element of an array.
void FollowElements(Search *search, JsonPathItem *step,
                    const JsonbValue &array) {
  for (JsonbValue &element : ElementsOf(array)) {
    Follow(search, step, &element, false);
  }
}

void FollowKey(Search *search, JsonPathItem *step, JsonbValue *at,
               bool unwraps) {
  if (unwraps && at->type == jbvArray) {
    FollowElements(search, step, *at);
    return;
  }
  int32 size = 0;
  const char *const key = jspGetString(step, &size);
  bool is_found = false;
  for (JsonbPair &pair :
       at->type == jbvObject ? PairsOf(*at) : std::span<JsonbPair>()) {
    const auto &name = pair.key.val.string;
    if (name.len == size &&
        memcmp(name.val, key, static_cast<std::size_t>(size)) == 0) {
      is_found = true;
      FollowNext(search, step, &pair.value);
    }
  }
  if (!is_found && !search->ignores_errors) {
    RaiseMissing(ERRCODE_SQL_JSON_MEMBER_NOT_FOUND,
                 "an object has no member of its name");
  }
}

void FollowAnyKey(Search *search, JsonPathItem *step, JsonbValue *at,
                  bool unwraps) {
  if (at->type == jbvObject) {
    for (JsonbPair &pair : PairsOf(*at)) {
      FollowNext(search, step, &pair.value);
    }
  } else if (unwraps && at->type == jbvArray) {
    FollowElements(search, step, *at);
  } else if (!search->ignores_errors) {
    RaiseMissing(ERRCODE_SQL_JSON_OBJECT_NOT_FOUND,
                 "what it takes for an object is none");
  }
}

void FollowAnyArray(Search *search, JsonPathItem *step, JsonbValue *at) {
  if (at->type == jbvArray) {
    for (JsonbValue &element : ElementsOf(*at)) {
      FollowNext(search, step, &element);
    }
  } else if (search->is_lax) {
    FollowNext(search, step, at);
  } else if (!search->ignores_errors) {
    RaiseMissing(ERRCODE_SQL_JSON_ARRAY_NOT_FOUND,
                 "what it takes for an array is none");
  }
}

JsonPath *PathOf(const void *path) {
  return static_cast<JsonPath *>(const_cast<void *>(path));
}

// SubscriptOf is the number of `subscript` in an array of `size` elements.
std::int64_t SubscriptOf(JsonPathItem *subscript, std::int64_t size) {
  if (subscript->type == jpiLast) {
    return size - 1;
  }
  const Datum number = DirectFunctionCall2(
      numeric_trunc, NumericGetDatum(jspGetNumeric(subscript)),
      Int32GetDatum(0));
  return DatumGetInt32(DirectFunctionCall1(numeric_int4, number));
}

void FollowIndexArray(Search *search, JsonPathItem *step, JsonbValue *at) {
  if (at->type != jbvArray && !search->is_lax) {
    if (!search->ignores_errors) {
      RaiseMissing(ERRCODE_SQL_JSON_ARRAY_NOT_FOUND,
                   "what it takes for an array is none");
    }
    return;
  }
  const std::span<JsonbValue> items =
      at->type == jbvArray ? ElementsOf(*at) : std::span(at, 1);
  const auto size = static_cast<std::int64_t>(items.size());
  for (int i = 0; i < step->content.array.nelems; ++i) {
    JsonPathItem first;
    JsonPathItem last;
    const bool is_range = jspGetArraySubscript(step, &first, &last, i);
    const std::int64_t from = SubscriptOf(&first, size);
    const std::int64_t to = is_range ? SubscriptOf(&last, size) : from;
    if ((from < 0 || from > to || to >= size) && !search->ignores_errors) {
      RaiseMissing(ERRCODE_INVALID_SQL_JSON_SUBSCRIPT,
                   "a subscript is out of bounds");
    }
    for (std::int64_t n = std::max<std::int64_t>(from, 0);
         n <= std::min(to, size - 1); ++n) {
      FollowNext(search, step, &items[static_cast<std::size_t>(n)]);
    }
  }
}

void FollowBelow(Search *search, JsonPathItem *step, JsonbValue *at,
                 std::uint32_t level);

// FollowAny goes on from `item` and from all that is in it, at the depths that
// "**" names.
void FollowAny(Search *search, JsonPathItem *step, JsonbValue *item,
               std::uint32_t level) {
  const auto &bounds = step->content.anybounds;
  const bool is_leaf_wanted =
      bounds.first == PG_UINT32_MAX && bounds.last == PG_UINT32_MAX;
  if (level >= bounds.first || (is_leaf_wanted && !IsContainer(*item))) {
    const bool ignored = search->ignores_errors;
    search->ignores_errors = true;
    FollowNext(search, step, item);
    search->ignores_errors = ignored;
  }
  if (level < bounds.last) {
    FollowBelow(search, step, item, level + 1);
  }
}

void FollowBelow(Search *search, JsonPathItem *step, JsonbValue *at,
                 std::uint32_t level) {
  check_stack_depth();
  if (at->type == jbvArray) {
    for (JsonbValue &element : ElementsOf(*at)) {
      FollowAny(search, step, &element, level);
    }
  } else if (at->type == jbvObject) {
    for (JsonbPair &pair : PairsOf(*at)) {
      FollowAny(search, step, &pair.value, level);
    }
  }
}

void Follow(Search *search, JsonPathItem *step, JsonbValue *at, bool unwraps) {
  check_stack_depth();
  CHECK_FOR_INTERRUPTS();
  switch (step->type) {
    case jpiRoot:
      FollowNext(search, step, at);
      return;
    case jpiKey:
      FollowKey(search, step, at, unwraps);
      return;
    case jpiAnyKey:
      FollowAnyKey(search, step, at, unwraps);
      return;
    case jpiAnyArray:
      FollowAnyArray(search, step, at);
      return;
    case jpiIndexArray:
      FollowIndexArray(search, step, at);
      return;
    case jpiAny:
      if (step->content.anybounds.first == 0) {
        FollowAny(search, step, at, 0);
      } else {
        FollowBelow(search, step, at, 1);
      }
      return;
    default:
      FERNET_RAISE(ERRCODE_INTERNAL_ERROR, errmsg("unexpected step of a path"));
  }
}

bool IsSubscript(const JsonPathItem &item) {
  return (item.type == jpiNumeric || item.type == jpiLast) &&
         !jspHasNext(&item);
}

bool HasPlainSubscripts(JsonPathItem *step) {
  for (int i = 0; i < step->content.array.nelems; ++i) {
    JsonPathItem first;
    JsonPathItem last;
    const bool is_range = jspGetArraySubscript(step, &first, &last, i);
    if (!IsSubscript(first) || (is_range && !IsSubscript(last))) {
      return false;
    }
  }
  return true;
}

bool IsStep(JsonPathItem *step) {
  return step->type == jpiKey || step->type == jpiAnyKey ||
         step->type == jpiAnyArray || step->type == jpiAny ||
         (step->type == jpiIndexArray && HasPlainSubscripts(step));
}

}  // namespace

JsonbValue UnpackJsonb(Jsonb *document) { return Unpack(&document->root); }

void RequireLeafPath(const void *path) {
  JsonPathItem step;
  JsonPathItem next;
  jspInit(&step, PathOf(path));
  bool is_followed = step.type == jpiRoot;
  while (is_followed && jspGetNext(&step, &next)) {
    step = next;
    is_followed = IsStep(&step);
  }
  if (!is_followed) {
    FERNET_RAISE(
        ERRCODE_FEATURE_NOT_SUPPORTED,
        errmsg("jsonpath has a step that is not the way to a string in the "
               "document"),
        errhint("Use members, elements and \"**\", as in $.a, $.*, $[0], $[*] "
                "and $.**.token; no filters, methods or variables."));
  }
}

List *FindStrings(JsonbValue *tree, const void *path, List *strings) {
  const bool is_lax = (PathOf(path)->header & JSONPATH_LAX) != 0;
  Search search = {
      .is_lax = is_lax, .ignores_errors = is_lax, .strings = strings};
  const bool is_scalar = tree->type == jbvArray && tree->val.array.rawScalar;
  JsonPathItem root;
  jspInit(&root, PathOf(path));
  Follow(&search, &root, is_scalar ? tree->val.array.elems : tree, is_lax);
  return search.strings;
}

varlena *CopyOfString(const JsonbValue &string) {
  const auto size = static_cast<std::size_t>(string.val.string.len);
  varlena *const copy = AllocateValue(size);
  memcpy(VARDATA(copy), string.val.string.val, size);
  return copy;
}

void ReplaceString(JsonbValue *string, const varlena *value) {
  string->val.string.val = const_cast<char *>(VARDATA_ANY(value));
  string->val.string.len = static_cast<int>(VARSIZE_ANY_EXHDR(value));
}

}  // namespace fernet::pg
