// Code that the fuzzers share: to report that a property does not hold, and to
// turn the bytes of an input into sizes, texts and damages.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/keyring.hpp"

namespace fernet::fuzz {

using Bytes = std::vector<std::uint8_t>;
using View = std::span<const std::uint8_t>;

// Require ends the process with a message unless `holds`. libFuzzer then keeps
// the input.
void Require(bool holds, const char *property);

// Input hands out the bytes of an input from front to back, and zeros after the
// last one, so that every input is valid.
class Input {
 public:
  explicit Input(View bytes) : rest_(bytes) {}

  std::uint8_t Byte() {
    if (rest_.empty()) {
      return 0;
    }
    const std::uint8_t byte = rest_.front();
    rest_ = rest_.subspan(1);
    return byte;
  }
  // Number is the next `size` bytes, at most 8, as a big-endian number.
  std::uint64_t Number(int size) {
    std::uint64_t number = 0;
    for (int i = 0; i < size; ++i) {
      number = number << 8 | Byte();
    }
    return number;
  }
  // Place is an offset below `end`, which is not 0. Half of the numbers count
  // from the front and half from the back: the special bytes of a token are at
  // its ends.
  std::size_t Place(std::size_t end) {
    const std::size_t number = Number(2);
    const std::size_t from_edge = number / 2 % end;
    return number % 2 == 0 ? from_edge : end - 1 - from_edge;
  }
  // Size is below 240, or, for one number out of 16, within 128 bytes of the
  // end of the first, second or third chunk.
  std::size_t Size();
  // Fill makes `size` bytes, the first of them from the input.
  Bytes Fill(std::size_t size);

  View rest() const { return rest_; }

 private:
  View rest_;
};

// Exact is room for `size` elements. It begins `misalignment` bytes after an
// aligned address and ends with its allocation: AddressSanitizer sees every
// access past its end, and CheckFront sees writes before its beginning.
template <typename T>
class Exact {
 public:
  static_assert(sizeof(T) == 1);

  Exact(std::size_t size, std::size_t misalignment)
      : size_(size), front_(misalignment), all_(new T[front_ + size]) {
    std::fill_n(all_.get(), front_, kFiller);
  }
  template <typename Range>
  Exact(const Range &content, std::size_t misalignment)
      : Exact(content.size(), misalignment) {
    std::copy(content.begin(), content.end(), all_.get() + front_);
  }

  std::span<T> span() { return {all_.get() + front_, size_}; }
  void CheckFront() const {
    Require(std::all_of(all_.get(), all_.get() + front_,
                        [](T element) { return element == kFiller; }),
            "nothing is written before a buffer");
  }

 private:
  static constexpr T kFiller = 0x5a;

  std::size_t size_;
  std::size_t front_;
  std::unique_ptr<T[]> all_;
};

// Equal compares two ranges of bytes or characters.
template <typename A, typename B>
bool Equal(const A &a, const B &b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

inline bool operator==(const Outcome &a, const Outcome &b) {
  return a.status == b.status && a.offset == b.offset &&
         a.key_position == b.key_position;
}

std::string_view AsText(View bytes);

// DamageText changes, inserts and removes up to three characters of `text`,
// then its padding and the white space around it. The input says how; an input
// of zeros changes nothing.
void DamageText(Input *input, std::string *text);

// KeyBytes is key `number` of the unit tests: SHA-256 of
// "pg_fernet test key <number>".
const Bytes &KeyBytes(int number);
std::string KeyText(int number);

// MakeRing is a keyring of `keys`, each of 32 bytes, in that order.
std::unique_ptr<Keyring> MakeRing(std::span<const Bytes> keys);

// A Patience counts the calls of its GoOn, which returns false after a given
// number of them. Only one exists at a time.
class Patience {
 public:
  explicit Patience(std::size_t allowed_asks);
  // Ask is the GoOn for the core.
  static bool Ask() noexcept;

  // EndedWith says whether `status` is kStopped, which it must be if and only
  // if the GoOn returned false.
  bool EndedWith(Status status) const;

  // The number of calls so far.
  std::size_t asked() const;
};

// SteadyRandom makes OpenSSL's generator give the same bytes in every run, or
// fail, while it lives, so that an input always does the same.
class SteadyRandom {
 public:
  explicit SteadyRandom(bool fails);
  ~SteadyRandom();
  SteadyRandom(const SteadyRandom &) = delete;
  SteadyRandom &operator=(const SteadyRandom &) = delete;
};

}  // namespace fernet::fuzz
