// RAND_METHOD is deprecated, but nothing else replaces the default generator.
#define OPENSSL_SUPPRESS_DEPRECATED

#include "fuzz/fuzz.hpp"

#include <openssl/rand.h>

#include <cstdio>
#include <cstdlib>
#include <map>

#include "support/reference.hpp"

// AddressSanitizer calls this for its settings: its defaults keep 256 MB of
// freed memory and thirty frames for each allocation, which takes half of the
// time.
extern "C" const char *__asan_default_options() {
  return "quarantine_size_mb=16:malloc_context_size=4";
}

namespace fernet::fuzz {

void Require(bool holds, const char *property) {
  if (!holds) {
    std::fprintf(stderr, "This does not hold: %s.\n", property);
    std::abort();
  }
}

std::size_t Input::Size() {
  const std::size_t size = Byte();
  if (size < 240) {
    return size;
  }
  return (size % 3 + 1) * kChunkSize - 128 + Byte();
}

Bytes Input::Fill(std::size_t size) {
  Bytes bytes(size);
  const View given = rest_.first(std::min(size, rest_.size()));
  auto to = std::ranges::copy(given, bytes.begin()).out;
  rest_ = rest_.subspan(given.size());
  // Xorshift, so that no two blocks are alike.
  std::uint32_t state = 0x9e3779b9;
  for (; to != bytes.end(); ++to) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    *to = static_cast<std::uint8_t>(state);
  }
  return bytes;
}

std::string_view AsText(View bytes) {
  return {reinterpret_cast<const char *>(bytes.data()), bytes.size()};
}

void DamageText(Input *input, std::string *text) {
  constexpr std::string_view kSpace = " \t\n\v\f\r";
  const std::uint8_t how = input->Byte();
  for (int count = how & 3; count > 0 && !text->empty(); --count) {
    const std::uint8_t kind = input->Byte();
    const std::size_t at = input->Place(text->size());
    const auto c = static_cast<char>(input->Byte());
    switch (kind % 4) {
      case 0:
        (*text)[at] = c;
        break;
      case 1:
        text->insert(at, 1, c);
        break;
      case 2:
        text->erase(at, 1);
        break;
      case 3:
        text->resize(at);
        break;
    }
  }
  switch (how >> 2 & 3) {
    case 1:
      text->erase(text->find_last_not_of('=') + 1);
      break;
    case 2:
      text->push_back('=');
      break;
    case 3:
      if (!text->empty() && text->back() == '=') {
        text->pop_back();
      }
      break;
  }
  if ((how >> 4 & 3) != 0) {
    text->insert(0, how >> 4 & 3, kSpace[input->Byte() % kSpace.size()]);
  }
  if ((how >> 6 & 3) != 0) {
    text->append(how >> 6 & 3, kSpace[input->Byte() % kSpace.size()]);
  }
}

const Bytes &KeyBytes(int number) {
  static std::map<int, Bytes> keys;
  Bytes &key = keys[number];
  if (key.empty()) {
    key =
        test::reference::Sha256("pg_fernet test key " + std::to_string(number));
  }
  return key;
}

std::string KeyText(int number) {
  return test::reference::Encode(KeyBytes(number));
}

std::unique_ptr<Keyring> MakeRing(std::span<const Bytes> keys) {
  std::vector<Key> prepared(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    std::ranges::copy(keys[i], prepared[i].mutable_bytes().begin());
  }
  auto ring = std::make_unique<Keyring>();
  Require(ring->Prepare(prepared) == Status::kOk, "a keyring can be prepared");
  return ring;
}

namespace {

std::size_t allowed = 0;
std::size_t asks = 0;
bool said_no = false;

}  // namespace

Patience::Patience(std::size_t allowed_asks) {
  allowed = allowed_asks;
  asks = 0;
  said_no = false;
}

bool Patience::Ask() noexcept {
  said_no = ++asks > allowed;
  return !said_no;
}

bool Patience::EndedWith(Status status) const {
  Require((status == Status::kStopped) == said_no,
          "the core stops if and only if it is told to");
  return said_no;
}

std::size_t Patience::asked() const { return asks; }

namespace {

int GiveSteadily(unsigned char *out, int size) {
  for (int i = 0; i < size; ++i) {
    out[i] = static_cast<unsigned char>(i * 7 + 1);
  }
  return 1;
}

int GiveNothing(unsigned char * /*out*/, int /*size*/) { return 0; }

constexpr RAND_METHOD MethodOf(int (*give)(unsigned char *, int)) {
  return {.seed = nullptr,
          .bytes = give,
          .cleanup = nullptr,
          .add = nullptr,
          .pseudorand = nullptr,
          .status = nullptr};
}

}  // namespace

SteadyRandom::SteadyRandom(bool fails) {
  static const RAND_METHOD steady = MethodOf(GiveSteadily);
  static const RAND_METHOD nothing = MethodOf(GiveNothing);
  RAND_set_rand_method(fails ? &nothing : &steady);
}

SteadyRandom::~SteadyRandom() { RAND_set_rand_method(nullptr); }

}  // namespace fernet::fuzz
