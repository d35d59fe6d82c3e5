// Failures of OpenSSL, for the unit tests.
#pragma once

#include <cstdint>

namespace fernet::test {

// FailingOpenSsl makes one call of OpenSSL fail while it lives: the `number`th,
// from 1, of those that the core makes for each token and each IV.
class FailingOpenSsl {
 public:
  // Whether it fails at once, or after it has done its work: then it has
  // changed what it works on.
  enum class When : std::uint8_t { kBefore, kAfter };

  FailingOpenSsl(int number, When when);
  ~FailingOpenSsl();
  FailingOpenSsl(const FailingOpenSsl &) = delete;
  FailingOpenSsl &operator=(const FailingOpenSsl &) = delete;

  // Whether there were so many calls.
  static bool HasFailed();
};

}  // namespace fernet::test
