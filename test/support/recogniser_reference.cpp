#include "support/recogniser_reference.hpp"

#include <algorithm>
#include <optional>
#include <set>

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

// BreakAt is the size of a line break at `at`, in any of the forms that are
// left out between digits, or 0.
std::size_t BreakAt(std::string_view text, std::size_t at) {
  if (std::string_view("%&\\ \t\r\n").find(text[at]) == text.npos) {
    return 0;
  }
  std::string lower(text.substr(at, 80));
  std::ranges::transform(lower, lower.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  });
  for (const std::string form :
       {"%0a", "%0d", "&#10;", "&#13;", "&#xa;", "&#xd;"}) {
    if (lower.starts_with(form)) {
      return form.size();
    }
  }
  const std::size_t slashes =
      std::min(lower.find_first_not_of('\\'), lower.size());
  const std::string rest = lower.substr(slashes);
  if (slashes > 0 && slashes <= 64 && !rest.empty()) {
    if (rest[0] == '/' || IsBreak(rest[0])) {
      return slashes;
    }
    if (text[at + slashes] == 'n' || text[at + slashes] == 'r') {
      return slashes + 1;
    }
    return rest.starts_with("u000a") || rest.starts_with("u000d") ? slashes + 5
                                                                  : 0;
  }
  const std::size_t blanks = std::min(
      {lower.find_first_not_of(" \t\r\n"), lower.size(), std::size_t{64}});
  return std::any_of(lower.begin(),
                     lower.begin() + static_cast<std::ptrdiff_t>(blanks),
                     IsBreak)
             ? blanks
             : 0;
}

struct Stretch {
  std::size_t begin;
  std::size_t end;
};

std::string DigitsIn(std::string_view text, bool (*is_digit)(char)) {
  std::string digits;
  for (std::size_t at = 0; at < text.size();) {
    if (is_digit(text[at])) {
      digits += text[at++];
    } else {
      at += std::max<std::size_t>(1, BreakAt(text, at));
    }
  }
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
      } else if (const std::size_t size = has_breaks ? BreakAt(text, at) : 0;
                 size != 0) {
        at += size - 1;
      } else {
        break;
      }
    }
    found.push_back({i, end});
    i = end;
  }
  return found;
}

std::size_t ValueOf(char c) {
  return c == '-' || c == '+'   ? 62
         : c == '_' || c == '/' ? 63
                                : kLetters.find(c);
}

// FromBits is the bytes of `bits` from the one at `first` on.
std::string FromBits(const std::vector<bool> &bits, std::size_t first) {
  std::string bytes;
  for (std::size_t i = first; i + 8 <= bits.size(); i += 8) {
    int byte = 0;
    for (std::size_t j = 0; j < 8; ++j) {
      byte = byte * 2 + (bits[i + j] ? 1 : 0);
    }
    bytes += static_cast<char>(byte);
  }
  return bytes;
}

std::vector<bool> BitsOf(std::string_view digits, bool is_hex) {
  std::vector<bool> bits;
  for (const char c : digits) {
    const std::size_t value =
        !is_hex    ? ValueOf(c)
        : c <= '9' ? static_cast<std::size_t>(c - '0')
                   : static_cast<std::size_t>((c | 0x20) - 'a' + 10);
    for (int bit = is_hex ? 3 : 5; bit >= 0; --bit) {
      bits.push_back((value >> bit & 1) != 0);
    }
  }
  return bits;
}

std::uint64_t TimeOf(std::string_view bytes) {
  std::uint64_t seconds = 0;
  for (std::size_t i = 1; i <= 8; ++i) {
    seconds = seconds << 8 | static_cast<unsigned char>(bytes[i]);
  }
  return seconds;
}

// IsLikely says whether what begins like a token does not by chance, and stores
// its time.
bool IsLikely(std::string_view text, std::uint64_t *time) {
  const auto there = Stretches(text, IsAny, true);
  const std::string digits =
      DigitsIn(text.substr(0, there.at(0).end), IsAny).substr(0, 90);
  if (digits.size() < 90) {
    return false;
  }
  *time = TimeOf(FromBits(BitsOf(digits.substr(0, 12), false), 0));
  std::set<std::size_t> seen;
  for (const char c : digits.substr(12)) {
    seen.insert(ValueOf(c));
  }
  return *time >= 0x50000000 && *time < 0x90000000 && seen.size() >= 24;
}

