#include "support/recogniser_reference.hpp"

#include <algorithm>
#include <optional>

namespace fernet::test::reference {
namespace {

const std::string kLetters =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

bool IsLetter(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
         (c >= 'a' && c <= 'z');
}
bool IsUrlSafe(char c) { return IsLetter(c) || c == '-' || c == '_'; }
bool IsStandard(char c) { return IsLetter(c) || c == '+' || c == '/'; }
bool IsAny(char c) { return IsUrlSafe(c) || IsStandard(c); }
bool IsHex(char c) { return IsLetter(c) && (c <= '9' || (c | 0x20) <= 'f'); }
bool IsBreak(char c) { return c == '\n' || c == '\r'; }

struct Stretch {
  std::size_t begin;
  std::size_t end;
};

std::string DigitsIn(std::string_view text, bool (*is_digit)(char)) {
  std::string digits;
  std::ranges::copy_if(text, std::back_inserter(digits), is_digit);
  return digits;
}

// Stretches are the longest runs of digits, with line breaks between them.
std::vector<Stretch> Stretches(std::string_view text, bool (*is_digit)(char),
                               bool has_breaks) {
  std::vector<Stretch> found;
  for (std::size_t i = 0; i < text.size();) {
    if (!is_digit(text[i])) {
      ++i;
      continue;
    }
    std::size_t end = i;
    for (std::size_t at = i; at < text.size(); ++at) {
      if (is_digit(text[at])) {
        end = at + 1;
      } else if (!has_breaks || !IsBreak(text[at])) {
        break;
      }
    }
    found.push_back({i, end});
    i = end;
  }
  return found;
}

int ValueOf(char c, const std::string &last_two) {
  if (c == last_two[0]) {
    return 62;
  }
  if (c == last_two[1]) {
    return 63;
  }
  const std::size_t at = kLetters.find(c);
  return at == std::string::npos ? -1 : static_cast<int>(at);
}

std::string FromBits(const std::vector<bool> &bits) {
  std::string bytes;
  for (std::size_t i = 0; i + 8 <= bits.size(); i += 8) {
    int byte = 0;
    for (std::size_t j = 0; j < 8; ++j) {
      byte = byte * 2 + (bits[i + j] ? 1 : 0);
    }
    bytes += static_cast<char>(byte);
  }
  return bytes;
}

std::string DecodeBase64(std::string_view digits, const std::string &last_two) {
  std::vector<bool> bits;
  for (const char c : digits) {
    for (int bit = 5; bit >= 0; --bit) {
      bits.push_back((ValueOf(c, last_two) >> bit & 1) != 0);
    }
  }
  return FromBits(bits);
}

std::string DecodeHex(std::string_view digits) {
  std::vector<bool> bits;
  for (const char c : digits) {
    const int value = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
    for (int bit = 3; bit >= 0; --bit) {
      bits.push_back((value >> bit & 1) != 0);
    }
  }
  return FromBits(bits);
}

// TokenIn is the bytes of a token without '=', or nothing.
std::optional<Bytes> TokenIn(std::string_view digits) {
  if (digits.size() % 4 == 1) {
    return std::nullopt;
  }
  std::string bits = DecodeBase64(digits, "-_");
  Bytes bytes(bits.begin(), bits.end());
  if (bytes.size() < 73 || (bytes.size() - 57) % 16 != 0 || bytes[0] != 0x80) {
    return std::nullopt;
  }
  // What no encoder writes is refused.
  std::string again = Encode(bytes);
  while (!again.empty() && again.back() == '=') {
    again.pop_back();
  }
  if (again != digits) {
    return std::nullopt;
  }
  return bytes;
}

class Search {
 public:
  explicit Search(const std::vector<Bytes> &keys) : keys_(keys) {}

  void In(std::string_view bytes, std::size_t nesting, std::size_t decodings) {
    for (const Stretch region : Stretches(bytes, IsAny, true)) {
      const std::string_view within = bytes.substr(0, region.end);
      const std::size_t digits =
          DigitsIn(within.substr(region.begin), IsAny).size();
      if (digits >= 32 && !IsOneToken(within, region, nesting, decodings) &&
          decodings < 3) {
        Through(within, region, nesting, decodings);
      }
    }
  }

  std::vector<Found> found;

 private:
  // IsOneToken finds the tokens that are there as they are, and says whether a
  // token is all that there is.
  bool IsOneToken(std::string_view bytes, Stretch region, std::size_t nesting,
                  std::size_t decodings) {
    bool is_one = false;
    for (const Stretch run :
         Stretches(bytes.substr(region.begin), IsUrlSafe, false)) {
      const Stretch there = {run.begin + region.begin, run.end + region.begin};
      if (there.end - there.begin >= 32 &&
          Run(bytes, there, nesting, decodings)) {
        is_one =
            is_one || (there.begin == region.begin && there.end == region.end);
      }
    }
    return is_one;
  }

