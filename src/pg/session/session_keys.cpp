#include "pg/session/session_keys.hpp"

#include <array>
#include <new>

#include "pg/report/counters.hpp"
#include "pg/report/events.hpp"
#include "pg/report/report.hpp"
#include "pg/session/guc_records.hpp"

namespace fernet::pg::session_keys {
namespace {

constexpr std::uint32_t kNoSlot = kSlots;

// SecretMemory is the content of SecretPages: all zeros means empty.
struct SecretMemory {
  RandomBuffer ivs;
  std::array<KeyList, kSlots> lists;
};

// guc.c keeps this for us beside the mask. It reveals nothing about the key.
struct KeyHandle {
  std::uint32_t slot;
};

// Immortal is a global whose destructor never runs: at exit, OpenSSL may be
// unloaded before us. WipeAtExit wipes the keys.
template <typename T>
union Immortal {
  constexpr Immortal() noexcept : object() {}
  ~Immortal() {}  // NOLINT(modernize-use-equals-default): it would be deleted
  T object;
};

// PreparedList is a slot's key list made ready for use.
struct PreparedList {
  std::uint32_t slot = kNoSlot;
  Keyring ring;
};

// PreparedIndexer likewise, for blind indexes.
struct PreparedIndexer {
  std::uint32_t slot = kNoSlot;
  BlindIndexer indexer;
};

constinit SecretPages pages;
constinit SecretMemory *memory = nullptr;
constinit std::array<bool, kSlots> used{};
constinit std::array<std::uint32_t, kKeySettings.size()> current = {kNoSlot,
                                                                    kNoSlot};
constinit Immortal<PreparedList> prepared;
constinit Immortal<PreparedIndexer> prepared_indexer;
constexpr std::size_t kPins = 4;
constinit std::array<Immortal<PreparedList>, kPins> pins;
constinit std::array<Immortal<PreparedIndexer>, kPins> indexer_pins;
constinit bool sweep_is_due = false;
constinit MemoryContextCallback at_transaction_end{};

void Release(PreparedList *list) {
  list->ring.Clear();
  list->slot = kNoSlot;
}

void Release(PreparedIndexer *list) {
  list->indexer.Clear();
  list->slot = kNoSlot;
}

void WipeAtExit(int, Datum) {
  current.fill(kNoSlot);
  Release(&prepared.object);
  Release(&prepared_indexer.object);
  for (auto &pin : pins) {
    Release(&pin.object);
  }
  for (auto &pin : indexer_pins) {
    Release(&pin.object);
  }
  OPENSSL_cleanse(memory, sizeof *memory);
  used.fill(false);
}

bool MapMemory() {
  if (memory != nullptr) {
    return true;
  }
  pages = SecretPages::Map(sizeof(SecretMemory));
  if (pages.address == nullptr) {
    return false;
  }
  // The pages are zero, as an empty SecretMemory is: a constructor would only
  // touch every page.
  memory = static_cast<SecretMemory *>(pages.address);
  on_proc_exit(WipeAtExit, 0);
  return true;
}

template <typename Pins>
void MarkPinned(const Pins &all, std::array<bool, kSlots> *reachable) {
  for (const auto &pin : all) {
    if (pin.object.slot != kNoSlot) {
      (*reachable)[pin.object.slot] = true;
    }
  }
}

// Sweep wipes every slot whose key list guc.c can no longer restore.
void Sweep() {
  std::array<bool, kSlots> reachable{};
  ForEachHeldValue(
      [](const void *handle, void *marks) {
        const std::uint32_t slot = static_cast<const KeyHandle *>(handle)->slot;
        (*static_cast<std::array<bool, kSlots> *>(marks))[slot] = true;
      },
      &reachable);
  MarkPinned(pins, &reachable);
  MarkPinned(indexer_pins, &reachable);
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
    if (used[slot] && !reachable[slot]) {
      memory->lists[slot].Wipe();
      used[slot] = false;
    }
  }
}

// SweepAtTransactionEnd makes the end of this transaction call Sweep. guc.c
// restores its values after the transaction callbacks; the memory of the
// transaction is deleted last, so its callback calls Sweep.
void SweepAtTransactionEnd() {
  if (sweep_is_due || TopTransactionContext == nullptr) {
    return;
  }
  at_transaction_end.func = [](void *) {
    sweep_is_due = false;
    Sweep();
  };
  sweep_is_due = true;
  MemoryContextRegisterResetCallback(TopTransactionContext,
                                     &at_transaction_end);
}

std::uint32_t TakeFreeSlot() {
  Sweep();
  for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
    if (!used[slot]) {
      return slot;
    }
  }
  return kNoSlot;
}

// MakeReady prepares the keyring of `slot` unless it is prepared already.
SessionKeys MakeReady(PreparedList *list, std::uint32_t slot) {
  if (list->slot != slot) {
    const Status status = list->ring.Prepare(memory->lists[slot].keys());
    if (status != Status::kOk) {
      list->slot = kNoSlot;
      ReportCryptoFailure(status);
    }
    list->slot = slot;
  }
  return {&list->ring, &memory->lists[slot], &memory->ivs};
}

