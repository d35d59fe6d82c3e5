// Where tokens sit in a value: whole, after a prefix, in a document, encoded
// again, or inside of another token.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/keyring.hpp"
#include "core/random.hpp"
#include "core/status.hpp"
#include "core/token.hpp"

namespace fernet {

// kTokenDigits is the size of the smallest token without '=': a value with
// fewer bytes holds none.
inline constexpr std::size_t kTokenDigits = 98;

// kMaxDecodings is how many encodings around a token are seen through, and
// kMaxNesting how many tokens.
inline constexpr std::uint32_t kMaxDecodings = 3;
inline constexpr std::uint32_t kMaxNesting = 8;

namespace recogniser {
struct Alphabet;
struct Run;
}  // namespace recogniser

enum class Encoding : std::uint8_t {
  kBase64,  // of either alphabet
  kHex,
};

// Layer is an encoding that was decoded: the digits in [begin, end) of the
// bytes that it stands in, without the first `skipped` bits. Line breaks
// between them are left out, also as JSON, URLs and XML write them.
struct Layer {
  Encoding encoding;
  std::uint32_t skipped;  // at most a digit
  std::size_t begin;
  std::size_t end;
};

// Place is where a token is, or was.
struct Place {
  enum Kind : std::uint8_t {
    kOpened,      // the key at `key_index` decrypts it
    kUnknownKey,  // it looks like a token, whatever its end, and no key
                  // decrypts it
    kNotTried,    // it looks like a token, and there is no key to try
    kRemnant,     // it begins like a token and is none: cut or changed
  };
  Kind kind;
  std::uint32_t key_index;  // from 0, for kOpened
  std::uint64_t timestamp;  // seconds since 1970, genuine for kOpened only
  // Its digits, '=' left out, in the bytes that the last layer decodes to; with
  // no layer, in the value, or in the plaintext of the token around it.
  std::size_t offset;
  std::size_t size;
  std::uint32_t nesting;  // how many tokens there are around it
  std::uint32_t decodings;
  std::array<Layer, kMaxDecodings> layers;  // from the outside in
};

// OffsetInValue is the offset in `value`, in bytes, at which the token at
// `place`, or its encoding, begins. Not for a place inside of another token.
std::size_t OffsetInValue(std::span<const char> value,
                          const Place &place) noexcept;

// MayHoldPlaces says whether there can be a place in `bytes`: whether somewhere
// in them are enough digits next to each other for a token, or for what is left
// of one with its beginning. It costs a fraction of Look.
bool MayHoldPlaces(std::span<const char> bytes) noexcept;

// SizeUpToOpenRun is how many of the first `bytes` of something longer can be
// looked at on their own: no place in them goes on in what follows, and none of
// what follows begins in them. 0 if everything is one run of digits.
std::size_t SizeUpToOpenRun(std::span<const char> bytes) noexcept;

// FoundPlace is told of each place, a token before what is inside of it.
using FoundPlace = void (*)(const Place &place, void *state) noexcept;

// Allowance bounds the work that a value may be: the bytes of candidates that
// are tried, those of them that are tried to find where a token ends, and the
// bytes that all which is decoded has. A value that is looked at in parts has
// one for all of them.
struct Allowance {
  std::size_t to_try = std::size_t{1} << 20;
  std::size_t to_end = std::size_t{1} << 16;
  std::size_t to_decode = std::size_t{1} << 20;

  // AddPart adds what a part of `size` bytes allows.
  void AddPart(std::size_t size) noexcept {
    to_try += 16 * size;
    to_end += 2 * size;
    to_decode += 32 * size;
  }
};

// Recogniser finds the tokens in values, and can rotate them where they are.
//
// A candidate begins with "gAAAAA", has the structure of a token, and ends
// where its run of base64url digits ends, or, if what it begins with is too
// random to be something else, at any digit before. One that no key opens is
// told of if it ends with its run, or is that random. A run that begins
// otherwise is a candidate only if a key opens it: a random secret may have
// that structure. The same is looked for in what base64 and hex digits decode
// to, at every alignment, and in the plaintext of every token that a key opens.
// Whether a candidate is a token of a key is never guessed.
//
// The work is in proportion to the size of the value, whatever is in it: the
// candidates that are tried have at most 16 bytes for each of the value's and
// 1 MiB, and all that is decoded at most 32 and 1 MiB. What needs more, or has
// more than kMaxNesting tokens around each other, is kTooManyCandidates.
class Recogniser {
 public:
  // ScratchSize is the room that a value of `size` bytes needs.
  static constexpr std::size_t ScratchSize(std::size_t size) noexcept {
    return 3 * size;
  }

