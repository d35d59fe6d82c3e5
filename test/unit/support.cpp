// RAND_METHOD is deprecated, but nothing else makes the default generator fail.
#define OPENSSL_SUPPRESS_DEPRECATED

#include "unit/support.hpp"

#include <openssl/rand.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <stdexcept>

#include "support/reference.hpp"

namespace fernet {

void PrintTo(Status status, std::ostream *out) {
  *out << "Status " << static_cast<int>(status);
}

namespace test {

int DigitValue(char c) {
  const std::size_t at = kUrlAlphabet.find(c);
  return at == std::string_view::npos ? -1 : static_cast<int>(at);
}

Bytes ToBytes(std::string_view text) { return {text.begin(), text.end()}; }

Bytes SomeBytes(std::size_t size, std::uint32_t seed) {
  std::mt19937 generator(seed);
  Bytes bytes(size);
  std::ranges::generate(
      bytes, [&] { return static_cast<std::uint8_t>(generator() >> 24); });
  return bytes;
}

Bytes TestKeyBytes(int number) {
  return reference::Sha256("pg_fernet test key " + std::to_string(number));
}

std::string TestKeyText(int number) {
  return reference::Encode(TestKeyBytes(number));
}

void LoadKey(std::span<const std::uint8_t> bytes, Key *out) {
  if (bytes.size() != kKeySize) {
    throw std::invalid_argument("not the size of a key");
  }
  std::ranges::copy(bytes, out->mutable_bytes().begin());
}

std::unique_ptr<Keyring> RingOf(std::initializer_list<int> numbers) {
  return RingOf(std::span(numbers.begin(), numbers.size()));
}

std::unique_ptr<Keyring> RingOf(std::span<const int> numbers) {
  std::vector<Key> keys(numbers.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    LoadKey(TestKeyBytes(numbers[i]), &keys[i]);
  }
  auto ring = std::make_unique<Keyring>();
  if (ring->Prepare(keys) != Status::kOk) {
    throw std::runtime_error("no keyring");
  }
  return ring;
}

std::unique_ptr<Keyring> RingOfText(std::string_view text) {
  KeyList list;
  auto ring = std::make_unique<Keyring>();
  if (!list.Parse(text).ok() || ring->Prepare(list.keys()) != Status::kOk) {
    throw std::runtime_error("no keyring");
  }
  return ring;
}

bool IsShort() { return std::getenv("FERNET_SHORT") != nullptr; }

std::vector<std::size_t> PlaintextSizes() {
  std::vector<std::size_t> sizes;
  for (std::size_t size = 0; size <= 100; ++size) {
    sizes.push_back(size);
  }
  for (const std::size_t end : {kChunkSize, 2 * kChunkSize}) {
    for (std::size_t size = end - 80; size <= end + 80; ++size) {
      sizes.push_back(size);
    }
  }
  sizes.push_back(std::size_t{1} << 20);
  if (IsShort()) {
    std::vector<std::size_t> some;
    for (std::size_t i = 0; i < sizes.size(); i += 7) {
      some.push_back(sizes[i]);
    }
    return some;
  }
  return sizes;
}

namespace {

// Decrypts the token in two ways: reading it each time it is needed, or keeping
// it.
enum class Reading { kAgain, kKept };

Opened OpenReading(Keyring *ring, std::string_view text, Reading reading) {
  Opened opened;
  TokenReader reader;
  opened.loaded =
      reading == Reading::kAgain ? reader.Load(text) : reader.LoadToRead(text);
  if (!opened.loaded.ok()) {
    return opened;
  }
  opened.timestamp = reader.timestamp();
  opened.plaintext.resize(reader.ciphertext_size());
  if (reading == Reading::kKept) {
    reader.KeepCiphertextIn(opened.plaintext);
  }
  std::size_t size = 0;
  const Outcome found = ring->FindKey(&reader, &opened.index);
  opened.found = found.status;
  if (IsMalformedToken(found.status)) {
    // The bad character was found only now.
    opened = Opened();
    opened.loaded = found;
    return opened;
  }
  if (found.ok()) {
    size = opened.plaintext.size();
    opened.status = ring->Open(&reader, opened.index, opened.plaintext, &size);
  }
  opened.plaintext.resize(size);
  return opened;
}

bool AreSame(const Opened &one, const Opened &other) {
  return one.loaded.status == other.loaded.status &&
         one.loaded.offset == other.loaded.offset && one.found == other.found &&
         (one.found != Status::kOk || one.index == other.index) &&
         one.status == other.status && one.timestamp == other.timestamp &&
         one.plaintext == other.plaintext;
}

}  // namespace

Opened OpenText(Keyring *ring, std::string_view text) {
  Opened opened = OpenReading(ring, text, Reading::kAgain);
  if (!AreSame(opened, OpenReading(ring, text, Reading::kKept))) {
    throw std::runtime_error("a token that is kept opens otherwise");
  }
  return opened;
}

bool OpensNever(Keyring *ring, std::string_view text) {
  const Opened opened = OpenText(ring, text);
  return opened.loaded.ok() ? opened.found == Status::kNoKeyOpens ||
                                  opened.status == Status::kNoKeyOpens
                            : IsMalformedToken(opened.loaded.status);
}

bool Contains(std::span<const std::uint8_t> haystack,
              std::span<const std::uint8_t> needle) {
  // clang 14 cannot compile the std::ranges::search of GCC 12.
  return std::search(haystack.begin(), haystack.end(), needle.begin(),
                     needle.end()) != haystack.end();
}

bool AllZero(std::span<const std::uint8_t> bytes) {
  return std::ranges::all_of(bytes,
                             [](std::uint8_t byte) { return byte == 0; });
}

bool ErrorQueueIsEmpty() {
  const bool empty = ERR_peek_error() == 0;
  ERR_clear_error();
  return empty;
}

namespace {

int GiveNothing(unsigned char * /*out*/, int /*size*/) {
  ERR_raise(ERR_LIB_RAND, ERR_R_INTERNAL_ERROR);
  return 0;
}

}  // namespace

FailingRandom::FailingRandom() {
  static const RAND_METHOD method = {.seed = nullptr,
                                     .bytes = GiveNothing,
                                     .cleanup = nullptr,
                                     .add = nullptr,
                                     .pseudorand = nullptr,
                                     .status = nullptr};
  // Without this, OpenSSL 3.0 leaks memory at exit: its own generator was never
  // used.
  unsigned char byte = 0;
  if (RAND_bytes(&byte, 1) != 1 || RAND_set_rand_method(&method) != 1) {
    throw std::runtime_error("no generator to replace");
  }
}

FailingRandom::~FailingRandom() { RAND_set_rand_method(nullptr); }

bool ForkWipesPages() {
#ifdef MADV_WIPEONFORK
  void *const page = mmap(nullptr, 1, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED || madvise(page, 1, MADV_WIPEONFORK) != 0) {
    return false;
  }
  auto *const byte = static_cast<volatile char *>(page);
  *byte = 1;
  const pid_t child = fork();
  if (child == 0) {
    _exit(*byte);
  }
  int status = 1;
  const bool waited = waitpid(child, &status, 0) == child;
  munmap(page, 1);
  return waited && status == 0;
#else
  return false;
#endif
}

}  // namespace test
}  // namespace fernet
