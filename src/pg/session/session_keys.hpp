// The keys of this session: guc.c holds a mask and a handle, the keys are here.
//
// Each value of fernet.key and fernet.index_key that guc.c may restore (the
// current one, the one that RESET restores, those of outer SET LOCALs and
// savepoints) has a slot in SecretPages. A slot that no record of guc.c names
// any more is wiped when the next key is set, and at the end of every
// transaction that changed the key.
#pragma once

#include "core/blind_index.hpp"
#include "core/keyring.hpp"
#include "core/secret_pages.hpp"
#include "pg/report/key_setting.hpp"
#include "pg/server/boundary.hpp"

namespace fernet::pg {

// SessionKeys is the keys that work with tokens needs. It is valid until the
// next statement of the session, or as long as the keys are pinned.
struct SessionKeys {
  Keyring *ring = nullptr;
  const KeyList *list = nullptr;  // the same keys, for their fingerprints
  RandomBuffer *ivs = nullptr;
};

// IndexKeys is the keys that work with blind indexes needs, for as long.
struct IndexKeys {
  BlindIndexer *indexer = nullptr;
  const KeyList *list = nullptr;
};

namespace session_keys {

// kOutOfReach is a bit of ours in the server's security context
// (SetUserIdAndSecContext): while it is set, this session has no key for
// whoever asks. Keys that were pinned before stay good. Functions within
// functions inherit the context, no SQL can leave it, and an error restores the
// one before, with the (sub)transaction.
inline constexpr int kOutOfReach = 1 << 16;

// One key list for each level of savepoints and functions that set a key, and a
// few more. Beyond that, AddResult has too_many.
inline constexpr std::uint32_t kSlots = 64;

// AddResult is the result of Add.
struct AddResult {
  Outcome outcome;             // of parsing it
  bool out_of_memory = false;  // no pages, or no handle
  bool too_many = false;       // guc.c may restore the list of every slot
};

// Add parses `text` into a slot of its own and stores a handle to it, for
// guc.c to keep and to free, in `*out_handle`. Raises nothing.
AddResult Add(std::span<const char> text, void **out_handle);

// ListBehind is the key list that `handle` stands for.
const KeyList *ListBehind(const void *handle);

// Assign makes the key list behind `handle`, or none when it is null, the
// current one of `setting`. Cannot fail.
void Assign(KeySetting setting, const void *handle);

// Current returns the current keys of fernet.key, ready for use; without a key
// it raises PF001. CurrentOrNone returns null members instead; HasKey only says
// whether there is a key.
SessionKeys Current();
SessionKeys CurrentOrNone();
bool HasKey(KeySetting setting = KeySetting::kKey);

// CurrentIndexKeys is Current for fernet.index_key.
IndexKeys CurrentIndexKeys();

// CurrentList is the current key list of `setting`, or null.
const KeyList *CurrentList(KeySetting setting = KeySetting::kKey);

// PinUntil returns the current keys and keeps them valid until `memory` is
// reset or deleted, even if the setting changes. Raises PF001, and 54000 when
// jobs are nested too deeply, by triggers of triggers.
SessionKeys PinUntil(MemoryContext memory);
// PinIndexKeysUntil likewise, of fernet.index_key.
IndexKeys PinIndexKeysUntil(MemoryContext memory);

// MemoryState says how well the pages are protected.
SecretPages MemoryState();

}  // namespace session_keys
}  // namespace fernet::pg
