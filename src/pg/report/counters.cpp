#include "pg/report/counters.hpp"

#include "pg/server/shared_memory.hpp"

namespace fernet::pg::counters {
namespace {

// Databases without a slot of their own share the last slot, whose Oid stays
// invalid.
constexpr int kSlots = 64;

struct Slot {
  pg_atomic_uint32 database;
  pg_atomic_uint64 reset;  // a TimestampTz
  pg_atomic_uint64 counts[kKinds];
};

struct Shared {
  Slot slots[kSlots];
};

constinit Shared *shared = nullptr;
constinit Counts pending{};
constinit bool has_pending = false;

void InitShared(void *memory) {
  auto *const fresh = static_cast<Shared *>(memory);
  for (Slot &slot : fresh->slots) {
    pg_atomic_init_u32(&slot.database, InvalidOid);
    pg_atomic_init_u64(&slot.reset, static_cast<uint64>(GetCurrentTimestamp()));
    for (pg_atomic_uint64 &count : slot.counts) {
      pg_atomic_init_u64(&count, 0);
    }
  }
}

// SlotOfThisDatabase finds the slot, or takes a free one.
Slot *SlotOfThisDatabase() {
  for (int i = 0; i < kSlots - 1; ++i) {
    Slot *const slot = &shared->slots[i];
    uint32 database = pg_atomic_read_u32(&slot->database);
    if (database == InvalidOid &&
        pg_atomic_compare_exchange_u32(&slot->database, &database,
                                       MyDatabaseId)) {
      return slot;
    }
    // The slot was taken before, or another session took it just now.
    if (database == MyDatabaseId) {
      return slot;
    }
  }
  return &shared->slots[kSlots - 1];
}

void Flush() {
  if (!has_pending || shared == nullptr) {
    return;
  }
  Slot *const slot = SlotOfThisDatabase();
  for (std::size_t kind = 0; kind < kKinds; ++kind) {
    if (pending[kind] != 0) {
      pg_atomic_fetch_add_u64(&slot->counts[kind],
                              static_cast<int64>(pending[kind]));
    }
  }
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

DatabaseCounts Read(Slot *slot) {
  DatabaseCounts result = {
      .database = pg_atomic_read_u32(&slot->database),
      .counts = {},
      .reset = static_cast<TimestampTz>(pg_atomic_read_u64(&slot->reset)),
  };
  for (std::size_t kind = 0; kind < kKinds; ++kind) {
    result.counts[kind] = pg_atomic_read_u64(&slot->counts[kind]);
  }
  return result;
}

bool HasCounted(const DatabaseCounts &counts) {
  for (const std::uint64_t count : counts.counts) {
    if (count != 0) {
      return true;
    }
  }
  return counts.database != InvalidOid;
}

}  // namespace

void Add(Kind kind, std::uint64_t times) {
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

bool ForEachDatabase(void (*visit)(const DatabaseCounts &, void *state),
                     void *state) {
  Prepare();
  if (shared == nullptr) {
    return false;
  }
  for (Slot &slot : shared->slots) {
    const DatabaseCounts counts = Read(&slot);
    if (HasCounted(counts)) {
      visit(counts, state);
    }
  }
  return true;
}

void Reset() {
  Prepare();
  if (shared == nullptr) {
    return;
  }
  Slot *const slot = SlotOfThisDatabase();
  for (pg_atomic_uint64 &count : slot->counts) {
    pg_atomic_write_u64(&count, 0);
  }
  pg_atomic_write_u64(&slot->reset, static_cast<uint64>(GetCurrentTimestamp()));
}

void Install() {
  RegisterXactCallback(AtTransactionEnd, nullptr);
  RequestSharedMemory(sizeof(Shared));
}

}  // namespace fernet::pg::counters
