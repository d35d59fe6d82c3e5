#include "pg/column/job_lock.hpp"

#include "pg/report/report.hpp"

extern "C" {
#include "storage/proc.h"
#include "storage/procarray.h"
}

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

bool IsHeldAs(const LockInstanceData &lock, const LOCKTAG &tag) {
  return lock.holdMask != 0 && lock.pid != MyProcPid &&
         memcmp(&lock.locktag, &tag, sizeof tag) == 0;
}

// HolderOf is the process that holds the lock `tag`, of several any one, or 0
// if it has let it go meanwhile. It looks at all locks of the server, as
// pg_locks does.
int HolderOf(const LOCKTAG &tag) {
  const LockData *const locks = GetLockStatusData();
  for (int i = 0; i < locks->nelements; ++i) {
    if (IsHeldAs(locks->locks[i], tag)) {
      return locks->locks[i].pid;
    }
  }
  return 0;
}

// RoleOf is the name of the role that the process `pid` is a session of, or
// null. pg_stat_activity shows it to everybody.
const char *RoleOf(int pid) {
  const PGPROC *const process = BackendPidGetProc(pid);
  return process == nullptr ? nullptr
                            : GetUserNameFromId(process->roleId, true);
}

[[noreturn]] void ReportOtherJob(Oid relation, int holder) {
  const char *const role = holder == 0 ? nullptr : RoleOf(holder);
  FERNET_RAISE(
      ERRCODE_OBJECT_IN_USE,
      errmsg("another job on \"%s\" is running", get_rel_name(relation)),
      role == nullptr ? 0
                      : errdetail("The session with process ID %d runs it. It "
                                  "belongs to role \"%s\".",
                                  holder, role),
      errhint("Wait until it ends, or cancel it with pg_cancel_backend(). To "
              "share a rotation, give each CALL its own \"slice\" and the same "
              "\"slices\"."));
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
    ReportOtherJob(relation, HolderOf(held->tag));
  }
  held->release.func = [](void *argument) {
    const auto *const lock = static_cast<HeldLock *>(argument);
    LockRelease(&lock->tag, lock->mode, true);
  };
  held->release.arg = held;
  MemoryContextRegisterResetCallback(job_memory, &held->release);
}

}  // namespace

std::uint32_t LockPart(int slice) {
  return static_cast<std::uint32_t>(slice) + 1;
}

void RequireNoOtherJob(const List *tables) {
  const LockData *const locks = GetLockStatusData();
  for (int i = 0; i < locks->nelements; ++i) {
    const LockInstanceData &lock = locks->locks[i];
    const LOCKTAG &tag = lock.locktag;
    if (tag.locktag_type == LOCKTAG_ADVISORY &&
        tag.locktag_field1 == MyDatabaseId &&
        tag.locktag_field4 == kLockClass && lock.holdMask != 0 &&
        lock.pid != MyProcPid && list_member_oid(tables, tag.locktag_field2)) {
      ReportOtherJob(tag.locktag_field2, lock.pid);
    }
  }
}

// TakeTurn: a job on the whole table excludes all others, a slice excludes the
// same slice.
void TakeTurn(MemoryContext job_memory, Oid relation, int slice, int slices) {
  LockUntilEndOfJob(job_memory, relation, LockPart(0),
                    slices == 1 ? ExclusiveLock : RowExclusiveLock);
  if (slices > 1) {
    LockUntilEndOfJob(job_memory, relation, LockPart(slice), ExclusiveLock);
  }
}

bool JobLocks::AreHeld(Oid relation, std::uint32_t part, int pid) {
  if (locks_ == nullptr) {
    locks_ = GetLockStatusData();
  }
  const LOCKTAG tag = JobLock(relation, part);
  for (int i = 0; i < locks_->nelements; ++i) {
    const LockInstanceData &held = locks_->locks[i];
    if (held.pid == pid && held.holdMask != 0 &&
        memcmp(&held.locktag, &tag, sizeof tag) == 0) {
      return true;
    }
  }
  return false;
}

}  // namespace fernet::pg
