#include "pg/report/counters.hpp"

#include "pg/server/shared_memory.hpp"

namespace fernet::pg::counters {
namespace {

// Who has no slot shares the last slot, whose owner stays 0.
constexpr std::uint64_t kDatabases = 64;
constexpr std::uint64_t kRoles = 512;

// A slot never changes its owner, so a session may keep the address of its own.
struct Slot {
  pg_atomic_uint64
      owner;  // the database in the upper half, the role in the lower
  pg_atomic_uint64 reset;  // a TimestampTz
  pg_atomic_uint64 counts[kKinds];
};

struct Shared {
  Slot databases[kDatabases];
  Slot roles[kRoles];  // each for one database
};

constinit Shared *shared = nullptr;
constinit Counts pending{};
constinit bool has_pending = false;
constinit Oid pending_role = InvalidOid;

// Where this session has counted last. A session has one database.
constinit Slot *own_database = nullptr;
constinit Slot *own_role = nullptr;
constinit Oid own_role_of = InvalidOid;

void InitSlot(Slot *slot) {
  pg_atomic_init_u64(&slot->owner, 0);
  pg_atomic_init_u64(&slot->reset, static_cast<uint64>(GetCurrentTimestamp()));
  for (pg_atomic_uint64 &count : slot->counts) {
    pg_atomic_init_u64(&count, 0);
  }
}

void InitShared(void *memory) {
  auto *const fresh = static_cast<Shared *>(memory);
  for (Slot &slot : fresh->databases) {
    InitSlot(&slot);
  }
  for (Slot &slot : fresh->roles) {
    InitSlot(&slot);
  }
}

std::uint64_t OwnerOf(Oid database, Oid role) {
  return static_cast<std::uint64_t>(database) << 32U | role;
}

// SlotOf finds the slot of `owner`, or takes a free one. It begins where one in
// `size` owners does.
Slot *SlotOf(std::uint64_t owner, Slot *slots, std::uint64_t size) {
  for (std::uint64_t i = 0; i < size - 1; ++i) {
    Slot *const slot = &slots[(owner + i) % (size - 1)];
    uint64 found = pg_atomic_read_u64(&slot->owner);
    if (found == 0 &&
        pg_atomic_compare_exchange_u64(&slot->owner, &found, owner)) {
      return slot;
    }
    // The slot was taken before, or another session took it just now.
    if (found == owner) {
      return slot;
    }
  }
  return &slots[size - 1];
}

Slot *SlotOfThisDatabase() {
  if (own_database == nullptr) {
    own_database = SlotOf(OwnerOf(MyDatabaseId, InvalidOid), shared->databases,
                          kDatabases);
  }
  return own_database;
}

Slot *SlotOfRole(Oid role) {
  if (own_role == nullptr || own_role_of != role) {
    own_role = SlotOf(OwnerOf(MyDatabaseId, role), shared->roles, kRoles);
    own_role_of = role;
  }
  return own_role;
}

void AddPendingTo(Slot *slot) {
  for (std::size_t kind = 0; kind < kKinds; ++kind) {
    if (pending[kind] != 0) {
      pg_atomic_fetch_add_u64(&slot->counts[kind],
                              static_cast<int64>(pending[kind]));
    }
  }
}

void Flush() {
  if (!has_pending || shared == nullptr) {
    return;
  }
  AddPendingTo(SlotOfThisDatabase());
  AddPendingTo(SlotOfRole(pending_role));
  pending = {};
  has_pending = false;
}

// Uncommitted is in the memory of its subtransaction, whose end by a rollback
// takes it out of the list.
struct Uncommitted {
  Kind kind;
  std::uint64_t times;
  Uncommitted *next;
  MemoryContextCallback forget;
};

Uncommitted *uncommitted = nullptr;

// cppcheck-suppress constParameter ; the type of a callback of the server
void Forget(void *argument) {
  Uncommitted **link = &uncommitted;
  while (*link != nullptr && *link != argument) {
    link = &(*link)->next;
  }
  if (*link != nullptr) {
    *link = (*link)->next;
  }
}

void AtTransactionEnd(XactEvent event, void *) {
  if (event == XACT_EVENT_COMMIT) {
    for (const Uncommitted *each = uncommitted; each != nullptr;
         each = each->next) {
      Add(each->kind, each->times);
    }
  }
  if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
      event == XACT_EVENT_PREPARE) {
    Flush();
  }
}

Total Read(Slot *slot, bool is_of_role) {
  const std::uint64_t owner = pg_atomic_read_u64(&slot->owner);
  Total result = {
      .database = static_cast<Oid>(owner >> 32U),
      .role = static_cast<Oid>(owner),
      .is_of_role = is_of_role,
      .counts = {},
      .reset = static_cast<TimestampTz>(pg_atomic_read_u64(&slot->reset)),
  };
  for (std::size_t kind = 0; kind < kKinds; ++kind) {
    result.counts[kind] = pg_atomic_read_u64(&slot->counts[kind]);
  }
  return result;
}

bool HasCounted(const Total &total) {
  for (const std::uint64_t count : total.counts) {
    if (count != 0) {
      return true;
    }
  }
  return total.database != InvalidOid;
}

void SetToZero(Slot *slot) {
  for (pg_atomic_uint64 &count : slot->counts) {
    pg_atomic_write_u64(&count, 0);
  }
  pg_atomic_write_u64(&slot->reset, static_cast<uint64>(GetCurrentTimestamp()));
}

}  // namespace

