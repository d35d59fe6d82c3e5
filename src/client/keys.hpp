// The keys that the program was given, and how a session gets them.
#pragma once

#include <string>

#include "client/connection.hpp"
#include "core/keyring.hpp"

namespace fernet::client {

// Keys is a list of keys in pages that are locked and in no core dump. There is
// one for the life of the program, which wipes it at its end.
class Keys {
 public:
  // Reads them from `file`, or, if that is empty, from the variable FERNET_KEY
  // of the environment, which is wiped and removed in any case. Throws Failure
  // with the position of a key that is none, never with its text.
  explicit Keys(const std::string &file);
  Keys(const Keys &) = delete;
  Keys &operator=(const Keys &) = delete;
  ~Keys();

  std::size_t count() const;

  // Prepare makes `ring` ready to try the keys. Throws Failure when OpenSSL
  // lacks what is needed.
  void Prepare(Keyring *ring) const;
  // FingerprintOf is that of the key at `index`, from 0.
  std::string FingerprintOf(std::size_t index) const;

  // GiveTo sets "fernet.key" of a session whose pg_fernet is in `schema`. The
  // key is a bound parameter. Throws Failure if anybody on the way, or the log
  // of the server, could read it.
  void GiveTo(Connection *connection, const std::string &schema) const;

 private:
  struct Pages;
  void ReadFile(const std::string &file);
  void Parse();

  Pages *pages_;
};

// ForbidCoreDumps keeps the memory of this process out of core dumps and from
// other processes of the same user.
void ForbidCoreDumps();

}  // namespace fernet::client
