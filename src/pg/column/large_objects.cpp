#include "pg/column/large_objects.hpp"

#include <cstring>

#include "core/recogniser.hpp"

extern "C" {
#include "access/genam.h"
#include "access/table.h"
#include "catalog/pg_largeobject.h"
#include "catalog/pg_largeobject_metadata.h"
#include "common/pg_prng.h"
#include "storage/large_object.h"
}

namespace fernet::pg {
namespace {

constexpr std::size_t kWindow = std::size_t{1} << 20;
constexpr std::size_t kLargestWindow = std::size_t{64} << 20;

// Stream is the bytes of one large object that have not been looked at yet.
struct Stream {
  SessionKeys keys;
  TokenTally tally = {};
  char *bytes;  // of `room`
  std::size_t room;
  std::size_t size = 0;
  bool is_first = true;  // nothing of it was looked at
  bool is_lost = false;  // its digits do not end
};

void Drop(Stream *stream, std::size_t size) {
  memmove(stream->bytes, stream->bytes + size, stream->size - size);
  stream->size -= size;
  stream->is_first = false;
}

// LookAtWindow looks at what no token goes on behind.
void LookAtWindow(Stream *stream) {
  const std::size_t size = SizeUpToOpenRun({stream->bytes, stream->size});
  if (size > 0) {
    TallyPart(stream->keys, {stream->bytes, size}, &stream->tally);
    Drop(stream, size);
  } else if (stream->room >= kLargestWindow) {
    stream->is_lost = true;
    ++stream->tally.too_many;
  }
}

void LookAtRest(Stream *stream) {
  if (stream->is_lost) {
    return;
  }
  if (stream->is_first && stream->size < kWindow) {
    varlena *const value = AllocateValue(stream->size);
    memcpy(VARDATA(value), stream->bytes, stream->size);
    TallyValue(stream->keys, PointerGetDatum(value), BYTEAOID, &stream->tally);
    pfree(value);
  } else {
    TallyPart(stream->keys, {stream->bytes, stream->size}, &stream->tally);
  }
}

void Append(Stream *stream, const char *bytes, std::size_t size) {
  if (stream->size + size > stream->room) {
    stream->room *= 2;
    stream->bytes =
        static_cast<char *>(repalloc_huge(stream->bytes, stream->room));
  }
  memcpy(stream->bytes + stream->size, bytes, size);
  stream->size += size;
  if (stream->size + LOBLKSIZE > stream->room) {
    LookAtWindow(stream);
  }
}

// AppendPage appends a page, which may be compressed. What is next to a hole in
// the object is not next to what is on its other side. `*end` is where the last
// page has ended.
void AppendPage(Stream *stream, HeapTuple tuple, std::int64_t *end) {
  const auto *const page =
      reinterpret_cast<const FormData_pg_largeobject *>(GETSTRUCT(tuple));
  auto *const stored =
      const_cast<varlena *>(reinterpret_cast<const varlena *>(&page->data));
  varlena *const data = pg_detoast_datum(stored);
  const auto bytes = ViewText(data);
  const std::int64_t begin = std::int64_t{page->pageno} * LOBLKSIZE;
  if (begin != *end) {
    Append(stream, "", 1);
  }
  *end = begin + static_cast<std::int64_t>(bytes.size());
  Append(stream, bytes.data(), bytes.size());
  if (data != stored) {
    pfree(data);
  }
}

void ReadObject(Relation pages, Relation index, Oid object, Stream *stream) {
  ScanKeyData key;
  ScanKeyInit(&key, Anum_pg_largeobject_loid, BTEqualStrategyNumber, F_OIDEQ,
              ObjectIdGetDatum(object));
  const SysScanDesc scan =
      systable_beginscan_ordered(pages, index, GetActiveSnapshot(), 1, &key);
  std::int64_t end = 0;
  HeapTuple tuple = nullptr;
  while (!stream->is_lost && (tuple = systable_getnext_ordered(
                                  scan, ForwardScanDirection)) != nullptr) {
    CHECK_FOR_INTERRUPTS();
    AppendPage(stream, tuple, &end);
  }
  systable_endscan_ordered(scan);
  LookAtRest(stream);
}

void SearchObject(const SearchRule &rule, Relation pages, Relation index,
                  Oid object) {
  const MemoryContext memory = AllocSetContextCreate(
      CurrentMemoryContext, "pg_fernet object", ALLOCSET_DEFAULT_SIZES);
  const MemoryContext caller_memory = MemoryContextSwitchTo(memory);
  Stream stream = {.keys = rule.keys,
                   .bytes = static_cast<char *>(palloc(kWindow)),
                   .room = kWindow};
  ReadObject(pages, index, object, &stream);
  if (stream.tally.has_any()) {
    rule.sink({.type = "large object",
               .tally = &stream.tally,
               .name = psprintf("large object %u", object)},
              rule.state);
  }
  MemoryContextSwitchTo(caller_memory);
  MemoryContextDelete(memory);
}

bool MayRead(Oid object) {
  return lo_compat_privileges ||
         pg_largeobject_aclcheck_snapshot(object, GetUserId(), ACL_SELECT,
                                          GetActiveSnapshot()) == ACLCHECK_OK;
}

bool IsChosen(double percent) {
  return percent >= 100 ||
         pg_prng_double(&pg_global_prng_state) * 100 < percent;
}

}  // namespace

LargeObjectCount SearchLargeObjects(const SearchRule &rule) {
  LargeObjectCount count;
  const Relation objects =
      table_open(LargeObjectMetadataRelationId, AccessShareLock);
  const Relation pages = table_open(LargeObjectRelationId, AccessShareLock);
  const Relation index = index_open(LargeObjectLOidPNIndexId, AccessShareLock);
  const SysScanDesc scan = systable_beginscan(objects, InvalidOid, false,
                                              GetActiveSnapshot(), 0, nullptr);
  HeapTuple tuple = nullptr;
  while ((tuple = systable_getnext(scan)) != nullptr) {
    CHECK_FOR_INTERRUPTS();
    const Oid object =
        reinterpret_cast<const FormData_pg_largeobject_metadata *>(
            GETSTRUCT(tuple))
            ->oid;
    ++count.objects;
    if (!MayRead(object)) {
      ++count.forbidden;
    } else if (IsChosen(rule.percent)) {
      ++count.read;
      SearchObject(rule, pages, index, object);
    }
  }
  systable_endscan(scan);
  index_close(index, AccessShareLock);
  table_close(pages, AccessShareLock);
  table_close(objects, AccessShareLock);
  return count;
}

}  // namespace fernet::pg