void Add(Kind kind, std::uint64_t times) {
  // The postmaster reads its files and options for no role, and a session would
  // begin with what it has counted.
  if (MyDatabaseId == InvalidOid) {
    return;
  }
  if (const Oid role = GetOuterUserId(); role != pending_role) {
    Flush();
    pending_role = role;
  }
  pending[kind] += times;
  has_pending = true;
}

void AddIfCommitted(Kind kind, std::uint64_t times) {
  auto *const added = static_cast<Uncommitted *>(
      MemoryContextAlloc(CurTransactionContext, sizeof(Uncommitted)));
  *added = {.kind = kind,
            .times = times,
            .next = uncommitted,
            .forget = {.func = Forget, .arg = added, .next = nullptr}};
  MemoryContextRegisterResetCallback(CurTransactionContext, &added->forget);
  uncommitted = added;
}

void AddFailure(Status status) {
  if (IsMalformedToken(status)) {
    Add(kMalformed);
  } else if (status == Status::kNoKeyOpens) {
    Add(kNoKeyOpens);
  } else if (status == Status::kTokenExpired ||
             status == Status::kTokenFromFuture) {
    Add(kWrongAge);
  }
}

void Prepare() {
  if (shared == nullptr) {
    shared =
        static_cast<Shared *>(AttachSharedMemory(sizeof(Shared), InitShared));
  }
}

bool ForEachTotal(void (*visit)(const Total &, void *state), void *state) {
  Prepare();
  if (shared == nullptr) {
    return false;
  }
  for (Slot &slot : shared->databases) {
    if (const Total total = Read(&slot, false); HasCounted(total)) {
      visit(total, state);
    }
  }
  for (Slot &slot : shared->roles) {
    if (const Total total = Read(&slot, true); HasCounted(total)) {
      visit(total, state);
    }
  }
  return true;
}

void Reset() {
  Prepare();
  if (shared == nullptr) {
    return;
  }
  SetToZero(SlotOfThisDatabase());
  for (Slot &slot : shared->roles) {
    if (pg_atomic_read_u64(&slot.owner) >> 32U == MyDatabaseId) {
      SetToZero(&slot);
    }
  }
}

void Install() {
  RegisterXactCallback(AtTransactionEnd, nullptr);
  RequestSharedMemory(sizeof(Shared));
}

}  // namespace fernet::pg::counters
