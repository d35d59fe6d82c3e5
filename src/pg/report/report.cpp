#include "pg/report/report.hpp"

#include "core/token.hpp"
#include "pg/server/unix_time.hpp"

namespace fernet::pg {
namespace {

// KeyFailureDetail says what is wrong with a key and what to do. It quotes no
// character of the key.
const char *KeyFailureDetail(const Outcome &outcome) {
  const auto number = static_cast<unsigned long>(outcome.offset);
  switch (outcome.status) {
    case Status::kKeyMissing:
      return "The list has no key at this position.";
    case Status::kKeyBadLength:
      if (outcome.offset == kEncodedKeySize) {
        return "The key is 44 bytes long, but its last character is not \"=\". "
               "A key is 32 bytes in URL-safe base64: 44 characters, or 43 "
               "without "
               "the \"=\" at the end.";
      }
      return psprintf(
          "The key is %lu bytes long. A key is 32 bytes in URL-safe base64: 44 "
          "characters, or 43 without the \"=\" at the end.%s",
          number,
          outcome.offset > kEncodedKeySize
              ? " Several keys are separated by commas."
              : "");
    case Status::kKeyBadCharacter:
      return psprintf(
          "The character at offset %lu does not belong to URL-safe base64.",
          number);
    case Status::kKeyStandardAlphabet:
      return psprintf(
          "The character at offset %lu belongs to the standard base64 "
          "alphabet. Replace \"+\" by \"-\" and \"/\" by \"_\".",
          number);
    case Status::kKeyHex:
      return "The key is written in hexadecimal. Write its 32 bytes in "
             "URL-safe base64.";
    case Status::kKeyBase64Twice:
      return "The key was encoded in base64 twice, as in the data of a "
             "Kubernetes Secret. Decode it once.";
    case Status::kKeyQuoted:
      return "The key begins or ends with a quotation mark. Remove the "
             "quotation marks; they are not part of the key.";
    case Status::kKeyByteOrderMark:
      return "The key begins with a byte order mark, as some editors write at "
             "the start of a file. Remove these three bytes.";
    case Status::kKeyBytesLiteral:
      return "The key is written as Python prints bytes: b'...'. Remove the b "
             "and the quotation marks.";
    case Status::kKeyAssignment:
      return "The key has a name in front, as in FERNET_KEY=... of a settings "
             "file. Give only what follows the name.";
    case Status::kKeyUnusualSpace:
      return "The key begins or ends with an invisible character, such as a "
             "no-break space. Remove it.";
    case Status::kKeyTrailingBits:
      return "The last character of the key has extra bits that are not zero, "
             "which no base64 encoder writes. Copy the key again.";
    case Status::kKeyDuplicate:
      return "The same key is earlier in the list. Remove one of the two.";
    case Status::kTooManyKeys:
      return psprintf("A list has at most %u keys.", kMaxKeys);
    default:
      return "";
  }
}

[[noreturn]] void ReportAge(Status status, std::uint64_t timestamp,
                            std::uint64_t ttl_seconds) {
  const char *const created = DescribeTime(timestamp);
  if (status == Status::kTokenExpired) {
    FERNET_RAISE(
        kTokenAge, errmsg("Fernet token has expired"),
        errdetail("The token was made at %s and the ttl is %llu s.", created,
                  static_cast<unsigned long long>(ttl_seconds)));
  }
  FERNET_RAISE(
      kTokenAge, errmsg("Fernet token is from the future"),
      errdetail(
          "The token was made at %s, more than %llu s ahead of the clock.",
          created, static_cast<unsigned long long>(kMaxClockSkew)));
}

// DropContextIfRaising keeps the context for a WARNING, after which the
// statement goes on.
void DropContextIfRaising(int elevel) {
  if (elevel >= ERROR) {
    DropContext();
  }
}

}  // namespace

const char *TokenDefect(const Outcome &outcome) {
  const auto offset = static_cast<unsigned long>(outcome.offset);
  switch (outcome.status) {
    case Status::kTokenBadCharacter:
      return psprintf(
          "The character at offset %lu does not belong to URL-safe base64.",
          offset);
    case Status::kTokenBadPadding:
      return psprintf(
          "The \"=\" at offset %lu does not complete a group of four "
          "characters.",
          offset);
    case Status::kTokenBadLength:
      return "No base64 text has this number of characters: the value was cut "
             "or joined.";
    case Status::kTokenTrailingBits:
      return psprintf(
          "The character at offset %lu has extra bits that are not zero: the "
          "value was cut or changed.",
          offset);
    case Status::kTokenBadVersion:
      return "The value does not begin with the version byte 0x80. Fernet "
             "tokens of today begin with \"gAAAAA\".";
    case Status::kTokenTooShort:
      return "The value is too short: a token has at least 100 characters.";
    case Status::kTokenPartialBlock:
      return "The value was cut: the length of its ciphertext is not a whole "
             "number of 16-byte blocks.";
    default:
      return "";
  }
}

const char *TriedKeys(const KeyList &list) {
  StringInfoData text;
  initStringInfo(&text);
  const auto count = list.keys().size();
  appendStringInfo(&text,
                   count == 1 ? "Tried %lu key, with the fingerprint"
                              : "Tried %lu keys, with the fingerprints",
                   static_cast<unsigned long>(count));
  for (const Key &key : list.keys()) {
    FingerprintText fingerprint;
    if (Fingerprint(key, &fingerprint) == Status::kOk) {
      appendStringInfo(&text, "%s %s", &key == list.keys().data() ? "" : ",",
                       fingerprint.data());
    }
  }
  appendStringInfoChar(&text, '.');
  return text.data;
}

const char *DescribeTime(std::uint64_t unix_seconds) {
  TimestampTz time;
  if (UnixSecondsToTimestamp(unix_seconds, &time)) {
    return pstrdup(timestamptz_to_str(time));
  }
  return psprintf("%llu s after 1970",
                  static_cast<unsigned long long>(unix_seconds));
}

const char *FingerprintOf(const Key &key) {
  FingerprintText fingerprint;
  const Status status = Fingerprint(key, &fingerprint);
  if (status != Status::kOk) {
    ReportCryptoFailure(status);
  }
  return pstrdup(fingerprint.data());
}

const char *WouldBeStoredText(KeySetting setting) {
  return psprintf("\"%s\" must not be stored by the server", NameOf(setting));
}

const char *HowToGiveKey(KeySetting setting) {
  const char *const name = NameOf(setting);
  return psprintf(
      "Give the session on this server the key in the connection options, as "
      "in options='-c %s=...', or by SELECT set_config('%s', $1, false) with a "
      "bind parameter.",
      name, name);
}

void ReportNoKey(KeySetting setting) {
  FERNET_RAISE(kNoKey,
               setting == KeySetting::kKey ? errmsg("no Fernet key is set")
                                           : errmsg("no index key is set"),
               errhint("%s", HowToGiveKey(setting)));
}

void ReportKeyOutOfReach() {
  FERNET_RAISE(
      kNoKey, errmsg("the code of a table cannot use the key of a superuser"),
      errdetail("A superuser's rotation runs triggers, constraints and index "
                "expressions with the rights of the owner of the table and "
                "without a key."),
      errhint("If they need the key, rotate as the owner of the table."));
}

void ReportKeyFailure(int elevel, KeySetting setting, const Outcome &outcome) {
  DropContextIfRaising(elevel);
  ereport(elevel, errcode(kMalformedKey),
          errmsg("invalid Fernet key at position %u of \"%s\"",
                 outcome.key_position, NameOf(setting)),
          errdetail_internal("%s", KeyFailureDetail(outcome)), HideStatement());
}

void ReportMaskAsKey(int elevel, KeySetting setting) {
  DropContextIfRaising(elevel);
  ereport(elevel, errcode(kMalformedKey),
          errmsg("invalid Fernet key at position 1 of \"%s\"", NameOf(setting)),
          errdetail(
              "The value is the mask that the server shows in place of a key."),
          HideStatement());
}

void ReportKeyWouldBeStored(int elevel, KeySetting setting) {
  DropContextIfRaising(elevel);
  ereport(elevel, errcode(kKeyWouldBeStored),
          errmsg_internal("%s", WouldBeStoredText(setting)),
          errhint("%s", HowToGiveKey(setting)), HideStatement());
}

void ReportTooManyKeyLists(int elevel, KeySetting setting,
                           std::uint32_t slots) {
  DropContextIfRaising(elevel);
  ereport(elevel, errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
          errmsg("too many nested values of \"%s\"", NameOf(setting)),
          errdetail("A session keeps at most %u values: one for each savepoint "
                    "or function that set a key and may still be rolled back.",
                    slots),
          HideStatement());
}

void ReportNoMemoryForKey(int elevel) {
  DropContextIfRaising(elevel);
  ereport(elevel, errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
          errdetail("The server has no memory for the key."), HideStatement());
}

void ReportUnknownSetting(const char *name) {
  FERNET_RAISE(
      ERRCODE_UNDEFINED_OBJECT,
      errmsg("unrecognized configuration parameter \"%s\"", name),
      errhint("Set the key with \"%s\", and the key of blind indexes "
              "with \"%s\".",
              NameOf(KeySetting::kKey), NameOf(KeySetting::kIndexKey)));
}

void ReportTokenFailure(const Outcome &outcome, const KeyList &keys,
                        std::uint64_t timestamp, std::uint64_t ttl_seconds) {
  if (IsMalformedToken(outcome.status)) {
    ReportMalformed(TokenDefect(outcome));
  }
  switch (outcome.status) {
    case Status::kNoKeyOpens:
      FERNET_RAISE(kNoKeyOpensToken,
                   errmsg("no key in \"fernet.key\" opens this token"),
                   errdetail_internal("%s", TriedKeys(keys)));
    case Status::kTooManyCandidates:
      FERNET_RAISE(ERRCODE_PROGRAM_LIMIT_EXCEEDED,
                   errmsg("too much in the value looks like a Fernet token"));
    case Status::kTokenExpired:
    case Status::kTokenFromFuture:
      ReportAge(outcome.status, timestamp, ttl_seconds);
    default:
      ReportCryptoFailure(outcome.status);
  }
}

void ReportMalformed(const char *detail, const char *hint) {
  FERNET_RAISE(kMalformedToken, errmsg("malformed Fernet token"),
               errdetail_internal("%s", detail),
               errhint("%sfernet_inspect() tells what such a value is.", hint));
}

void ReportRemnant() {
  ReportMalformed(
      "Something in the value begins like a token and is none. It was probably "
      "cut, or changed afterwards.");
}

void ReportNotRead(Oid type) {
  FERNET_RAISE(ERRCODE_FEATURE_NOT_SUPPORTED,
               errmsg("values of type %s cannot be searched for tokens",
                      format_type_be(type)),
               errhint("Cast the value to text or bytea."));
}

void ReportCryptoFailure(Status status) {
  if (status == Status::kRandomFailed) {
    FERNET_RAISE(ERRCODE_INTERNAL_ERROR,
                 errmsg("could not generate random bytes"));
  }
  FERNET_RAISE(ERRCODE_INTERNAL_ERROR,
               errmsg("could not complete the cryptographic operation"),
               errhint("OpenSSL on this server needs a provider with "
                       "AES-128-CBC and SHA-256."));
}

}  // namespace fernet::pg
