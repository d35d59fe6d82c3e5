#include "client/keys.hpp"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>
#include <system_error>

#include "client/text.hpp"
#include "core/secret_pages.hpp"

namespace fernet::client {
namespace {

// Room for the longest list, with white space around its keys.
constexpr std::size_t kMaxText = std::size_t{16} * 1024;

// Words is what is wrong with a key. They are those of the server.
std::string Words(const Outcome &outcome) {
  const std::string offset = std::to_string(outcome.offset);
  switch (outcome.status) {
    case Status::kKeyMissing:
      return "The list has no key at this position.";
    case Status::kKeyBadLength:
      return "The key is " + offset +
             " bytes long. A key is 32 bytes in URL-safe base64: 44 "
             "characters, or 43 without the \"=\" at the end.";
    case Status::kKeyBadCharacter:
      return "The character at offset " + offset +
             " does not belong to URL-safe base64.";
    case Status::kKeyStandardAlphabet:
      return "The character at offset " + offset +
             " belongs to the standard base64 alphabet. Replace \"+\" by "
             "\"-\" and \"/\" by \"_\".";
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
      return "A list has at most " + std::to_string(kMaxKeys) + " keys.";
    default:
      return "";
  }
}

// Switch is a setting by which a server could write a bound parameter into its
// log. It does if `condition` holds; `off` is the value that keeps it from it.
struct Switch {
  const char *setting;
  const char *off;
  const char *condition;
};

// current_setting() is NULL for a setting that is not known.
constexpr std::array kSwitches = {
    Switch{"log_parameter_max_length", "0",
           "pg_catalog.current_setting('log_statement') OPERATOR(pg_catalog.=) "
           "'all' OR pg_catalog.current_setting('log_min_duration_statement') "
           "OPERATOR(pg_catalog.<>) '-1' OR "
           "pg_catalog.current_setting('log_min_duration_sample') "
           "OPERATOR(pg_catalog.<>) '-1' OR "
           "pg_catalog.current_setting('log_transaction_sample_rate') "
           "OPERATOR(pg_catalog.<>) '0'"},
    Switch{"log_parameter_max_length_on_error", "0",
           "pg_catalog.current_setting('log_parameter_max_length_on_error') "
           "OPERATOR(pg_catalog.<>) '0'"},
    Switch{"debug_print_parse", "off",
           "pg_catalog.current_setting('debug_print_parse') "
           "OPERATOR(pg_catalog.<>) 'off'"},
    Switch{"debug_print_rewritten", "off",
           "pg_catalog.current_setting('debug_print_rewritten') "
           "OPERATOR(pg_catalog.<>) 'off'"},
    Switch{"debug_print_plan", "off",
           "pg_catalog.current_setting('debug_print_plan') "
           "OPERATOR(pg_catalog.<>) 'off'"},
    Switch{"auto_explain.log_min_duration", "-1",
           "pg_catalog.current_setting('auto_explain.log_min_duration', true) "
           "OPERATOR(pg_catalog.<>) '-1'"},
    Switch{"pgaudit.log_parameter", "off",
           "pg_catalog.current_setting('pgaudit.log_parameter', true) "
           "OPERATOR(pg_catalog.=) 'on'"},
};

// SwitchOff makes sure that the server does not log bound parameters of this
// session.
void SwitchOff(Connection *connection, const Switch &one) {
  const std::string ask =
      std::string("SELECT COALESCE(") + one.condition + ", false)";
  if (!connection->Query(ask).Truth(0, 0)) {
    return;
  }
  try {
    connection->Query("SELECT pg_catalog.set_config($1, $2, false)",
                      {std::string(one.setting), std::string(one.off)});
  } catch (const ServerError &) {
    throw Failure(
        std::string("the server may write the keys into its log, because of "
                    "the setting \"") +
            one.setting + "\"",
        std::string("A superuser can allow this role to switch it off: GRANT "
                    "SET ON PARAMETER ") +
            one.setting + " TO ... Or connect as a superuser.");
  }
}

// FileWords is the name of a key file, unless somebody gave a key in its place.
std::string FileWords(const std::string &file) {
  const bool may_be_key =
      file.size() >= kEncodedKeySize - 1 &&
      file.find_first_not_of(
          "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwx"
          "yz0123456789-_+/=, ") == std::string::npos;
  return may_be_key ? "" : " \"" + Printable(file) + '"';
}

void RequirePrivacy(const Connection &connection) {
  if (!connection.IsPrivate() && connection.Asked("sslmode") != "disable") {
    throw Failure(
        "the connection is not encrypted, and the keys would be sent over it",
        "Use sslmode=require or better. If nobody can read along on this "
        "network, say sslmode=disable.");
  }
}

}  // namespace

struct Keys::Pages {
  std::array<char, kMaxText + 1> text;
  std::size_t size;
  KeyList list;
};

Keys::Keys(const std::string &file) {
  const SecretPages memory = SecretPages::Map(sizeof(Pages));
  if (memory.address == nullptr) {
    throw Failure("out of memory");
  }
  pages_ = new (memory.address) Pages();
  char *const given =
      std::getenv("FERNET_KEY");  // NOLINT(concurrency-mt-unsafe): one thread
  const std::size_t size = given == nullptr ? 0 : std::strlen(given);
  if (given != nullptr) {
    std::memcpy(pages_->text.data(), given, std::min(size, kMaxText));
    OPENSSL_cleanse(given, size);
    unsetenv("FERNET_KEY");  // NOLINT(concurrency-mt-unsafe): one thread
  }
  if (!file.empty()) {
    ReadFile(file);
  } else if (size > kMaxText) {
    throw Failure("FERNET_KEY is too long for a list of keys");
  } else {
    pages_->size = size;
  }
  Parse();
}

Keys::~Keys() {
  OPENSSL_cleanse(pages_->text.data(), pages_->text.size());
  pages_->list.Wipe();
}

std::size_t Keys::count() const { return pages_->list.keys().size(); }

void Keys::ReadFile(const std::string &file) {
  const int descriptor = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    throw Failure("could not open the key file" + FileWords(file) + ": " +
                  std::generic_category().message(errno));
  }
  ssize_t got = 0;
  do {
    got = read(descriptor, pages_->text.data() + pages_->size,
               pages_->text.size() - pages_->size);
    pages_->size += got > 0 ? static_cast<std::size_t>(got) : 0;
  } while ((got < 0 && errno == EINTR) ||
           (got > 0 && pages_->size < pages_->text.size()));
  const int error = errno;
  close(descriptor);
  if (got < 0) {
    throw Failure("could not read the key file" + FileWords(file) + ": " +
                  std::generic_category().message(error));
  }
  if (pages_->size > kMaxText) {
    throw Failure("the key file" + FileWords(file) +
                  " is too long for a list of keys");
  }
}

