// TokenReader on any text: what Load returns, the parts of a token that it
// accepts, and the chunks, in any order.
//
// An input: what to do (see Run), then the text, or how to make one: the size
// of the token, its first byte, the other bytes, and what to damage.
#include "core/token.hpp"

#include "fuzz/fuzz.hpp"
#include "fuzz/judge.hpp"
#include "fuzz/mutators.hpp"

namespace fernet::fuzz {
namespace {

std::string MakeText(Input *input) {
  const std::uint8_t how = input->Byte();
  std::size_t size = input->Size();
  if (how % 8 != 0) {
    // The size of a token.
    size = 57 + (size / 16 + 1) * 16;
  }
  std::string text;
  Input damages = *input;
  static_cast<void>(input->Number(8));
  Bytes bytes = input->Fill(size);
  if (how / 8 % 8 != 1 && !bytes.empty()) {
    bytes[0] = kVersion;
  }
  text = EncodeBits(bytes);
  if (how / 64 != 0) {
    DamageText(&damages, &text);
  }
  return text;
}

void CheckLastBlock(const TokenReader &reader, const JudgedToken &token) {
  TokenReader::Block previous;
  TokenReader::Block last;
  reader.LastBlock(&previous, &last);
  const View signed_part = token.signed_part();
  Require(Equal(previous, signed_part.last(32).first(16)) &&
              Equal(last, signed_part.last(16)),
          "LastBlock gives the last two blocks");
}

void CheckParts(const TokenReader &reader, const JudgedToken &token) {
  Require(reader.timestamp() == token.timestamp() &&
              Equal(reader.iv(), token.iv()) &&
              Equal(reader.hmac(), token.hmac()) &&
              reader.ciphertext_size() == token.ciphertext().size(),
          "the parts of a token are where they should be");
}

// ReadChunks reads the first `count` chunks and says whether they could be
// read: after LoadToRead, this finds a bad character.
bool ReadChunks(TokenReader *reader, const JudgedToken &token,
                std::size_t count, const Patience &patience) {
  const std::size_t asked_before = patience.asked();
  Bytes signed_part;
  Bytes ciphertext;
  for (std::size_t i = 0; i < count; ++i) {
    std::span<const std::uint8_t> chunk;
    Outcome outcome = reader->ReadSigned(i, &chunk);
    if (patience.EndedWith(outcome.status)) {
      return false;
    }
    if (!outcome.ok()) {
      Require(outcome == token.outcome,
              "reading finds the first bad character");
      return false;
    }
    signed_part.insert(signed_part.end(), chunk.begin(), chunk.end());
    outcome = reader->ReadCiphertext(i, &chunk);
    if (patience.EndedWith(outcome.status)) {
      return false;
    }
    Require(
        outcome.ok() && chunk.size() % 16 == 0 && chunk.size() <= kChunkSize,
        "a chunk can be read twice, and is whole blocks");
    ciphertext.insert(ciphertext.end(), chunk.begin(), chunk.end());
  }
  Require(patience.asked() - asked_before >= (count == 0 ? 0 : count - 1),
          "before each chunk but the first it is asked whether to go on");
  if (token.outcome.ok()) {
    Require(
        signed_part.size() <= token.signed_part().size() &&
            Equal(signed_part, token.signed_part().first(signed_part.size())) &&
            Equal(ciphertext, token.ciphertext().first(ciphertext.size())),
        "the chunks are what is signed");
    Require(count < reader->chunk_count() ||
                signed_part.size() == token.signed_part().size(),
            "the chunks are all that is signed");
  }
  return true;
}

void Run(Input input) {
  const std::uint8_t how = input.Byte();
  const bool as_it_is = how % 2 == 0;
  const bool to_read = how / 2 % 2 == 1;
  const bool kept = how / 4 % 2 == 1;
  const bool used_before = how / 8 % 2 == 1;
  const bool impatient = how / 16 % 8 == 7;
  const std::uint8_t number = input.Byte();
  const std::string text =
      as_it_is ? std::string(AsText(input.rest())) : MakeText(&input);
  Exact<char> exact(text, number % 64);

  TokenReader reader(Patience::Ask);
  if (used_before) {
    const std::string before = EncodeBits(Bytes(73 + 16 * number, kVersion));
    Require(reader.Load(before).ok(), "a token of version bytes is loaded");
  }
  const Patience patience(impatient ? number % 8 : text.size());
  const JudgedToken token = JudgeToken(text);
  const Outcome outcome =
      to_read ? reader.LoadToRead(exact.span()) : reader.Load(exact.span());
  if (patience.EndedWith(outcome.status)) {
    return;
  }
  Require(outcome == token.outcome || (to_read && outcome.ok()),
          "Load says of a text what the contract says");
  Require(IsMalformedToken(outcome.status) == !outcome.ok(),
          "what is refused is malformed");
  if (!outcome.ok()) {
    return;
  }
  if (token.outcome.ok()) {
    CheckParts(reader, token);
  }
  Exact<std::uint8_t> memory(reader.ciphertext_size(), number % 64);
  if (kept) {
    reader.KeepCiphertextIn(memory.span());
  }
  // A few chunks, then all of them, and once more.
  const std::size_t count = reader.chunk_count();
  if (!ReadChunks(&reader, token, number % count, patience) ||
      !ReadChunks(&reader, token, count, patience)) {
    return;
  }
  Require(token.outcome.ok(), "no bad character is left out");
  const std::size_t most = MaxPlaintextSize(text.size());
  Require(TokenSize(most) <= text.size() && TokenSize(most + 1) > text.size(),
          "a larger plaintext does not fit into a token of that size");
  CheckLastBlock(reader, token);
  ReadChunks(&reader, token, count, patience);
  memory.CheckFront();
}

}  // namespace
}  // namespace fernet::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data,
                                      std::size_t size) {
  fernet::fuzz::Run(fernet::fuzz::Input({data, size}));
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t *data,
                                               std::size_t size,
                                               std::size_t most,
                                               unsigned int seed) {
  using namespace fernet::fuzz;
  // Other inputs have no text.
  const bool has_text = size > 1 && data[0] % 2 == 0;
  return MutateTail(data, size, most, has_text ? seed : 0, 2, MutateToken);
}
