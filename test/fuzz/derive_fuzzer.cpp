// Everything of the core that computes with OpenSSL and takes no token:
// deriving, generating and naming keys, and blind indexes, against the
// reference; and all of it, with a keyring too, while a call of OpenSSL fails.
//
// An input: see Run, which reads it from top to bottom.
#include "core/derivation.hpp"

#include <dlfcn.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include <array>
#include <cstdlib>
#include <string_view>

#include "core/blind_index.hpp"
#include "core/key.hpp"
#include "core/library.hpp"
#include "core/secret_pages.hpp"
#include "fuzz/fuzz.hpp"
#include "fuzz/judge.hpp"
#include "support/reference.hpp"

namespace fernet::fuzz {
namespace {

using KeyRoom = std::array<char, kEncodedKeySize>;

Bytes Join(std::initializer_list<View> parts) {
  Bytes all;
  for (const View part : parts) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

View AsBytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t *>(text.data()), text.size()};
}

Bytes SlowHkdf(View secret, View salt, View info) {
  const Bytes nothing(32);
  const Bytes one = {1};
  const Bytes key =
      test::reference::HmacSha256(salt.empty() ? nothing : salt, secret);
  return test::reference::HmacSha256(key, Join({info, one}));
}

Bytes SlowPbkdf2(View secret, View salt, std::uint32_t iterations) {
  const Bytes block = {0, 0, 0, 1};
  Bytes last = test::reference::HmacSha256(secret, Join({salt, block}));
  Bytes sum = last;
  for (std::uint32_t i = 1; i < iterations; ++i) {
    last = test::reference::HmacSha256(secret, last);
    std::ranges::transform(sum, last, sum.begin(), [](auto a, auto b) {
      return static_cast<std::uint8_t>(a ^ b);
    });
  }
  return sum;
}

void CopyKey(const Bytes &bytes, Key *out) {
  std::ranges::copy(bytes, out->mutable_bytes().begin());
}

// Fault is a call of OpenSSL that fails: an allocation, or a call of AES.
struct Fault {
  enum Kind : std::uint8_t { kNone, kMemory, kCipher };
  Kind kind = kNone;
  std::size_t number = 0;

