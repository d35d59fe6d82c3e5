#include "core/key_traces.hpp"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "core/ascii.hpp"
#include "core/key_spelling.hpp"

namespace fernet {
namespace {

constexpr std::size_t kShortestRun = 32;
// As long as the longest list of keys, when the commas are missing.
constexpr std::size_t kLongestRun = kMaxKeys * kEncodedKeySize;
// How much of a longer run in a text goes with what a short one stands for: the
// rest of a key that was cut or mistyped.
constexpr std::size_t kMostOfLongerRun = 100;
constexpr std::size_t kMostOfValue = 64 * 1024;
constexpr std::string_view kPrefix = "fernet.";

// Any odd number with bits all over would do: a collision overwrites more.
constexpr std::uint64_t kHashFactor = 0x9e37'79b9'7f4a'7c15;

constexpr char Lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

bool EndsWith(std::span<const char> text, std::string_view word) noexcept {
  return text.size() >= word.size() &&
         std::ranges::equal(
             text.last(word.size()), word,
             [](char c, char expected) { return Lower(c) == expected; });
}

std::uint64_t Append(std::uint64_t hash, char c) noexcept {
  return hash * kHashFactor + static_cast<unsigned char>(c) + 1;
}

std::uint64_t HashOfStart(std::span<const char> run) noexcept {
  std::uint64_t hash = 0;
  for (const char c : run.first(kShortestRun)) {
    hash = Append(hash, c);
  }
  return hash;
}

consteval std::uint64_t LeavingFactor() noexcept {
  std::uint64_t factor = 1;
  for (std::size_t i = 0; i < kShortestRun; ++i) {
    factor *= kHashFactor;
  }
  return factor;
}

constexpr std::uint64_t FilterBit(std::uint64_t hash) noexcept {
  return std::uint64_t{1} << (hash >> 52 & 63);
}

// NextRun is the first run in `text` of any length: digits, and up to two '='
// after them. Empty when there is none.
std::span<const char> NextRun(std::span<const char> text) noexcept {
  const auto begin = std::ranges::find_if(text, IsDigitOfKey);
  auto end = std::find_if_not(begin, text.end(), IsDigitOfKey);
  for (int i = 0; i < 2 && end != text.end() && *end == '='; ++i) {
    ++end;
  }
  return {begin, end};
}

// After is what follows `part` in `text`.
std::span<const char> After(std::span<const char> text,
                            std::span<const char> part) noexcept {
  return text.subspan(
      static_cast<std::size_t>(part.data() + part.size() - text.data()));
}

// RunDigit is a digit of a run and where the text spells it.
struct RunDigit {
  std::size_t at;
  char digit;
};

// StartOfRun is the part of `text` that spells the run at its beginning, with
// the '=' after it: all literals that are joined until there are `known`
// digits, as many as a value had, and more of the last one up to
// kMostOfLongerRun.
std::span<const char> StartOfRun(std::span<const char> text, Spelling spelling,
                                 std::size_t known) noexcept {
  const std::size_t most = std::max(known, kMostOfLongerRun);
  std::size_t digits = 0;
  std::size_t size = 0;
  for (std::size_t i = 0; i < text.size() && digits < most;) {
    const Step step = NextStep(text.subspan(i), spelling);
    i += step.size;
    if (step.digit != '\0') {
      size = i;
      ++digits;
    } else if (!step.joins || digits >= known) {
      break;
    }
  }
  for (int i = 0;
       i < 2 && digits < most && size < text.size() && text[size] == '=';
       ++i, ++digits) {
    ++size;
  }
  return text.first(size);
}

// OverwriteDigits leaves what joins the literals of `run`.
void OverwriteDigits(std::span<char> run, Spelling spelling) noexcept {
  while (!run.empty()) {
    const Step step = NextStep(run, spelling);
    if (step.digit != '\0' || run.front() == '=') {
      std::ranges::fill(run.first(step.size), '*');
    }
    run = run.subspan(step.size);
  }
}

bool IsLikeKey(std::span<const char> run) noexcept {
  return run.size() >= kShortestRun && run.size() <= kLongestRun;
}

bool IsKey(std::span<const char> run) noexcept {
  Key key;
  return (run.size() == kEncodedKeySize || run.size() == kEncodedKeySize - 1) &&
         ParseKey(run, &key).ok();
}

// IsInLiteral tells a run from a name of as many letters by what is before it.
bool IsInLiteral(std::span<const char> text,
                 std::span<const char> run) noexcept {
  const char before = run.data() == text.data() ? ' ' : run.data()[-1];
  return before == '\'' || before == ',' || before == '$' || before == '=';
}

// WithoutEscape is `run` without the end of an escape before it: a URI writes
// fernet.key%3D and the key.
std::span<const char> WithoutEscape(std::span<const char> text,
                                    std::span<const char> run) noexcept {
  const bool escaped = run.data() != text.data() && run.data()[-1] == '%' &&
                       run.size() > 2 && IsHexDigit(run[0]) &&
                       IsHexDigit(run[1]);
  return run.subspan(escaped ? 2 : 0);
}

// NextName is the first name of a setting of ours in `text`; empty without one.
std::span<const char> NextName(std::span<const char> text) noexcept {
  for (auto rest = text; !rest.empty();) {
    const void *const dot = memchr(rest.data(), '.', rest.size());
    if (dot == nullptr) {
      return {};
    }
    const auto before = rest.first(static_cast<std::size_t>(
        static_cast<const char *>(dot) + 1 - rest.data()));
    rest = rest.subspan(before.size());
    if (EndsWith(before, kPrefix)) {
      const auto end = std::ranges::find_if_not(rest, IsNameCharacter);
      return {before.end() - kPrefix.size(), end};
    }
  }
  return {};
}

constexpr bool IsQuoteOrSpace(char c) noexcept {
  return c == '\'' || c == '"' || c == '$' || IsSpace(c);
}

std::span<const char> TrimEnd(std::span<const char> text) noexcept {
  while (!text.empty() && IsQuoteOrSpace(text.back())) {
    text = text.first(text.size() - 1);
  }
  return text;
}

// IsGivenValueAfter says whether the name of a setting that comes right after
// `before` is one to which a statement gives a value.
bool IsGivenValueAfter(std::span<const char> before) noexcept {
  before = TrimEnd(before);
  if (!before.empty() && before.back() == '(') {
    return EndsWith(TrimEnd(before.first(before.size() - 1)), "set_config");
  }
  return EndsWith(before, "set") || EndsWith(before, "local") ||
         EndsWith(before, "session");
}

// JoinsNameAndValue says whether `between` may stand between a setting's name
// and its value, or two keys of its value: ` = E'`, `', '`, ` TO $$`.
bool JoinsNameAndValue(std::span<const char> between) noexcept {
  return between.size() <= kShortestRun &&
         std::ranges::all_of(between, [](char c) {
           return IsQuoteOrSpace(c) || c == '=' || c == ',' || c == ':' ||
                  Lower(c) == 'e' || Lower(c) == 't' || Lower(c) == 'o';
         });
}

}  // namespace

void KeyTraces::Add(std::span<const char> run) noexcept {
  const std::uint64_t hash = HashOfStart(run);
  const auto size = static_cast<std::uint16_t>(run.size());
  const std::uint32_t known = Find(hash);
  if (known < size_) {
    sizes_[known] = std::max(sizes_[known], size);
  } else if (size_ < kMaxKeys) {
    sizes_[size_] = size;
    hashes_[size_++] = hash;
    filter_[hash >> 58] |= FilterBit(hash);
  }
}

std::uint32_t KeyTraces::Find(std::uint64_t hash) const noexcept {
  if ((filter_[hash >> 58] & FilterBit(hash)) == 0) {
    return size_;
  }
  const auto known = std::span(hashes_).first(size_);
  return static_cast<std::uint32_t>(std::ranges::find(known, hash) -
                                    known.begin());
}

void KeyTraces::AddValue(std::span<const char> value) noexcept {
  auto rest = value.first(std::min(value.size(), kMostOfValue));
  while (!rest.empty() && size_ < kMaxKeys) {
    const auto run = NextRun(rest);
    if (IsLikeKey(run)) {
      Add(run);
    }
    rest = After(rest, run);
  }
}

void KeyTraces::AddStatement(std::span<const char> text) noexcept {
  auto name = NextName(text);
  if (name.empty()) {
    return;
  }
  // The end of the name, or of a key of its value, that a value may follow.
  const char *value_after = nullptr;
  for (auto rest = text; !rest.empty() && size_ < kMaxKeys;) {
    const auto run = NextRun(rest);
    while (!name.empty() && name.data() + name.size() <= run.data()) {
      if (IsGivenValueAfter({text.data(), name.data()})) {
        value_after = name.data() + name.size();
      }
      name = NextName(After(text, name));
    }
    const bool is_value = value_after != nullptr && IsLikeKey(run) &&
                          JoinsNameAndValue({value_after, run.data()});
    const auto key = WithoutEscape(text, run);
    const bool may_be_key = key.data() != run.data() || IsInLiteral(text, run);
    if (is_value || (may_be_key && IsKey(key))) {
      Add(is_value ? run : key);
    }
    rest = After(rest, run);
    if (is_value) {
      value_after = rest.data();
    }
  }
}

std::span<const char> KeyTraces::FirstIn(std::span<const char> text,
                                         Spelling spelling) const noexcept {
  constexpr std::uint64_t kLeaving = LeavingFactor();
  std::array<RunDigit, kShortestRun> last;  // digits of the run so far
  std::uint64_t hash = 0;
  std::size_t length = 0;  // of the run so far
  for (std::size_t i = 0; i < text.size();) {
    const Step step = NextStep(text.subspan(i), spelling);
    if (step.digit == '\0') {
      hash = step.joins ? hash : 0;
      length = step.joins ? length : 0;
      i += step.size;
      continue;
    }
    RunDigit &oldest = last[length % kShortestRun];
    hash = Append(hash, step.digit);
    if (++length > kShortestRun) {
      hash -= (static_cast<unsigned char>(oldest.digit) + 1U) * kLeaving;
    }
    oldest = {i, step.digit};
    i += step.size;
    const std::uint32_t known = length >= kShortestRun ? Find(hash) : size_;
    if (known < size_) {
      const std::size_t start = last[length % kShortestRun].at;
      return StartOfRun(text.subspan(start), spelling, sizes_[known]);
    }
  }
  return {};
}

bool KeyTraces::Overwrite(std::span<char> text,
                          Spelling spelling) const noexcept {
  bool found = false;
  while (!empty()) {
    const auto run = FirstIn(text, spelling);
    if (run.empty()) {
      break;
    }
    const auto start = static_cast<std::size_t>(run.data() - text.data());
    OverwriteDigits(text.subspan(start, run.size()), spelling);
    text = text.subspan(start + run.size());
    found = true;
  }
  return found;
}

bool KeyTraces::Overwrite(std::span<char> text) const noexcept {
  const bool plain = Overwrite(text, Spelling::kPlain);
  return Overwrite(text, Spelling::kSql) || plain;
}

bool KeyTraces::OccurIn(std::span<const char> text) const noexcept {
  return !empty() && (!FirstIn(text, Spelling::kPlain).empty() ||
                      !FirstIn(text, Spelling::kSql).empty());
}

}  // namespace fernet