// MakeReady likewise for blind indexes.
IndexKeys MakeReady(PreparedIndexer *list, std::uint32_t slot) {
  if (list->slot != slot) {
    const Status status = list->indexer.Prepare(memory->lists[slot].keys());
    if (status != Status::kOk) {
      list->slot = kNoSlot;
      ReportCryptoFailure(status);
    }
    list->slot = slot;
  }
  return {&list->indexer, &memory->lists[slot]};
}

std::uint32_t SlotOf(KeySetting setting) { return current[IndexOf(setting)]; }

bool IsOutOfReach() {
  Oid user = InvalidOid;
  int context = 0;
  GetUserIdAndSecContext(&user, &context);
  return (context & kOutOfReach) != 0;
}

// RequireKey raises PF001 when `setting` has no key.
void RequireKey(KeySetting setting) {
  counters::Prepare();
  if (!HasKey(setting)) {
    events::KeyRefused(setting, kNoKey);
    if (IsOutOfReach()) {
      ReportKeyOutOfReach();
    }
    ReportNoKey(setting);
  }
}

// Pin makes the current keys of `setting` ready in one of `pins` that is free.
template <typename Prepared>
auto Pin(std::array<Immortal<Prepared>, kPins> *all, KeySetting setting,
         MemoryContext memory_context) {
  RequireKey(setting);
  auto *const unpin = static_cast<MemoryContextCallback *>(
      MemoryContextAlloc(memory_context, sizeof(MemoryContextCallback)));
  for (auto &pin : *all) {
    if (pin.object.slot != kNoSlot) {
      continue;
    }
    const auto keys = MakeReady(&pin.object, SlotOf(setting));
    unpin->func = [](void *list) {
      Release(static_cast<Prepared *>(list));
      Sweep();
    };
    unpin->arg = &pin.object;
    MemoryContextRegisterResetCallback(memory_context, unpin);
    return keys;
  }
  FERNET_RAISE(ERRCODE_PROGRAM_LIMIT_EXCEEDED,
               errmsg("column jobs are nested too deeply"));
}

}  // namespace

AddResult Add(std::span<const char> text, void **out_handle) {
  if (!MapMemory()) {
    return {.outcome = {}, .out_of_memory = true};
  }
  const std::uint32_t slot = TakeFreeSlot();
  if (slot == kNoSlot) {
    return {.outcome = {}, .too_many = true};
  }
  const Outcome outcome = memory->lists[slot].Parse(text);
  if (!outcome.ok()) {
    return {.outcome = outcome};
  }
  auto *const handle =
      static_cast<KeyHandle *>(guc_malloc(LOG, sizeof(KeyHandle)));
  if (handle == nullptr) {
    memory->lists[slot].Wipe();
    return {.outcome = {}, .out_of_memory = true};
  }
  handle->slot = slot;
  used[slot] = true;
  *out_handle = handle;
  SweepAtTransactionEnd();
  return {};
}

const KeyList *ListBehind(const void *handle) {
  return &memory->lists[static_cast<const KeyHandle *>(handle)->slot];
}

void Assign(KeySetting setting, const void *handle) {
  current[IndexOf(setting)] =
      handle == nullptr ? kNoSlot
                        : static_cast<const KeyHandle *>(handle)->slot;
  if (prepared.object.slot != SlotOf(KeySetting::kKey)) {
    Release(&prepared.object);
  }
  if (prepared_indexer.object.slot != SlotOf(KeySetting::kIndexKey)) {
    Release(&prepared_indexer.object);
  }
  SweepAtTransactionEnd();
}

SessionKeys Current() {
  RequireKey(KeySetting::kKey);
  return MakeReady(&prepared.object, SlotOf(KeySetting::kKey));
}

SessionKeys CurrentOrNone() { return HasKey() ? Current() : SessionKeys{}; }

bool HasKey(KeySetting setting) {
  return SlotOf(setting) != kNoSlot && !IsOutOfReach();
}

IndexKeys CurrentIndexKeys() {
  RequireKey(KeySetting::kIndexKey);
  return MakeReady(&prepared_indexer.object, SlotOf(KeySetting::kIndexKey));
}

const KeyList *CurrentList(KeySetting setting) {
  return HasKey(setting) ? &memory->lists[SlotOf(setting)] : nullptr;
}

SessionKeys PinUntil(MemoryContext memory_context) {
  return Pin(&pins, KeySetting::kKey, memory_context);
}

IndexKeys PinIndexKeysUntil(MemoryContext memory_context) {
  return Pin(&indexer_pins, KeySetting::kIndexKey, memory_context);
}

SecretPages MemoryState() { return pages; }

}  // namespace fernet::pg::session_keys