// TokenIn is the bytes of a token without '=', or nothing.
std::optional<Bytes> TokenIn(std::string_view digits) {
  const std::size_t size = digits.size() * 6 / 8;
  if (digits.size() % 4 == 1 || size < 73 || (size - 57) % 16 != 0) {
    return std::nullopt;
  }
  const std::string decoded = FromBits(BitsOf(digits, false), 0);
  Bytes bytes(decoded.begin(), decoded.end());
  if (bytes[0] != 0x80) {
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
      if (there.end - there.begin >= 6 &&
          Run(bytes, there, nesting, decodings)) {
        is_one =
            is_one || (there.begin == region.begin && there.end == region.end);
      }
    }
    return is_one;
  }

  // Run says whether the run is a token and nothing else.
  bool Run(std::string_view bytes, Stretch run, std::size_t nesting,
           std::size_t decodings) {
    const std::string_view digits =
        bytes.substr(run.begin, run.end - run.begin);
    bool has_told = false;
    bool has_opened = false;
    bool is_token = false;
    for (std::size_t at = 0; at < digits.size();) {
      const std::string_view rest = digits.substr(at);
      if (rest.substr(0, 6) != "gAAAAA") {
        ++at;
        continue;
      }
      const std::size_t from = run.begin + at;
      if (const std::size_t size = Ends(rest, from, nesting, decodings)) {
        is_token = size == digits.size();
        has_opened = true;
        at += size;
        continue;
      }
      const Stretch place = {from, run.end};
      const auto token = TokenIn(rest);
      std::uint64_t time = 0;
      const bool is_likely = IsLikely(bytes.substr(from), &time);
      if (!token && at == 0 && (is_likely || rest.size() >= 32) &&
          !(is_likely && nesting > 0)) {
        Add("remnant", 0, 0, place, nesting, decodings);
      } else if ((token || is_likely) && !has_told) {
        Add(keys_.empty() ? "not tried" : "unknown", 0,
            token ? TimeOf(std::string(token->begin(), token->end())) : time,
            place, nesting, decodings);
        has_told = true;
      }
      if (token && keys_.empty()) {
        return false;
      }
      ++at;
    }
    const auto token = TokenIn(digits);
    return is_token || (!has_opened && digits.substr(0, 6) != "gAAAAA" &&
                        token && Try(*token, run, nesting, decodings));
  }

  // Ends is the size of the token that `digits` begin with, if a key opens it.
  std::size_t Ends(std::string_view digits, std::size_t from,
                   std::size_t nesting, std::size_t decodings) {
    std::uint64_t time = 0;
    std::vector<std::size_t> sizes = {digits.size()};
    if (!keys_.empty() && IsLikely(digits, &time)) {
      for (std::size_t size = 98; size < digits.size(); ++size) {
        sizes.push_back(size);
      }
    }
    for (const std::size_t size : sizes) {
      const auto token = TokenIn(digits.substr(0, size));
      if (token && Try(*token, {from, from + size}, nesting, decodings)) {
        return size;
      }
    }
    return 0;
  }

  bool Try(const Bytes &token, Stretch place, std::size_t nesting,
           std::size_t decodings) {
    for (std::size_t key = 0; key < keys_.size(); ++key) {
      const auto plaintext = Open(keys_[key], token);
      if (!plaintext) {
        continue;
      }
      Add("opened", key, TimeOf(std::string(token.begin(), token.end())), place,
          nesting, decodings);
      In(std::string(plaintext->begin(), plaintext->end()), nesting + 1, 0);
      return true;
    }
    return false;
  }

  void Through(std::string_view bytes, Stretch region, std::size_t nesting,
               std::size_t decodings) {
    struct Kind {
      bool (*is_digit)(char);
      bool is_hex;
    };
    for (const Kind &kind :
         {Kind{IsUrlSafe, false}, {IsStandard, false}, {IsHex, true}}) {
      const std::string_view all = bytes.substr(region.begin);
      for (const Stretch run : Stretches(all, kind.is_digit, true)) {
        const std::string digits =
            DigitsIn(all.substr(run.begin, run.end - run.begin), kind.is_digit);
        if (digits.size() < (kind.is_hex ? 196u : 131u)) {
          continue;
        }
        const std::vector<bool> bits = BitsOf(digits, kind.is_hex);
        for (std::size_t i = 0; i < 8; i += kind.is_hex ? 4 : 2) {
          const std::string decoded = FromBits(bits, i);
          if (decoded.size() >= 98) {
            In(decoded, nesting, decodings + 1);
          }
        }
      }
    }
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