  // Without keys, `ring` is null. `scratch` has ScratchSize of every value; all
  // that is written to it is wiped before Look, LookInto and Rotate return.
  // `go_on` is asked at least once for each MiB of work. With `shared`, what is
  // looked at are parts of one value.
  Recogniser(Keyring *ring, std::span<std::uint8_t> scratch, FoundPlace found,
             void *state, GoOn go_on = Always,
             Allowance *shared = nullptr) noexcept
      : ring_(ring),
        scratch_(scratch),
        found_(found),
        state_(state),
        go_on_(go_on),
        allowance_(shared == nullptr ? &own_allowance_ : shared) {}
  Recogniser(const Recogniser &) = delete;
  Recogniser &operator=(const Recogniser &) = delete;

  // Look tells of every place in `value`. Returns kTooManyCandidates,
  // kCryptoFailed or kStopped; what was told of until then is true.
  Status Look(std::span<const char> value) noexcept;

  // LookInto tells of every place in the plaintext of `token`, which the key at
  // `index` opens. A place in it has a nesting of 1. Returns what Look does,
  // and kNoKeyOpens where Keyring::Open does. Scratch is that of
  // token->ciphertext_size() bytes and those themselves.
  Status LookInto(TokenReader *token, std::uint32_t index) noexcept;

  // Rotate is Look, and re-encrypts with the first key, with its timestamp
  // kept, each token that another key opens or that has such a token inside.
  // Nothing else of `value` changes, nor does its size; places are told of as
  // they were. Unless it returns kOk, `value` is of no use. `*out_changed` says
  // whether anything was re-encrypted.
  Status Rotate(std::span<char> value, RandomBuffer *ivs,
                bool *out_changed) noexcept;

 private:
  using Bytes = std::span<std::uint8_t>;
  using Alphabet = recogniser::Alphabet;
  using Run = recogniser::Run;

  void Begin(std::size_t size) noexcept;
  Status End(Status status) noexcept;
  // Work counts `bytes` of it, and asks whether to go on, now and then.
  bool Work(std::size_t bytes) noexcept;
  // Use hands out the first `size` bytes of scratch, to be wiped at the end.
  Bytes Use(Bytes scratch, std::size_t size) noexcept;
  Place NewPlace(std::size_t begin, std::size_t end) const noexcept;
  void Tell(const Place &place) noexcept { found_(place, state_); }

  // NextRun finds the next run of an alphabet, from `*from` on, that is long
  // enough for it, and goes behind it. No digits: there is none any more.
  Status NextRun(Bytes bytes, const Alphabet &alphabet, std::size_t *from,
                 Run *out) noexcept;
  // LookAt tells of what is in `bytes`, LookAtRegion in a run of any digits,
  // LookAtRun in one of base64url, without decoding it.
  Status LookAt(Bytes bytes, Bytes scratch) noexcept;
  Status LookAtRegion(Bytes bytes, const Run &region, Bytes scratch) noexcept;
  Status LookAtRun(Bytes bytes, const Run &run, Bytes scratch,
                   bool *out_is_token) noexcept;
  Status NextStart(Bytes digits, std::size_t *from) noexcept;
  void TellOfStart(Bytes bytes, const Run &run, Place place,
                   bool *has_told) noexcept;
  Status TryEnds(Bytes bytes, std::size_t begin, std::size_t end, Bytes scratch,
                 Place *out) noexcept;
  Status TryToken(Bytes bytes, std::size_t begin, std::size_t end,
                  Bytes scratch, Place *out) noexcept;
  Status LookInside(TokenReader *token, std::uint32_t index, Bytes digits,
                    Bytes scratch) noexcept;
  Status Reseal(std::uint64_t timestamp, Bytes plaintext, Bytes digits,
                Bytes scratch) noexcept;
  // LookThrough decodes the runs of an alphabet in a region.
  Status LookThrough(Bytes bytes, const Run &region, const Alphabet &alphabet,
                     Bytes scratch) noexcept;
  // LookThroughRun leaves out the first `skipped` bits of the run, to find what
  // begins there.
  Status LookThroughRun(Bytes bytes, const Run &region, const Run &run,
                        const Alphabet &alphabet, std::uint32_t skipped,
                        Bytes scratch) noexcept;
  Status Decode(Bytes run, const Alphabet &alphabet, std::uint32_t skipped,
                Bytes out) noexcept;

  Keyring *const ring_;
  const Bytes scratch_;
  const FoundPlace found_;
  void *const state_;
  const GoOn go_on_;

  Allowance own_allowance_;
  Allowance *const allowance_;
  RandomBuffer *ivs_ = nullptr;  // to rotate, null to look only
  std::size_t work_ = 0;         // since go_on_ was asked last
  std::size_t changes_ = 0;      // tokens that were re-encrypted
  std::size_t used_ = 0;         // bytes of scratch_ that were written
  std::uint32_t nesting_ = 0;
  std::uint32_t decodings_ = 0;
  std::array<Layer, kMaxDecodings> layers_;
};

}  // namespace fernet
