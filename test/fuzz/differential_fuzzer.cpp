// The core compared with the tests' own Fernet: both decrypt, or refuse, the
// same tokens with the same keys, in MultiFernet's order, even if keys share a
// half.
//
// An input: the number of keys, the keys, and then how to make a token: see
// MakeText.
#include "core/keyring.hpp"

#include <map>
#include <optional>

#include "fuzz/fuzz.hpp"
#include "fuzz/judge.hpp"
#include "support/reference.hpp"

namespace fernet::fuzz {
namespace {

namespace reference = test::reference;

// A key is one of nine: three signing halves, three encryption halves.
Bytes MakeKey(std::uint8_t number) {
  const Bytes &signing = KeyBytes(number % 3);
  const Bytes &encryption = KeyBytes(number / 3 % 3);
  Bytes key(signing.begin(), signing.begin() + 16);
  key.insert(key.end(), encryption.begin() + 16, encryption.end());
  return key;
}

// RingOf is made once for each list of keys.
Keyring *RingOf(const std::vector<Bytes> &keys) {
  static std::map<std::vector<Bytes>, std::unique_ptr<Keyring>> rings;
  std::unique_ptr<Keyring> &ring = rings[keys];
  if (ring == nullptr) {
    ring = MakeRing(keys);
  }
  return ring.get();
}

// MakeText makes a token of a plaintext; of blocks that may end in no padding;
// of a ciphertext that is signed but was never encrypted; or takes the rest of
// the input as it is. Some are damaged afterwards.
std::string MakeText(Input *input) {
  const std::uint8_t how = input->Byte();
  const Bytes key = MakeKey(input->Byte());
  const std::uint64_t timestamp = input->Number(8);
  const std::uint8_t last = input->Byte();
  const std::size_t size = input->Size();
  Input damages = *input;
  const Bytes iv = input->Fill(16);
  std::string text;
  switch (how % 4) {
    case 0:
      text = reference::Seal(key, timestamp, iv, input->Fill(size));
      break;
    case 1: {
      Bytes padded = input->Fill((size / 16 + 1) * 16);
      padded.back() = last;
      if (how / 4 % 2 == 1) {
        const std::size_t padding = std::min<std::size_t>(last, 17);
        std::fill(padded.end() - static_cast<std::ptrdiff_t>(
                                     std::min(padding, padded.size())),
                  padded.end(), last);
      }
      text = reference::SealPadded(key, timestamp, iv, padded);
      break;
    }
    case 2: {
      Bytes signed_part =
          input->Fill(25 + (how / 4 % 4 == 0 ? size : (size / 16 + 1) * 16));
      signed_part[0] = 0x80;
      text = reference::Sign(key, signed_part);
      break;
    }
    case 3:
      return std::string(AsText(input->rest()));
  }
  if (how / 16 % 4 == 3) {
    DamageText(&damages, &text);
  }
  return text;
}

struct Answer {
  bool opened = false;
  std::uint32_t index = 0;
  Bytes plaintext;