void Keys::Parse() {
  const std::string_view text(pages_->text.data(), pages_->size);
  if (text.find_first_not_of(" \t\r\n\f\v") == std::string_view::npos) {
    pages_->size = 0;
    return;
  }
  const Outcome outcome = pages_->list.Parse({text.data(), text.size()});
  if (!outcome.ok()) {
    throw Failure("invalid Fernet key at position " +
                      std::to_string(outcome.key_position) + " of the list",
                  Words(outcome));
  }
  pages_->text.at(pages_->size) = '\0';
}

void Keys::Prepare(Keyring *ring) const {
  if (ring->Prepare(pages_->list.keys()) != Status::kOk) {
    throw Failure("OpenSSL lacks AES-128-CBC or SHA-256, or is out of memory");
  }
}

std::string Keys::FingerprintOf(std::size_t index) const {
  FingerprintText text = {};
  if (Fingerprint(pages_->list.keys()[index], &text) != Status::kOk) {
    throw Failure("could not complete the cryptographic operation");
  }
  return text.data();
}

void Keys::GiveTo(Connection *connection, const std::string &schema) const {
  if (count() == 0) {
    return;
  }
  RequirePrivacy(*connection);
  // The library must be there to take the key, and to hide it.
  connection->Query("SELECT pg_catalog.count(*) FROM " + schema +
                    ".fernet_keys()");
  for (const Switch &one : kSwitches) {
    SwitchOff(connection, one);
  }
  connection->QuerySecret(
      "SELECT pg_catalog.set_config('fernet.key', $1, false)",
      pages_->text.data(), pages_->size);
}

void ForbidCoreDumps() {
  const struct rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

}  // namespace fernet::client