  bool exists() const { return kind != kNone; }
};

// How many calls of a kind are made until one fails; none does while this is 0.
std::array<std::size_t, 3> until_failure;

bool MustFail(Fault::Kind kind) {
  return until_failure[kind] > 0 && --until_failure[kind] == 0;
}

void *Allocate(std::size_t size, const char * /*file*/, int /*line*/) {
  return MustFail(Fault::kMemory) ? nullptr : std::malloc(size);
}

void *Reallocate(void *old, std::size_t size, const char * /*file*/,
                 int /*line*/) {
  return MustFail(Fault::kMemory) ? nullptr : std::realloc(old, size);
}

void Free(void *memory, const char * /*file*/, int /*line*/) {
  std::free(memory);
}

// OpenSSL takes these only before it has allocated anything.
const bool has_functions =
    CRYPTO_set_mem_functions(Allocate, Reallocate, Free) == 1;

// Update is EVP_EncryptUpdate or EVP_DecryptUpdate of OpenSSL.
using Update = int (*)(EVP_CIPHER_CTX *context, unsigned char *out,
                       int *out_size, const unsigned char *in, int size);

Update UpdateOf(const char *name) {
  return reinterpret_cast<Update>(dlsym(RTLD_NEXT, name));
}

// Planted makes a call of OpenSSL fail while it lives.
class Planted {
 public:
  explicit Planted(const Fault &fault) {
    until_failure[fault.kind] = fault.number;
  }
  ~Planted() {
    until_failure = {};
    Require(ERR_peek_error() == 0, "no error is left in OpenSSL's queue");
  }
  Planted(const Planted &) = delete;
  Planted &operator=(const Planted &) = delete;
};

// CheckDerived calls `derive` while OpenSSL fails. The key is `bytes`, or
// wiped.
template <typename Derive>
void CheckDerived(const Bytes &bytes, const Fault &fault, Derive derive) {
  KeyRoom text;
  text.fill('x');
  const Status status = [&] {
    const Planted planted(fault);
    return derive(text);
  }();
  if (status == Status::kOk) {
    Require(Equal(text, test::reference::Encode(bytes)),
            "a key is derived as the reference does");
    return;
  }
  Require(fault.exists() && status == Status::kCryptoFailed,
          "a key is derived, or OpenSSL fails");
  Require(std::ranges::count(text, '\0') == std::ssize(text),
          "a key that was not derived is wiped");
}

struct Arguments {
  Bytes secret;
  Bytes salt;
  Bytes info;
  std::uint32_t iterations;
};

void CheckDerivations(const Arguments &given, const Fault &fault) {
  CheckDerived(SlowHkdf(given.secret, given.salt, given.info), fault,
               [&](KeyRoom &text) {
                 return DeriveByHkdf(given.secret, given.salt, given.info,
                                     text);
               });
  CheckDerived(
      test::reference::Sha256(AsText(given.secret)), fault,
      [&](KeyRoom &text) { return DeriveBySha256(given.secret, text); });
  CheckDerived(SlowPbkdf2(given.secret, given.salt, given.iterations), fault,
               [&](KeyRoom &text) {
                 return DeriveByPbkdf2(given.secret, given.salt,
                                       given.iterations, Always, text);
               });
}

void CheckStop(const Arguments &given, std::size_t allowed) {
  const Patience patience(allowed);
  KeyRoom text;
  text.fill('x');
  const Status status = DeriveByPbkdf2(given.secret, given.salt, 3 * 4096 + 1,
                                       Patience::Ask, text);
  if (patience.EndedWith(status)) {
    Require(std::ranges::count(text, '\0') == std::ssize(text),
            "a key that is not wanted any more is wiped");
  }
  Require(DeriveByPbkdf2(given.secret, given.salt, 0, Always, text) ==
              Status::kCryptoFailed,
          "no iteration derives no key");
}

void CheckFingerprint(const Bytes &bytes, const Fault &fault) {
  constexpr std::string_view kLabel = "pg_fernet key fingerprint v1";
  const Bytes mac = test::reference::HmacSha256(bytes, AsBytes(kLabel));
  std::string expected;
  for (const std::uint8_t byte : View(mac).first(8)) {
    expected += "0123456789abcdef"[byte / 16];
    expected += "0123456789abcdef"[byte % 16];
  }
  Key key;
  CopyKey(bytes, &key);
  const Planted planted(fault);
  FingerprintText text;
  const Status status = Fingerprint(key, &text);
  Require(status == Status::kOk ? expected == text.data()
                                : fault.exists() && text[0] == '\0',
          "a fingerprint is what the reference computes");
}

void CheckGenerate(bool no_random) {
  const SteadyRandom random(no_random);
  KeyRoom text;
  text.fill('x');
  const Status status = GenerateKey(text);
  if (no_random) {
    Require(status == Status::kRandomFailed &&
                std::ranges::count(text, '\0') == std::ssize(text),
            "no key is generated without random bytes");
    return;
  }
  Key key;
  Require(status == Status::kOk && ParseKey(text, &key).ok(),
          "a key that is generated is a key");
}

std::vector<Key> SomeKeys(int count) {
  std::vector<Key> keys(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    CopyKey(KeyBytes(i), &keys[static_cast<std::size_t>(i)]);
  }
  return keys;
}

void CheckBlindIndex(Input *input, const Arguments &given, const Fault &fault) {
  constexpr std::string_view kPurpose = "pg_fernet blind index v1";
  const int count = 1 + input->Byte() % 3;
  const int which = input->Byte() % count;
  Exact<std::uint8_t> out(std::size_t{8} + input->Byte() % 25, 0);
  const Bytes size = {0, 0, 0, 0,
                      0, 0, 0, static_cast<std::uint8_t>(given.salt.size())};
  const Bytes zero = {0};
  const Bytes whole = test::reference::HmacSha256(
      KeyBytes(which),
      Join({AsBytes(kPurpose), zero, size, given.salt, given.secret}));
  const std::vector<Key> keys = SomeKeys(count);
  BlindIndexer indexer;
  const Planted planted(fault);
  if (indexer.Prepare(keys) != Status::kOk) {
    Require(fault.exists() && indexer.size() == 0,
            "keys of an index are prepared, or there are none");
    return;
  }
  const Status status = indexer.Compute(static_cast<std::uint32_t>(which),
                                        given.salt, given.secret, out.span());
  Require(status == Status::kOk
              ? Equal(out.span(), View(whole).first(out.span().size()))
              : fault.exists(),
          "a blind index is what the reference computes");
}

// A value of more than one step, which asks whether to go on.
void CheckLongValue(std::size_t allowed) {
  static const Bytes value(2 * 1024 * 1024 + 5);
  static BlindIndexer indexer;
  static const Status prepared = indexer.Prepare(SomeKeys(1));
  Require(prepared == Status::kOk, "a key of an index is prepared");
  const Patience patience(allowed);
  Hmac out;
  static_cast<void>(
      patience.EndedWith(indexer.Compute(0, {}, value, out, Patience::Ask)));
}

// CheckRing makes a keyring, seals with it, and rotates and opens what it has
// sealed, while OpenSSL fails.
void CheckRing(std::size_t plaintext_size, const Fault &fault) {
  Keyring ring;
  const std::vector<Key> keys = SomeKeys(2);
  const Planted planted(fault);
  if (ring.Prepare(keys) != Status::kOk) {
    Require(fault.exists() && ring.size() == 0,
            "a keyring that was not prepared is empty");
    return;
  }
  const Bytes plaintext(plaintext_size, 7);
  std::string text(TokenSize(plaintext.size()), '?');
  RandomBuffer ivs;
  if (ring.Seal(plaintext, 1, &ivs, text) != Status::kOk) {
    Require(fault.exists(), "a plaintext is sealed, or OpenSSL fails");
    return;
  }
  TokenReader reader;
  std::uint32_t index = 9;
  if (!reader.Load(text).ok() || !ring.FindKey(&reader, &index).ok() ||
      ring.CheckPadding(reader, index) != Status::kOk) {
    Require(fault.exists(), "the key of a token is found, or OpenSSL fails");
    return;
  }
  std::string rotated(Keyring::RotatedSize(reader), '?');
  std::size_t size = 0;
  const Status has_rotated = ring.Rotate(&reader, index, &ivs, rotated, &size);
  Require(has_rotated == Status::kOk ? size == text.size()
                                     : fault.exists() && size == 0,
          "a token is rotated, or OpenSSL fails");
  Bytes out(reader.ciphertext_size(), 1);
  const Status has_opened = ring.Open(&reader, index, out, &size);
  if (has_opened != Status::kOk) {
    Require(fault.exists() && std::ranges::count(out, 0) == std::ssize(out),
            "nothing is left of what was not opened to its end");
    return;
  }
  out.resize(size);
  Require(out == plaintext, "what is opened is what was sealed");
}

// CheckNoKeys tries to open a token with a keyring that was not prepared.
void CheckNoKeys() {
  const std::string text = test::reference::Seal(
      KeyBytes(0), 1, View(KeyBytes(9)).first(kIvSize), KeyBytes(1));
  TokenReader reader;
  std::uint32_t index = 0;
  Keyring ring;
  Require(reader.Load(text).ok() &&
              ring.FindKey(&reader, &index).status == Status::kNoKeyOpens,
          "without keys, no key opens a token");
}

// What needs no input: once is enough.
bool CheckOnce() {
  Require(has_functions, "OpenSSL allocates by this program");
  const SecretPages pages = SecretPages::Map(4096);
  Require(pages.address != nullptr, "pages can be mapped");
  Require(SecretPages::Map(std::size_t{1} << 62).address == nullptr,
          "more than there is cannot be mapped");
  Require(HasAlgorithms() && !IsFipsRequired() &&
              std::string_view(CryptoLibraryVersion()).starts_with("OpenSSL"),
          "the library is OpenSSL");
  CheckNoKeys();
  return true;
}

void Run(Input input) {
  static const bool once = CheckOnce();
  static_cast<void>(once);
  const std::uint8_t how = input.Byte();
  // 1 is an allocation, and 5 is AES.
  Fault fault;
  if (how % 4 == 1) {
    fault.kind = how % 8 == 1 ? Fault::kMemory : Fault::kCipher;
    fault.number = std::size_t{1} + input.Byte();
  }
  const std::size_t sizes[] = {input.Byte(), input.Byte(), input.Byte()};
  const std::uint32_t iterations = 1 + input.Byte() % 20;
  const Arguments given = {input.Fill(sizes[0]), input.Fill(sizes[1] % 100),
                           input.Fill(sizes[2] % 100), iterations};
  const Bytes key = input.Fill(kKeySize);
  CheckDerivations(given, fault);
  CheckFingerprint(key, fault);
  CheckBlindIndex(&input, given, fault);
  // Of one block, or of several chunks.
  CheckRing(how / 8 % 2 == 0 ? 40 : 3 * kChunkSize + 40, fault);
  CheckGenerate(how % 4 == 2);
  if (how % 16 == 3) {
    CheckStop(given, how / 16);
    CheckLongValue(how / 16);
  }
}

}  // namespace
}  // namespace fernet::fuzz

// In place of OpenSSL's, for the core.
extern "C" int EVP_EncryptUpdate(EVP_CIPHER_CTX *context, unsigned char *out,
                                 int *out_size, const unsigned char *in,
                                 int size) {
  using namespace fernet::fuzz;
  static const Update update = UpdateOf("EVP_EncryptUpdate");
  return MustFail(Fault::kCipher) ? 0
                                  : update(context, out, out_size, in, size);
}

extern "C" int EVP_DecryptUpdate(EVP_CIPHER_CTX *context, unsigned char *out,
                                 int *out_size, const unsigned char *in,
                                 int size) {
  using namespace fernet::fuzz;
  static const Update update = UpdateOf("EVP_DecryptUpdate");
  return MustFail(Fault::kCipher) ? 0
                                  : update(context, out, out_size, in, size);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data,
                                      std::size_t size) {
  fernet::fuzz::Run(fernet::fuzz::Input({data, size}));
  return 0;
}
