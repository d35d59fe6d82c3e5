// A token is decrypted if and only if we encrypted it: tokens are made, damaged
// as the input says, and then decrypted, rotated and judged by their age.
//
// An input: see Run, which reads it from top to bottom.
#include "core/keyring.hpp"

#include "fuzz/fuzz.hpp"
#include "fuzz/judge.hpp"

namespace fernet::fuzz {
namespace {

// The keys 0 to kKnown-1 are in the list, the one after them is not.
constexpr std::uint32_t kKnown = 3;

std::vector<Bytes> SomeKeys(int from, int count) {
  std::vector<Bytes> keys;
  for (int i = 0; i < count; ++i) {
    keys.push_back(KeyBytes(from + i));
  }
  return keys;
}

// The rings that encrypt hold one key each; the whole ring holds the list.
Keyring &SealingRing(std::uint32_t number) {
  static const auto rings = [] {
    std::vector<std::unique_ptr<Keyring>> made;
    for (std::uint32_t i = 0; i <= kKnown; ++i) {
      made.push_back(MakeRing(SomeKeys(static_cast<int>(i), 1)));
    }
    return made;
  }();
  return *rings[number];
}

Keyring &WholeRing() {
  static const auto ring = MakeRing(SomeKeys(0, kKnown));
  return *ring;
}

// SealText encrypts `plaintext` into a text without a spare character.
std::string SealText(std::uint32_t key, const Bytes &plaintext,
                     std::uint64_t timestamp, const Bytes &iv) {
  Exact<char> out(TokenSize(plaintext.size()), 0);
  const Status status = SealingRing(key).SealWithIv(
      plaintext, timestamp, std::span(iv).first<kIvSize>(), out.span());
  Require(status == Status::kOk, "a plaintext is sealed");
  const std::string text(out.span().begin(), out.span().end());
  const JudgedToken token = JudgeToken(text);
  Require(token.outcome.ok() && token.timestamp() == timestamp &&
              Equal(token.iv(), iv),
          "what is sealed is a token with its time and its IV");
  return text;
}

// SealAtRandom encrypts with an IV that the core draws. Returns nothing, also
// in `*out_text`, if there are no random bytes or it is told to stop.
bool SealAtRandom(std::uint32_t key, const Bytes &plaintext,
                  std::uint64_t timestamp, bool no_random,
                  const Patience &patience, std::string *out_text) {
  const SteadyRandom random(no_random);
  RandomBuffer ivs;
  Exact<char> out(TokenSize(plaintext.size()), 0);
  const Status status = SealingRing(key).Seal(plaintext, timestamp, &ivs,
                                              out.span(), Patience::Ask);
  if (patience.EndedWith(status)) {
    return false;
  }
  Require(status == (no_random ? Status::kRandomFailed : Status::kOk),
          "a plaintext is sealed if there are random bytes");
  out_text->assign(out.span().begin(), out.span().end());
  return status == Status::kOk;
}

// MakeLastFound makes the ring find a token of `key`, so that the key it
// remembers comes from this input.
void MakeLastFound(std::uint32_t key) {
  static const auto texts = [] {
    std::vector<std::string> made;
    for (std::uint32_t i = 0; i < kKnown; ++i) {
      made.push_back(SealText(i, {}, 0, Bytes(kIvSize)));
    }
    return made;
  }();
  TokenReader reader;
  std::uint32_t index = kKnown;
  Require(reader.Load(texts[key]).ok() &&
              WholeRing().FindKey(&reader, &index).ok() && index == key,
          "the key of a token is found");
}

// CheckOpen requires that the token of `reader` decrypts to `plaintext`, into
// `out`.
void CheckOpen(Keyring *ring, TokenReader *reader, std::uint32_t index,
               const Bytes &plaintext, const Patience &patience,
               Exact<std::uint8_t> *out) {
  Require(ring->CheckPadding(*reader, index) == Status::kOk,
          "a sealed token's padding is right");
  std::size_t size = 1;
  const Status status = ring->Open(reader, index, out->span(), &size);
  out->CheckFront();
  if (patience.EndedWith(status)) {
    Require(size == 0 &&
                std::ranges::count(out->span(), 0) == std::ssize(out->span()),
            "nothing of a plaintext is left when it is not wanted any more");
    return;
  }
  Require(status == Status::kOk, "a sealed token is opened");
  Require(Equal(out->span().first(size), plaintext),
          "what is opened is what was sealed");
}

void CheckRotate(TokenReader *reader, std::uint32_t index,
                 const Bytes &plaintext, bool no_random,
                 const Patience &patience) {
  const SteadyRandom random(no_random);
  RandomBuffer ivs;
  Exact<char> out(Keyring::RotatedSize(*reader), 0);
  std::size_t size = 1;
  const Status status =
      WholeRing().Rotate(reader, index, &ivs, out.span(), &size);
  if (patience.EndedWith(status) || no_random) {
    Require(status != Status::kOk && size == 0,
            "nothing is rotated without random bytes or patience");
    return;
  }
  Require(status == Status::kOk && size == TokenSize(plaintext.size()),
          "a sealed token is rotated");
  TokenReader rotated;
  Require(rotated.Load(out.span().first(size)).ok(),
          "what is rotated is a token");
  Require(rotated.timestamp() == reader->timestamp(),
          "rotation keeps the timestamp");
  std::uint32_t found = 1;
  Require(SealingRing(0).FindKey(&rotated, &found).ok() && found == 0,
          "what is rotated is under the first key");
  Exact<std::uint8_t> reopened(rotated.ciphertext_size(), 0);
  CheckOpen(&SealingRing(0), &rotated, 0, plaintext, patience, &reopened);
}

// CheckAge compares JudgeAge with numbers that cannot overflow.
void CheckAge(Input *input, std::uint64_t timestamp) {
  const std::uint8_t how = input->Byte();
  const std::uint64_t ttl = input->Number(how % 2 == 0 ? 1 : 8);
  const std::uint64_t offset = input->Number(how / 2 % 2 == 0 ? 1 : 8);
  // Any number, or one near either limit.
  const std::uint64_t base = how / 4 % 4 == 0   ? 0
                             : how / 4 % 4 == 1 ? timestamp + ttl
                             : how / 4 % 4 == 2 ? timestamp - 60
                                                : timestamp;
  const auto now = static_cast<std::int64_t>(how / 16 % 2 == 0 ? base + offset
                                                               : base - offset);
  using Wide = __int128;
  const Status expected =
      Wide{timestamp} + Wide{ttl} < Wide{now}  ? Status::kTokenExpired
      : Wide{now} + Wide{60} < Wide{timestamp} ? Status::kTokenFromFuture
                                               : Status::kOk;
  Require(JudgeAge(timestamp, ttl, now) == expected,
          "the age of a token is judged right");
}

// DamageBytes changes one byte of the token, near its front or its end.
void DamageBytes(Input *input, std::string *text) {
  Bytes bytes = DecodeBits(WithoutEquals(*text));
  bytes[input->Place(bytes.size())] ^= input->Byte();
  *text = EncodeBits(bytes);
}

void Run(Input input) {
  const std::uint8_t how = input.Byte();
  const std::uint32_t key = how % (kKnown + 1);
  const bool damage_bytes = how / 4 % 2 == 1;
  const bool damage_text = how / 8 % 2 == 1;
  const bool at_random = how / 16 % 2 == 1;
  const bool no_random = how / 32 == 7;
  const std::uint8_t reading = input.Byte();
  const bool to_read = reading % 2 == 1;
  const bool kept = reading / 2 % 2 == 1;
  const bool impatient = reading / 4 % 8 == 7;
  const std::uint8_t number = input.Byte();
  const std::size_t misalignment = number / 4;
  MakeLastFound(number % kKnown);

  const std::uint64_t timestamp = input.Number(8);
  CheckAge(&input, timestamp);
  const std::size_t size = input.Size();
  Input content = input;
  const Bytes iv = content.Fill(kIvSize);
  const Bytes plaintext = content.Fill(size);
  const Patience patience(impatient ? number / 4 : 4 * size);
  std::string sealed;
  if (!at_random) {
    sealed = SealText(key, plaintext, timestamp, iv);
  } else if (!SealAtRandom(key, plaintext, timestamp, no_random, patience,
                           &sealed)) {
    return;
  }
  const JudgedToken original = JudgeToken(sealed);
  Require(original.outcome.ok() && original.timestamp() == timestamp,
          "what is sealed is a token with its time");

  std::string text = sealed;
  if (damage_bytes) {
    DamageBytes(&input, &text);
  }
  if (damage_text) {
    DamageText(&input, &text);
  }
  const JudgedToken judged = JudgeToken(text);
  Exact<char> exact(text, misalignment);
  TokenReader reader(Patience::Ask);
  Outcome outcome =
      to_read ? reader.LoadToRead(exact.span()) : reader.Load(exact.span());
  if (patience.EndedWith(outcome.status)) {
    return;
  }
  // Otherwise FindKey, which reads the whole token, must refuse it.
  if (!to_read || !outcome.ok()) {
    Require(outcome == judged.outcome,
            "a damaged token is refused for its damage");
  }
  if (!outcome.ok()) {
    return;
  }
  Exact<std::uint8_t> out(reader.ciphertext_size(), misalignment);
  if (kept) {
    reader.KeepCiphertextIn(out.span());
  }
  std::uint32_t index = kKnown;
  outcome = WholeRing().FindKey(&reader, &index);
  if (patience.EndedWith(outcome.status)) {
    return;
  }
  if (!judged.outcome.ok()) {
    Require(outcome == judged.outcome,
            "a bad character is found when it is read");
    return;
  }
  if (key == kKnown || judged.bytes != original.bytes) {
    Require(outcome.status == Status::kNoKeyOpens,
            "nothing is opened that was not sealed with one of the keys");
    return;
  }
  Require(outcome.ok() && index == key, "the key that sealed a token is found");
  CheckRotate(&reader, index, plaintext, no_random, patience);
  CheckOpen(&WholeRing(), &reader, index, plaintext, patience, &out);
}

}  // namespace
}  // namespace fernet::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data,
                                      std::size_t size) {
  fernet::fuzz::Run(fernet::fuzz::Input({data, size}));
  return 0;
}
