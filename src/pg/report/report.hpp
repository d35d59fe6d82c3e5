// The messages about keys and tokens, with their SQLSTATEs. Each hides the
// statement and its context, which may hold a literal key, token or plaintext.
#pragma once

#include "core/key.hpp"
#include "core/status.hpp"
#include "pg/report/key_setting.hpp"
#include "pg/report/sqlstate.hpp"
#include "pg/server/boundary.hpp"
#include "pg/server/raise.hpp"

namespace fernet::pg {

// WouldBeStoredText is the message of PF006 about `setting`, HowToGiveKey the
// hint that says how to set it.
const char *WouldBeStoredText(KeySetting setting);
const char *HowToGiveKey(KeySetting setting);

// ReportNoKey raises PF001 for `setting`.
[[noreturn]] void ReportNoKey(KeySetting setting);
// ReportKeyOutOfReach likewise raises PF001, for code of a table that another
// role owns.
[[noreturn]] void ReportKeyOutOfReach();

// ReportKeyFailure raises PF002, or reports it at a level below ERROR.
void ReportKeyFailure(int elevel, KeySetting setting, const Outcome &outcome);
// ReportMaskAsKey likewise, when the key is the mask that SHOW displays.
void ReportMaskAsKey(int elevel, KeySetting setting);
// ReportKeyWouldBeStored likewise, PF006.
void ReportKeyWouldBeStored(int elevel, KeySetting setting);
// ReportTooManyKeyLists likewise, 54000: each of the `slots` holds a key list
// that guc.c may restore.
void ReportTooManyKeyLists(int elevel, KeySetting setting, std::uint32_t slots);
// ReportNoMemoryForKey likewise, 53200.
void ReportNoMemoryForKey(int elevel);
// ReportUnknownSetting raises 42704 for a SET of the misspelt `name`, whose
// value may be a key.
[[noreturn]] void ReportUnknownSetting(const char *name);

// ReportTokenFailure raises PF003, PF004 or PF005, or the failure of libcrypto.
// `keys` are the keys that were tried. PF005 shows `timestamp`, in seconds
// since 1970, and `ttl_seconds`.
[[noreturn]] void ReportTokenFailure(const Outcome &outcome,
                                     const KeyList &keys,
                                     std::uint64_t timestamp = 0,
                                     std::uint64_t ttl_seconds = 0);

// ReportMalformed raises PF003 for a value that is not a token. `detail` says
// why. `hint`, empty or with a space at its end, is the beginning of the hint.
[[noreturn]] void ReportMalformed(const char *detail, const char *hint = "");

// ReportRemnant raises PF003 for a value that holds a token that was cut or
// changed. ReportNotRead raises 0A000 for a value of `type`, in which nobody
// can look for tokens.
[[noreturn]] void ReportRemnant();
[[noreturn]] void ReportNotRead(Oid type);

// ReportCryptoFailure raises the failure of libcrypto: kRandomFailed or
// kCryptoFailed.
[[noreturn]] void ReportCryptoFailure(Status status);

// TokenDefect says why a value is not a token and quotes no character of it.
// TriedKeys names the keys of `list` by their fingerprints. DescribeTime is a
// timestamp, or a number of seconds if PostgreSQL has no such timestamp.
const char *TokenDefect(const Outcome &outcome);
const char *TriedKeys(const KeyList &list);
const char *DescribeTime(std::uint64_t unix_seconds);

// FingerprintOf is the fingerprint of `key` as a palloc'd text. Raises what
// became of libcrypto.
const char *FingerprintOf(const Key &key);

}  // namespace fernet::pg
