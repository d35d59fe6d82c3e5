// The words: every message of the extension, with its SQLSTATE. Each hides the
// statement and its context, which may hold a literal key, token or plaintext.
#pragma once

#include "core/status.hpp"
#include "pg/boundary.hpp"
#include "pg/session_keys.hpp"
#include "pg/token_arguments.hpp"

namespace fernet::pg {

// The SQLSTATEs of the extension; docs/reference.md explains each.
inline constexpr int kNoKey = MAKE_SQLSTATE('P', 'F', '0', '0', '1');
inline constexpr int kMalformedKey = MAKE_SQLSTATE('P', 'F', '0', '0', '2');
inline constexpr int kMalformedToken = MAKE_SQLSTATE('P', 'F', '0', '0', '3');
inline constexpr int kNoKeyOpensToken = MAKE_SQLSTATE('P', 'F', '0', '0', '4');
inline constexpr int kTokenAge = MAKE_SQLSTATE('P', 'F', '0', '0', '5');
inline constexpr int kKeyWouldBeStored = MAKE_SQLSTATE('P', 'F', '0', '0', '6');
inline constexpr int kValuesLeft = MAKE_SQLSTATE('P', 'F', '0', '0', '7');

inline constexpr const char *kKeyWouldBeStoredText =
    "\"fernet.key\" must not be stored by the server";
inline constexpr const char *kHowToGiveTheKey =
    "Give the key in the connection options, as in "
    "options='-c fernet.key=...', or by SELECT "
    "set_config('fernet.key', $1, false) with a bind parameter.";

// HideStatement is for every ereport of ours: it keeps the statement and the
// bind parameters in its context out of the server log.
inline int HideStatement() {
  errhidestmt(true);
  return errhidecontext(true);
}

// DropContext is for every ERROR of ours, before its ereport: the client's
// copy of the context would quote the statement of a PL/pgSQL EXECUTE. Whoever
// catches the error puts the stack back.
inline void DropContext() { error_context_stack = nullptr; }

[[noreturn]] void ReportNoKey();

// ReportKeyFailure raises PF002, or at a level below ERROR mentions it.
void ReportKeyFailure(int elevel, const Outcome &outcome);
// ReportMaskAsKey likewise, when the key is what SHOW displays.
void ReportMaskAsKey(int elevel);
// ReportKeyWouldBeStored likewise, PF006.
void ReportKeyWouldBeStored(int elevel);
// ReportTooManyKeyLists likewise, 54000: every slot for a key list is taken by
// one that guc.c may come back to.
void ReportTooManyKeyLists(int elevel);
// ReportNoMemoryForKey likewise, 53200.
void ReportNoMemoryForKey(int elevel);
// ReportUnknownSetting raises 42704 for a SET of the misspelt `name`, whose
// value may well be a key.
[[noreturn]] void ReportUnknownSetting(const char *name);

// ReportTokenFailure raises PF003, PF004 or PF005, or what became of libcrypto.
// `keys` are those that were tried; `timestamp` and `limit` are looked at for
// PF005 only.
[[noreturn]] void ReportTokenFailure(const Outcome &outcome,
                                     const SessionKeys &keys,
                                     std::uint64_t timestamp,
                                     const AgeLimit &limit);

// ReportCryptoFailure raises what became of libcrypto: kRandomFailed or
// kCryptoFailed.
[[noreturn]] void ReportCryptoFailure(Status status);

// TokenDefect says where a value fails to be a token, without a character of
// it; TriedKeys names the keys of `list` by their fingerprints; DescribeTime is
// a timestamp, or a number where PostgreSQL has none for it.
const char *TokenDefect(const Outcome &outcome);
const char *TriedKeys(const KeyList &list);
const char *DescribeTime(std::uint64_t unix_seconds);

// FailureCode is the SQLSTATE that ReportTokenFailure would raise.
int FailureCode(Status status);

}  // namespace fernet::pg
