#include "fuzz/mutators.hpp"

#include <algorithm>
#include <vector>

#include "fuzz/judge.hpp"

// libFuzzer defines it.
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t *data, std::size_t size,
                                        std::size_t most);

namespace fernet::fuzz {
namespace {

// Draws are numbers below a bound, one after the other.
class Draws {
 public:
  explicit Draws(std::uint32_t seed) : state_(seed | 1) {}

  std::size_t Below(std::size_t bound) {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 17;
    state_ ^= state_ << 5;
    return bound == 0 ? 0 : state_ % bound;
  }

 private:
  std::uint32_t state_;
};

// ChangeParts changes the bytes of a token where one of its parts is.
void ChangeParts(Draws *draws, Bytes *token) {
  if (token->size() < 73) {
    token->resize(73 + 16 * draws->Below(4));
    (*token)[0] = kVersion;
    return;
  }
  const std::size_t end = token->size() - 32;
  const auto set = [&](std::size_t from, std::size_t size) {
    (*token)[from + draws->Below(size)] =
        static_cast<std::uint8_t>(draws->Below(256));
  };
  switch (draws->Below(8)) {
    case 0:
      (*token)[0] = static_cast<std::uint8_t>(kVersion + 1 - draws->Below(3));
      break;
    case 1:
      set(1, 8);
      break;
    case 2:
      set(9, 16);
      break;
    case 3:
      set(25, end - 25);
      break;
    case 4:
      set(end, 32);
      break;
    case 5:  // one block more
      token->insert(token->begin() + 25, 16, 0x5a);
      break;
    case 6:  // one block less
      token->erase(token->begin() + 25,
                   token->begin() + 25 +
                       std::min<std::ptrdiff_t>(
                           16, static_cast<std::ptrdiff_t>(end) - 25));
      break;
    default:  // no whole block
      token->erase(token->begin() + 25);
      break;
  }
}

void ChangeText(Draws *draws, std::string *text) {
  constexpr std::string_view kOdd = "+/ \t\r\n=%.\"'\\";
  const std::size_t at = draws->Below(text->size() + 1);
  switch (draws->Below(6)) {
    case 0:
      text->append(1 + draws->Below(3), '=');
      break;
    case 1:
      *text = std::string(WithoutEquals(*text));
      break;
    case 2:
      text->insert(at, 1, kOdd[draws->Below(kOdd.size())]);
      break;
    case 3:
      text->resize(at);
      break;
    case 4:
      *text = ' ' + *text + '\n';
      break;
    default:
      *text += *text;
      break;
  }
}

// OneKey is a key, or what is nearly one.
std::string OneKey(Draws *draws) {
  std::string key = KeyText(static_cast<int>(draws->Below(8)));
  switch (draws->Below(8)) {
    case 0:
      key.pop_back();
      break;
    case 1:
      key[draws->Below(key.size())] = "+/!"[draws->Below(3)];
      break;
    case 2:
      key[42] = "BCDEFGH_"[draws->Below(8)];
      break;
    case 3:
      key = "\"'"[draws->Below(2)] + key;
      break;
    case 4:
      key =
          std::string(draws->Below(2) == 0 ? "\xef\xbb\xbf" : "\xc2\xa0") + key;
      break;
    case 5:
      key = std::string(draws->Below(2) == 0 ? "b'" : "KEY=") + key;
      break;
    default:
      break;
  }
  return key;
}

}  // namespace

void MutateToken(std::uint32_t seed, std::string *text) {
  Draws draws(seed);
  const std::string_view digits = WithoutEquals(*text);
  if (FirstBadDigit(digits) == digits.size() && draws.Below(3) != 0) {
    Bytes token = DecodeBits(digits);
    ChangeParts(&draws, &token);
    *text = EncodeBits(token);
  } else {
    ChangeText(&draws, text);
  }
}

void MutateKeys(std::uint32_t seed, std::string *text) {
  Draws draws(seed);
  std::vector<std::string> keys;
  for (std::size_t from = 0; from <= text->size();) {
    const std::size_t comma = std::min(text->find(',', from), text->size());
    keys.push_back(text->substr(from, comma - from));
    from = comma + 1;
  }
  const std::size_t at = draws.Below(keys.size());
  switch (draws.Below(6)) {
    case 0:
      keys.insert(keys.begin() + static_cast<std::ptrdiff_t>(at),
                  OneKey(&draws));
      break;
    case 1:
      keys.erase(keys.begin() + static_cast<std::ptrdiff_t>(at));
      break;
    case 2:
      keys.push_back(keys[at]);
      break;
    case 3:
      std::swap(keys[at], keys[draws.Below(keys.size())]);
      break;
    case 4:
      keys[at] = ' ' + keys[at] + '\n';
      break;
    default:
      keys[at] = OneKey(&draws);
      break;
  }
  text->clear();
  for (const std::string &key : keys) {
    *text += (&key == keys.data() ? "" : ",") + key;
  }
}

std::size_t MutateTail(std::uint8_t *data, std::size_t size, std::size_t most,
                       std::uint32_t seed, std::size_t head, Mutate mutate) {
  if (size < head || most <= head || seed % 2 == 0) {
    return LLVMFuzzerMutate(data, size, most);
  }
  std::string text(reinterpret_cast<const char *>(data) + head, size - head);
  mutate(seed / 2, &text);
  text.resize(std::min(text.size(), most - head));
  std::ranges::copy(text, data + head);
  return head + text.size();
}

}  // namespace fernet::fuzz
