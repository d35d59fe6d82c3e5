// The keys of this session: guc.c holds a mask and a handle, the keys are here.
//
// Each value of fernet.key that guc.c may still come back to (the current one,
// the one that RESET restores, those of outer SET LOCALs and savepoints) has a
// slot in SecretPages. A slot that none of guc.c's own records names any more
// is wiped: when the next key is set, and at the end of every transaction that
// changed the key.
#pragma once

#include "core/keyring.hpp"
#include "core/secret_pages.hpp"
#include "pg/server/boundary.hpp"

namespace fernet::pg {

// SessionKeys is what work with tokens needs. It stays good until the next
// statement of the session, for pinned keys until Unpin.
struct SessionKeys {
  Keyring *ring = nullptr;
  const KeyList *list = nullptr;  // the same keys, for their fingerprints
  RandomBuffer *ivs = nullptr;
};

namespace session_keys {

// One key list for each level of savepoints and functions that set a key of
// their own, and a few; AddResult's too_many beyond that.
inline constexpr std::uint32_t kSlots = 64;

// AddResult is what can become of a value offered as fernet.key.
struct AddResult {
  Outcome outcome;             // of parsing it
  bool out_of_memory = false;  // no pages, or no handle
  bool too_many = false;       // every slot is one that guc.c may come back to
};

// Add parses `text` into a slot of its own and stores a handle to it, for
// guc.c to keep and to free, in `*out_handle`. Raises nothing.
AddResult Add(std::span<const char> text, void **out_handle);

// ListBehind is the key list that `handle` stands for.
const KeyList *ListBehind(const void *handle);

// Assign makes the key list behind `handle`, or none when it is null, the
// current one. Cannot fail.
void Assign(const void *handle);

// Current returns the current keys, ready for use; without a key it raises
// PF001. CurrentOrNone returns null members instead; HasKey asks only.
SessionKeys Current();
SessionKeys CurrentOrNone();
bool HasKey();

// CurrentList is the current key list, or null.
const KeyList *CurrentList();

// PinUntil returns the current keys in such a form that they stay good whatever
// becomes of the setting, until `memory` is reset or deleted. Raises PF001, and
// 54000 when jobs are nested too deeply, by triggers of triggers.
SessionKeys PinUntil(MemoryContext memory);

// MemoryState says how well the pages are protected.
SecretPages MemoryState();

}  // namespace session_keys
}  // namespace fernet::pg
