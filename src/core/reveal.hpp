// Where the core acts on what it has computed from a secret. Everything else is
// constant in time: no branch and no address depends on a key, on a plaintext
// or on random bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace fernet {

// Revealed names each thing that is computed from secrets and is none, with the
// reason. test/constant_time knows all of them.
enum class Revealed : std::uint8_t {
  // Where the commas, the white space and the '=' of a key list are. The format
  // is public: everybody's keys have 43 digits.
  kListFormat,
  // Whether a text is a key. If it is none, nobody uses it, and the message
  // says
  // what is wrong.
  kIsKey,
  // Whether two keys of a list are the same one, or share the half that signs:
  // such a list is refused, or tried in its order.
  kKeysAreEqual,
  // A finished token: it is written to tables and sent to others.
  kToken,
  // Whether a key opens a token: the caller is told. The comparison takes the
  // same time wherever the two differ.
  kIsGenuine,
  // How long the plaintext of a genuine token is: within a block, the token's
  // length shows it. And whether its padding is right, which only a holder of
  // the key can have made wrong.
  kPlaintextSize,
  // A fingerprint of a key, which is made to be shown.
  kFingerprint,
};

#if defined(FERNET_CONSTANT_TIME)
// The program of test/constant_time defines it: it tells valgrind that the
// `size` bytes at `data` are no secret any more.
void MarkRevealed(Revealed what, const void *data, std::size_t size) noexcept;
#else
inline void MarkRevealed(Revealed, const void *, std::size_t) noexcept {}
#endif

// Reveal is `value`, on which the caller may act. It does nothing else but in
// the test.
template <typename T>
T Reveal(Revealed what, T value) noexcept {
  MarkRevealed(what, &value, sizeof value);
  return value;
}

// RevealBytes is Reveal for the bytes of a span.
inline std::span<const std::uint8_t> RevealBytes(
    Revealed what, std::span<const std::uint8_t> bytes) noexcept {
  MarkRevealed(what, bytes.data(), bytes.size());
  return bytes;
}

}  // namespace fernet
