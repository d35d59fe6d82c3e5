// What the core does with secrets takes the same time whatever they are: no
// branch and no address depends on them. Run by valgrind, whose memcheck
// follows each bit that is not initialized through all that is computed from
// it, and complains of a branch or an address. Secrets are marked as such bits.
// Adam Langley's ctgrind had the idea.
//
// It prints a line for each part, and one for each thing that the core reveals
// on purpose, see src/core/reveal.hpp. It exits with 1 when a part has failed.

// RAND_METHOD is deprecated, but nothing else makes the random bytes secret.
#define OPENSSL_SUPPRESS_DEPRECATED

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <valgrind/memcheck.h>

#include <array>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base64url.hpp"
#include "core/base64url_kernels.hpp"
#include "core/blind_index.hpp"
#include "core/derivation.hpp"
#include "core/keyring.hpp"
#include "core/reveal.hpp"

namespace fernet {
namespace {

using Bytes = std::vector<std::uint8_t>;

struct Reason {
  Revealed what;
  const char *text;
  int count;
};

constinit std::array<Reason, 7> reasons = {
    Reason{
        Revealed::kListFormat,
        "where the commas, white space and '=' of a key list are: the format "
        "is public",
        0},
    {Revealed::kIsKey, "whether a text is a key: what is none is refused", 0},
    {Revealed::kKeysAreEqual,
     "whether two keys of a list, or their first halves, are the same", 0},
    {Revealed::kToken, "a finished token: it is sent and stored", 0},
    {Revealed::kIsGenuine,
     "whether a key opens a token, after a comparison in constant time", 0},
    {Revealed::kPlaintextSize,
     "the size of the plaintext of a genuine token, and whether its padding is "
     "right",
     0},
    {Revealed::kFingerprint, "the fingerprint of a key, which is shown", 0},
};

bool failed = false;

void Fail(const char *name, const char *why) {
  std::printf("FAILED %s: %s\n", name, why);
  failed = true;
}

template <typename T, std::size_t N>
void MakeSecret(std::span<T, N> data) {
  static_cast<void>(
      VALGRIND_MAKE_MEM_UNDEFINED(data.data(), data.size_bytes()));
}

// Forget makes what was computed from secrets ordinary again.
template <typename T, std::size_t N>
void Forget(std::span<T, N> data) {
  static_cast<void>(VALGRIND_MAKE_MEM_DEFINED(data.data(), data.size_bytes()));
}

// IsSecret says whether each byte has at least one secret bit: otherwise a
// secret was lost on the way, and what follows proves nothing.
template <typename T, std::size_t N>
bool IsSecret(std::span<T, N> data) {
  for (T &byte : data) {
    unsigned char bits = 0;
    static_cast<void>(VALGRIND_GET_VBITS(&byte, &bits, 1));
    if (bits == 0) {
      return false;
    }
  }
  return !data.empty();
}

// IsPublic says that no bit is secret.
template <typename T, std::size_t N>
bool IsPublic(std::span<T, N> data) {
  return VALGRIND_CHECK_MEM_IS_DEFINED(data.data(), data.size_bytes()) == 0;
}

// Complaints counts what memcheck has complained of so far.
unsigned Complaints() { return VALGRIND_COUNT_ERRORS; }

// SecretRandom gives random bytes that are secret, as those for keys and IVs
// are.
int SecretRandom(unsigned char *out, int size) {
  static std::uint32_t state = 1;
  for (int i = 0; i < size; ++i) {
    state = state * 1664525 + 1013904223;
    out[i] = static_cast<unsigned char>(state >> 24);
  }
  MakeSecret(std::span(out, static_cast<std::size_t>(size)));
  return 1;
}

void UseSecretRandom() {
  static const RAND_METHOD method = {.seed = nullptr,
                                     .bytes = SecretRandom,
                                     .cleanup = nullptr,
                                     .add = nullptr,
                                     .pseudorand = nullptr,
                                     .status = nullptr};
  if (RAND_set_rand_method(&method) != 1) {
    Fail("start", "the generator cannot be replaced");
  }
}

// Two keys of digits from every part of the alphabet. They share the half that
// signs, so that the padding of a token decides between them.
constexpr std::string_view kKeys =
    " -_09azAZabcdefghijklmnopqrstuvwxyz0123456-8=,\n"
    "-_09azAZabcdefghijklmnopqrstuvwxyz0123456_8 ";

// SecretText is `text`, made secret with all that is around its digits.
std::string SecretText(std::string_view text) {
  std::string copy(text);
  MakeSecret(std::span(copy));
  return copy;
}

// SecretBytesOf is `size` secret bytes.
Bytes SecretBytesOf(std::size_t size) {
  Bytes bytes(size, 0x5a);
  MakeSecret(std::span(bytes));
  return bytes;
}

std::unique_ptr<KeyList> SecretKeys() {
  auto list = std::make_unique<KeyList>();
  if (!list->Parse(SecretText(kKeys)).ok() || list->keys().size() != 2) {
    Fail("keys", "the list is refused");
  }
  return list;
}

std::unique_ptr<Keyring> SecretRing() {
  auto ring = std::make_unique<Keyring>();
  if (ring->Prepare(SecretKeys()->keys()) != Status::kOk) {
    Fail("keys", "they cannot be prepared");
  }
  return ring;
}

// RingOfSecond is a keyring of the second key only, which is not the first in
// SecretRing.
std::unique_ptr<Keyring> RingOfSecond() {
  auto ring = std::make_unique<Keyring>();
  if (ring->Prepare(SecretKeys()->keys().last(1)) != Status::kOk) {
    Fail("keys", "they cannot be prepared");
  }
  return ring;
}

// Sealed is a token of `size` secret bytes.
std::string Sealed(Keyring *ring, std::size_t size) {
  std::string text(TokenSize(size), '?');
  RandomBuffer ivs;
  if (ring->Seal(SecretBytesOf(size), 1795478400, &ivs, text) != Status::kOk) {
    Fail("seal", "a token cannot be made");
  }
  return text;
}

// Small, and of more than one chunk.
constexpr std::array<std::size_t, 5> kSizes = {0, 1, 16, 100, 30000};

bool Parse() {
  const auto list = SecretKeys();
  return IsSecret(list->keys()[0].bytes()) && IsSecret(list->keys()[1].bytes());
}

bool Generate() {
  std::array<char, kEncodedKeySize> text;
  return GenerateKey(text) == Status::kOk &&
         IsSecret(std::span(text).first<43>());
}

bool IsDerived(Status status, std::span<char, kEncodedKeySize> text) {
  return status == Status::kOk && IsSecret(text.first<43>());
}

bool Derive() {
  std::array<char, kEncodedKeySize> text;
  bool derived = true;
  // Up to a block of SHA-256 and beyond it, where HMAC digests the secret.
  for (const std::size_t size : {1, 63, 64, 65, 200}) {
    const Bytes secret = SecretBytesOf(size);
    const Bytes salt = {1, 2, 3};
    derived = IsDerived(DeriveByHkdf(secret, salt, salt, text), text) &&
              IsDerived(DeriveByPbkdf2(secret, salt, 3, Always, text), text) &&
              IsDerived(DeriveBySha256(secret, text), text) && derived;
  }
  return derived;
}

bool ShowFingerprint() {
  FingerprintText text;
  return Fingerprint(SecretKeys()->keys()[0], &text) == Status::kOk &&
         IsPublic(std::span(text));
}

bool Seal() {
  const auto ring = SecretRing();
  bool is_public = true;
  for (const std::size_t size : kSizes) {
    std::string token = Sealed(ring.get(), size);
    is_public = IsPublic(std::span(token)) && is_public;
  }
  return is_public;
}

bool OpenToken(Keyring *ring, std::string_view token, std::size_t size) {
  TokenReader reader;
  std::uint32_t index = 0;
  if (!reader.Load(token).ok() || !ring->FindKey(&reader, &index).ok()) {
    return false;
  }
  Bytes plaintext(reader.ciphertext_size());
  std::size_t plaintext_size = 0;
  return ring->CheckPadding(reader, index) == Status::kOk &&
         ring->Open(&reader, index, plaintext, &plaintext_size) ==
             Status::kOk &&
         plaintext_size == size &&
         (size == 0 || IsSecret(std::span(plaintext).first(size)));
}

bool Open() {
  const auto ring = SecretRing();
  bool opened = true;
  for (const std::size_t size : kSizes) {
    const std::string token = Sealed(RingOfSecond().get(), size);
    opened = OpenToken(ring.get(), token, size) && opened;
  }
  return opened;
}

// A token that no key opens.
bool Refuse() {
  const auto ring = SecretRing();
  std::string token = Sealed(ring.get(), 100);
  token[token.size() - 10] = token[token.size() - 10] == 'A' ? 'B' : 'A';
  TokenReader reader;
  std::uint32_t index = 0;
  return reader.Load(token).ok() &&
         ring->FindKey(&reader, &index).status == Status::kNoKeyOpens;
}

bool Rotate() {
  const auto ring = SecretRing();
  RandomBuffer ivs;
  bool rotated = true;
  for (const std::size_t size : kSizes) {
    const std::string token = Sealed(RingOfSecond().get(), size);
    TokenReader reader;
    std::uint32_t index = 0;
    rotated = reader.Load(token).ok() && ring->FindKey(&reader, &index).ok() &&
              rotated;
    std::string out(Keyring::RotatedSize(reader), '?');
    std::size_t out_size = 0;
    rotated =
        ring->Rotate(&reader, index, &ivs, out, &out_size) == Status::kOk &&
        IsPublic(std::span(out).first(out_size)) && rotated;
  }
  return rotated;
}

// The index stays as secret as what it is made of: whoever stores it reveals
// it.
bool ComputeBlindIndex() {
  BlindIndexer indexer;
  bool computed = indexer.Prepare(SecretKeys()->keys()) == Status::kOk;
  for (const std::size_t size : kSizes) {
    for (const std::uint32_t key : {0u, 1u}) {
      const Bytes context = {1, 2, 3};
      Hmac index;
      computed = indexer.Compute(key, context, SecretBytesOf(size), index,
                                 Always) == Status::kOk &&
                 IsSecret(std::span(index)) && computed;
    }
  }
  return computed;
}

struct Part {
  const char *name;
  bool (*run)();
};

constexpr std::array kParts = {Part{"parse", Parse},
                               Part{"generate", Generate},
                               Part{"derive", Derive},
                               Part{"fingerprint", ShowFingerprint},
                               Part{"seal", Seal},
                               Part{"open", Open},
                               Part{"refuse", Refuse},
                               Part{"rotate", Rotate},
                               Part{"blind index", ComputeBlindIndex}};

// Faults that must be seen: an address, as base64 for tokens makes it, and a
// branch.
constinit volatile int sink = 0;

bool LookUpDigits() {
  const std::string text = SecretText(kKeys.substr(1, 43));
  Bytes out(32);
  sink = static_cast<int>(
      base64url::DecodeWith(base64url::Kernels().back(), text, out) & 1);
  Forget(std::span(out));
  return true;
}

bool BranchOnKey() {
  const auto list = SecretKeys();
  if (list->keys()[0].bytes()[0] == 7) {
    sink = 1;
  }
  return true;
}

constexpr std::array kFaults = {Part{"an address", LookUpDigits},
                                Part{"a branch", BranchOnKey}};

void RunPart(const Part &part) {
  const unsigned before = Complaints();
  const bool done = part.run();
  const unsigned found = Complaints() - before;
  if (found != 0) {
    std::printf("FAILED %s: %u branches or addresses depend on a secret\n",
                part.name, found);
    failed = true;
  } else if (!done) {
    Fail(part.name, "it did not work, or a secret was not marked as one");
  } else {
    std::printf("ok %s\n", part.name);
  }
}

void RunFault(const Part &fault) {
  const unsigned before = Complaints();
  fault.run();
  if (Complaints() == before) {
    Fail(fault.name, "that depends on a key on purpose was not seen");
  } else {
    std::printf("ok %s that depends on a key on purpose is seen\n", fault.name);
  }
}

void PrintReasons() {
  for (const Reason &reason : reasons) {
    if (reason.count == 0) {
      Fail(reason.text, "nothing of this kind was revealed");
    } else {
      std::printf("let through %s (%d times)\n", reason.text, reason.count);
    }
  }
}

int Main() {
  if (RUNNING_ON_VALGRIND == 0) {
    static_cast<void>(
        std::fputs("constant_time: run it by valgrind\n", stderr));
    return 2;
  }
  UseSecretRandom();
  for (const Part &part : kParts) {
    RunPart(part);
  }
  PrintReasons();
  for (const Part &fault : kFaults) {
    RunFault(fault);
  }
  return failed ? 1 : 0;
}

}  // namespace

void MarkRevealed(Revealed what, const void *data, std::size_t size) noexcept {
  for (Reason &reason : reasons) {
    if (reason.what == what) {
      ++reason.count;
      static_cast<void>(VALGRIND_MAKE_MEM_DEFINED(data, size));
      return;
    }
  }
  Fail("reveal", "something that this program does not know was revealed");
}

}  // namespace fernet

int main() { return fernet::Main(); }
