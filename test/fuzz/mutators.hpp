// Mutators that know what a token and a list of keys are made of. libFuzzer's
// own change bits and bytes: of a base64 text that mostly gives another bad
// character.
#pragma once

#include <cstdint>
#include <string>

#include "fuzz/fuzz.hpp"

namespace fernet::fuzz {

// Mutate changes what an input says, by the random number `seed`.
using Mutate = void (*)(std::uint32_t seed, std::string *text);

// MutateToken changes a part of a token, its version, time, IV, a block or the
// HMAC, or its text: the padding, white space, the alphabet, where it ends.
void MutateToken(std::uint32_t seed, std::string *text);

// MutateKeys adds, removes, repeats or swaps keys of a list, or changes one in
// a way that has a Status of its own.
void MutateKeys(std::uint32_t seed, std::string *text);

// MutateTail is for LLVMFuzzerCustomMutator: the input is `head` bytes and then
// a text. Every second time libFuzzer's own mutations change it. Returns the
// new size.
std::size_t MutateTail(std::uint8_t *data, std::size_t size, std::size_t most,
                       std::uint32_t seed, std::size_t head, Mutate mutate);

}  // namespace fernet::fuzz