  // Run says whether the run is a token from its beginning.
  bool Run(std::string_view bytes, Stretch run, std::size_t nesting,
           std::size_t decodings) {
    const std::string_view digits =
        bytes.substr(run.begin, run.end - run.begin);
    const bool begins = digits.substr(0, 6) == "gAAAAA";
    if (begins && !TokenIn(digits)) {
      Add("remnant", 0, 0, run, nesting, decodings);
    }
    bool has_told = false;
    for (std::size_t at = 0; at < digits.size(); ++at) {
      const std::string_view rest = digits.substr(at);
      if (rest.substr(0, 6) != "gAAAAA") {
        continue;
      }
      const auto token = TokenIn(rest);
      if (!token) {
        continue;
      }
      const Stretch place = {run.begin + at, run.end};
      if (Try(*token, place, nesting, decodings)) {
        return at == 0;
      }
      if (!has_told) {
        Add(keys_.empty() ? "not tried" : "unknown", 0, TimeOf(*token), place,
            nesting, decodings);
      }
      has_told = true;
    }
    const auto token = TokenIn(digits);
    return !begins && token && Try(*token, run, nesting, decodings);
  }

  bool Try(const Bytes &token, Stretch place, std::size_t nesting,
           std::size_t decodings) {
    for (std::size_t key = 0; key < keys_.size(); ++key) {
      const auto plaintext = Open(keys_[key], token);
      if (!plaintext) {
        continue;
      }
      Add("opened", key, TimeOf(token), place, nesting, decodings);
      In(std::string(plaintext->begin(), plaintext->end()), nesting + 1, 0);
      return true;
    }
    return false;
  }

  void Through(std::string_view bytes, Stretch region, std::size_t nesting,
               std::size_t decodings) {
    struct Kind {
      const char *name;
      bool (*is_digit)(char);
      std::size_t alignments;
    };
    for (const Kind &kind : {Kind{"url", IsUrlSafe, 4},
                             {"std", IsStandard, 4},
                             {"hex", IsHex, 2}}) {
      const std::string_view all = bytes.substr(region.begin);
      for (const Stretch run : Stretches(all, kind.is_digit, true)) {
        const std::string name = kind.name;
        if (name == "std" && IsRunOf(all, run, IsUrlSafe)) {
          continue;
        }
        std::size_t begin = run.begin;
        for (std::size_t i = 0; i < kind.alignments && begin < run.end; ++i) {
          const std::string digits =
              DigitsIn(all.substr(begin, run.end - begin), kind.is_digit);
          const std::string decoded =
              name == "hex" ? DecodeHex(digits)
                            : DecodeBase64(digits, name == "url" ? "-_" : "+/");
          if (DigitsIn(all.substr(run.begin, run.end - run.begin),
                       kind.is_digit)
                      .size() >= (name == "hex" ? 196u : 131u) &&
              decoded.size() >= 98) {
            In(decoded, nesting, decodings + 1);
          }
          do {
            ++begin;
          } while (begin < run.end && !kind.is_digit(all[begin]));
        }
      }
    }
  }

  static bool IsRunOf(std::string_view text, Stretch run,
                      bool (*is_digit)(char)) {
    const auto all = Stretches(text, is_digit, true);
    return std::ranges::any_of(all, [run](Stretch other) {
      return other.begin == run.begin && other.end == run.end;
    });
  }

  static std::uint64_t TimeOf(const Bytes &token) {
    std::uint64_t seconds = 0;
    for (std::size_t i = 1; i <= 8; ++i) {
      seconds = seconds << 8 | token[i];
    }
    return seconds;
  }

  void Add(const char *kind, std::size_t key, std::uint64_t timestamp,
           Stretch place, std::size_t nesting, std::size_t decodings) {
    found.push_back({kind, key, timestamp, decodings == 0 ? place.begin : 0,
                     place.end - place.begin, nesting, decodings});
  }

  const std::vector<Bytes> &keys_;
};

}  // namespace

std::vector<Found> Recognise(const std::vector<Bytes> &keys,
                             std::string_view value) {
  Search search(keys);
  search.In(value, 0, 0);
  std::ranges::sort(search.found);
  search.found.erase(std::unique(search.found.begin(), search.found.end()),
                     search.found.end());
  return search.found;
}

}  // namespace fernet::test::reference