  bool operator==(const Answer &) const = default;
};

// ExpectedAnswer is the answer of MultiFernet: the first key that decrypts the
// token.
Answer ExpectedAnswer(const std::vector<Bytes> &keys,
                      const JudgedToken &token) {
  for (std::uint32_t i = 0; token.outcome.ok() && i < keys.size(); ++i) {
    if (auto plaintext = reference::Open(keys[i], token.bytes)) {
      return {true, i, std::move(*plaintext)};
    }
  }
  return {};
}

bool AllZero(std::span<const std::uint8_t> bytes) {
  return std::ranges::all_of(bytes,
                             [](std::uint8_t byte) { return byte == 0; });
}

// How a token is read: decoded each time it is needed, or kept in the memory
// for its plaintext.
enum class Reading { kAgain, kKept };

// OurAnswer is the answer of the core. It also checks what the core promises
// about refusals.
Answer OurAnswer(Keyring *ring, std::string_view text, const JudgedToken &token,
                 Reading reading) {
  const bool kept = reading == Reading::kKept;
  TokenReader reader;
  const Outcome loaded = kept ? reader.LoadToRead(text) : reader.Load(text);
  if (!loaded.ok()) {
    Require(loaded == token.outcome, "both refuse a text for the same reason");
    return {};
  }
  Exact<std::uint8_t> out(reader.ciphertext_size(), 0);
  if (kept) {
    reader.KeepCiphertextIn(out.span());
  }
  std::uint32_t index = 0;
  const Outcome found = ring->FindKey(&reader, &index);
  if (!found.ok()) {
    Require(found.status == Status::kNoKeyOpens || found == token.outcome,
            "a token for which there is no key is refused for that");
    return {};
  }
  const Status padding = ring->CheckPadding(reader, index);
  std::size_t size = 1;
  const Status opened = ring->Open(&reader, index, out.span(), &size);
  Require(opened == padding, "CheckPadding says whether Open succeeds");
  if (opened != Status::kOk) {
    Require(opened == Status::kNoKeyOpens && size == 0 && AllZero(out.span()),
            "nothing of a refused plaintext is left");
    return {};
  }
  Require(size <= out.span().size(), "a plaintext is smaller than its token");
  const auto plaintext = out.span().first(size);
  return {true, index, {plaintext.begin(), plaintext.end()}};
}

// CheckRotate reads with the reference what the core has rotated.
void CheckRotate(Keyring *ring, const Bytes &first_key, std::string_view text,
                 const Answer &answer) {
  const SteadyRandom random(false);
  RandomBuffer ivs;
  TokenReader reader;
  std::uint32_t index = 0;
  if (!reader.Load(text).ok() || !ring->FindKey(&reader, &index).ok()) {
    return;
  }
  Exact<char> out(Keyring::RotatedSize(reader), 0);
  std::size_t size = 1;
  const Status status = ring->Rotate(&reader, index, &ivs, out.span(), &size);
  if (!answer.opened) {
    Require(status == Status::kNoKeyOpens && size == 0,
            "what cannot be opened is not rotated");
    return;
  }
  Require(status == Status::kOk, "what can be opened is rotated");
  const JudgedToken rotated =
      JudgeToken(std::string_view(out.span().data(), size));
  Require(rotated.outcome.ok() && rotated.timestamp() == reader.timestamp(),
          "rotation makes a token of the same time");
  Require(reference::Open(first_key, rotated.bytes) == answer.plaintext,
          "the reference reads what was rotated");
}

void CheckText(Keyring *ring, const std::vector<Bytes> &keys,
               std::string_view text) {
  const JudgedToken token = JudgeToken(text);
  const Answer expected = ExpectedAnswer(keys, token);
  Require(OurAnswer(ring, text, token, Reading::kAgain) == expected &&
              OurAnswer(ring, text, token, Reading::kKept) == expected,
          "both open a token with the same key to the same plaintext");
  CheckRotate(ring, keys[0], text, expected);
}

void Run(Input input) {
  std::vector<Bytes> keys(1 + input.Byte() % 3);
  for (Bytes &key : keys) {
    key = MakeKey(input.Byte());
  }
  Keyring *const ring = RingOf(keys);
  // First a token of one of the keys: the ring must not remember a key from
  // another input.
  const Bytes &remembered = keys[input.Byte() % keys.size()];
  const std::string text = reference::Seal(remembered, 0, Bytes(16), {});
  TokenReader reader;
  std::uint32_t index = 0;
  Require(reader.Load(text).ok() && ring->FindKey(&reader, &index).ok() &&
              keys[index] == remembered,
          "the key of a token is found");
  CheckText(ring, keys, MakeText(&input));
}

}  // namespace
}  // namespace fernet::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data,
                                      std::size_t size) {
  fernet::fuzz::Run(fernet::fuzz::Input({data, size}));
  return 0;
}
