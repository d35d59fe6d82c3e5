#include "pg/column/job_lock.hpp"

#include "pg/report/report.hpp"

namespace fernet::pg {
namespace {

// Our own kind of advisory locks: those of pg_advisory_lock have 1 or 2 in the
// last field. They belong to the session, because they must outlive commits.
constexpr uint16 kLockClass = 0xfe;

LOCKTAG JobLock(Oid relation, std::uint32_t part) {
  LOCKTAG tag;
  SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, relation, part, kLockClass);
  return tag;
}

struct HeldLock {
  LOCKTAG tag;
  LOCKMODE mode;
  MemoryContextCallback release;
};

void LockUntilEndOfJob(MemoryContext job_memory, Oid relation,
                       std::uint32_t part, LOCKMODE mode) {
  auto *const held =
      static_cast<HeldLock *>(MemoryContextAlloc(job_memory, sizeof(HeldLock)));
  held->tag = JobLock(relation, part);
  held->mode = mode;
  if (LockAcquire(&held->tag, mode, true, true) == LOCKACQUIRE_NOT_AVAIL) {
    FERNET_RAISE(
        ERRCODE_OBJECT_IN_USE,
        errmsg("another rotation of \"%s\" is running", get_rel_name(relation)),
        errhint("Wait until it ends. To share the work, give each CALL its own "
                "\"slice\" and the same \"slices\"."));
  }
  held->release.func = [](void *argument) {
    const auto *const lock = static_cast<HeldLock *>(argument);
    LockRelease(&lock->tag, lock->mode, true);
  };
  held->release.arg = held;
  MemoryContextRegisterResetCallback(job_memory, &held->release);
}

}  // namespace

std::uint32_t LockPart(AttrNumber attribute, int slice) {
  return static_cast<std::uint32_t>(attribute) * 2048 +
         static_cast<std::uint32_t>(slice);
}

// TakeTurn keeps two jobs off the same rows, where each would find the other's
// locks: a job on the whole table excludes all others, a slice excludes the
// same slice.
void TakeTurn(MemoryContext job_memory, Oid relation, AttrNumber attribute,
              int slice, int slices) {
  LockUntilEndOfJob(job_memory, relation, LockPart(attribute, 0),
                    slices == 1 ? ExclusiveLock : RowExclusiveLock);
  if (slices > 1) {
    LockUntilEndOfJob(job_memory, relation, LockPart(attribute, slice),
                      ExclusiveLock);
  }
}

}  // namespace fernet::pg
