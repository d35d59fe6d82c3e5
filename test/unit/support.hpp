// Code that the tests of the core share.
#pragma once

#include <openssl/err.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/keyring.hpp"

namespace fernet {

// PrintTo makes GoogleTest print the number of a Status.
void PrintTo(Status status, std::ostream *out);

namespace test {

using Bytes = std::vector<std::uint8_t>;

// kUrlAlphabet is the alphabet of RFC 4648, section 5.
inline constexpr std::string_view kUrlAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

// DigitValue is the value of a digit of base64url, or -1.
int DigitValue(char c);

Bytes ToBytes(std::string_view text);

// SomeBytes is `size` bytes that look random and are the same in every run.
Bytes SomeBytes(std::size_t size, std::uint32_t seed = 1);

// TestKeyBytes is test key `number`: SHA-256 of "pg_fernet test key <number>".
Bytes TestKeyBytes(int number);

// TestKeyText is the 44 characters of test key `number`.
std::string TestKeyText(int number);

// LoadKey fills `*out` with 32 `bytes`.
void LoadKey(std::span<const std::uint8_t> bytes, Key *out);

// RingOf is a keyring of the test keys `numbers`, in that order.
std::unique_ptr<Keyring> RingOf(std::initializer_list<int> numbers);
std::unique_ptr<Keyring> RingOf(std::span<const int> numbers);

// RingOfText is a keyring of the key list `text`.
std::unique_ptr<Keyring> RingOfText(std::string_view text);

inline constexpr std::array<std::uint8_t, kIvSize> kTestIv = {
    0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7,
    0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf};

// IsShort returns whether the variable FERNET_SHORT is set: for a processor
// that QEMU stands in for, on which the tests of many sizes would take an hour.
bool IsShort();

// PlaintextSizes are all sizes up to 100 bytes; all sizes around the end of the
// first and the second chunk, so that each part of a token crosses it once; and
// one size of many chunks. In the short form they are every seventh of these.
std::vector<std::size_t> PlaintextSizes();

// Opened is the result of FindKey and Open for a text that Load accepts: the
// same whether a large token is kept or not.
struct Opened {
  Outcome loaded;
  Status found = Status::kCryptoFailed;
  std::uint32_t index = 0;
  Status status = Status::kCryptoFailed;
  std::uint64_t timestamp = 0;
  Bytes plaintext;

  bool ok() const { return status == Status::kOk; }
};
Opened OpenText(Keyring *ring, std::string_view text);

// OpensNever says whether `text` is refused, either as malformed or because no
// key decrypts it.
bool OpensNever(Keyring *ring, std::string_view text);

// Memory is room for a `T` whose bytes stay readable after its destruction.
// A volatile pointer reads them one by one, so that the compiler can neither
// drop nor predict what the destructor wrote.
template <typename T>
class Memory {
 public:
  // Fills the room with `filler` and constructs the object in it.
  template <typename... Arguments>
  explicit Memory(std::uint8_t filler, Arguments &&...arguments) {
    // Volatile, because the compiler may drop stores before the object's life
    // begins; the bytes that the object does not initialize would then be
    // garbage.
    volatile std::uint8_t *const to = bytes_;
    for (std::size_t i = 0; i < sizeof(T); ++i) {
      to[i] = filler;
    }
    object_ = new (bytes_) T(std::forward<Arguments>(arguments)...);
  }
  ~Memory() { Destroy(); }
  Memory(const Memory &) = delete;
  Memory &operator=(const Memory &) = delete;

  T *object() { return object_; }
  void Destroy() {
    if (object_ != nullptr) {
      object_->~T();
      object_ = nullptr;
    }
  }
  Bytes Read() const {
    const volatile std::uint8_t *from = bytes_;
    Bytes bytes(sizeof(T));
    for (std::uint8_t &byte : bytes) {
      byte = *from++;
    }
    return bytes;
  }

 private:
  alignas(T) std::uint8_t bytes_[sizeof(T)];
  T *object_ = nullptr;
};

// Contains says whether `needle` is somewhere in `haystack`.
bool Contains(std::span<const std::uint8_t> haystack,
              std::span<const std::uint8_t> needle);

bool AllZero(std::span<const std::uint8_t> bytes);

// ErrorQueueIsEmpty says whether OpenSSL's error queue is empty, and empties
// it.
bool ErrorQueueIsEmpty();

// FailingRandom makes OpenSSL's generator fail while it lives.
class FailingRandom {
 public:
  FailingRandom();
  ~FailingRandom();
  FailingRandom(const FailingRandom &) = delete;
  FailingRandom &operator=(const FailingRandom &) = delete;
};

// ForkWipesPages returns whether the platform does what madvise promises. QEMU
// 7.2, which stands in for other processors, takes the advice and ignores it.
bool ForkWipesPages();

}  // namespace test
}  // namespace fernet
