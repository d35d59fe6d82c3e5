// KeyList::Parse compared with the contract: what it accepts, which Status and
// which key it reports otherwise, and that no byte of a key stays when it
// refuses.
//
// An input: 0 and then the list, or any other byte and then one byte for each
// piece of the list.
#include "core/key.hpp"

#include "fuzz/fuzz.hpp"
#include "fuzz/judge.hpp"
#include "fuzz/mutators.hpp"

namespace fernet::fuzz {
namespace {

constexpr int kKeys = 80;

// Pieces are the pieces of a list: valid and invalid keys, and separators.
std::vector<std::string> MakePieces() {
  std::vector<std::string> pieces;
  for (int i = 0; i < kKeys; ++i) {
    pieces.push_back(KeyText(i) + ",");
  }
  const std::string key = KeyText(0);
  const std::string digits(WithoutEquals(key));
  std::string hex;
  for (const std::uint8_t byte : KeyBytes(0)) {
    hex += "0123456789abcdef"[byte / 16];
    hex += "0123456789ABCDEF"[byte % 16];
  }
  std::string standard = key;
  standard[20] = '+';
  std::string spare_bits = key;
  spare_bits[42] = '_';
  const auto twice = [](const std::string &text) {
    return EncodeBits(
        View(reinterpret_cast<const std::uint8_t *>(text.data()), text.size()));
  };
  const std::string more[] = {
      ",",
      " ",
      "\r\n",
      "=",
      "A",
      "/",
      key,
      digits,
      digits + "A",
      hex,
      hex + "a",
      standard,
      spare_bits,
      twice(key),
      twice(digits),
      twice(hex),
      twice(key + "\n"),
      twice(key + "\r\n"),
      twice(key + " \r\n"),
      twice(spare_bits),
      twice("  " + digits),
  };
  pieces.insert(pieces.end(), std::begin(more), std::end(more));
  return pieces;
}

std::string MakeList(Input *input) {
  static const std::vector<std::string> pieces = MakePieces();
  if (input->Byte() == 0) {
    return std::string(AsText(input->rest()));
  }
  std::string list;
  for (const std::uint8_t piece : input->rest()) {
    list += pieces[piece % pieces.size()];
  }
  return list;
}

bool IsAllZero(const KeyList &list) {
  const auto *const bytes = reinterpret_cast<const std::uint8_t *>(&list);
  return std::all_of(bytes, bytes + sizeof list,
                     [](std::uint8_t byte) { return byte == 0; });
}

void Run(Input input) {
  // Kept from input to input: Parse replaces its content. It begins as zeros,
  // its padding too.
  static KeyList list;
  const std::string text = MakeList(&input);
  Exact<char> exact(text, 0);
  const Outcome outcome = list.Parse(exact.span());
  const JudgedKeys judged = JudgeKeys(text);
  Require(outcome == judged.outcome,
          "Parse says of a list of keys what the contract says");
  if (!outcome.ok()) {
    Require(list.keys().empty(), "a refused list has no keys");
    Require(IsAllZero(list), "a refused list is wiped");
    return;
  }
  Require(std::ranges::equal(list.keys(), judged.keys,
                             [](const Key &key, const Bytes &bytes) {
                               return Equal(key.bytes(), bytes);
                             }),
          "Parse finds the keys there are");
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
  const bool has_text = size > 0 && data[0] == 0;
  return MutateTail(data, size, most, has_text ? seed : 0, 1, MutateKeys);
}
