#include "core/recogniser.hpp"

#include <openssl/crypto.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>
#include <string_view>

#include "core/base64url.hpp"
#include "core/base64url_kernels.hpp"

namespace fernet {

struct recogniser::Alphabet {
  Encoding encoding;
  std::uint32_t bits;  // of a digit
  std::size_t least;   // digits that may hold what is looked for
  bool has_breaks;     // whether lines are put together
  std::array<std::uint8_t, 256> values;  // of the digits that make up a run
};

// Run is digits in [begin, end), perhaps with line breaks between them.
struct recogniser::Run {
  std::size_t begin;
  std::size_t end;
  std::size_t digits;
};

namespace {

using recogniser::Alphabet;
using recogniser::Run;

constexpr std::size_t kMiB = std::size_t{1} << 20;

// How every token begins whose timestamp is before the year 2106.
constexpr std::string_view kStart = "gAAAAA";

// A run that begins like a token and is none is worth a word from here on: of
// fewer characters, not even the IV is left.
constexpr std::size_t kRemnantDigits = 32;

// What the smallest token needs in base64 and in hex.
constexpr std::size_t kBase64Digits = (kTokenDigits * 4 + 2) / 3;
constexpr std::size_t kHexDigits = kTokenDigits * 2;

// The smallest ciphertext whose plaintext may hold a token.
constexpr std::size_t kRoomyCiphertext = CiphertextSize(kTokenDigits);

using Values = std::array<std::uint8_t, 256>;
constexpr std::uint8_t kNone = base64url::kInvalid;

consteval Values ValuesOf(std::string_view digits) noexcept {
  Values values{};
  values.fill(kNone);
  for (std::size_t i = 0; i < digits.size(); ++i) {
    values[static_cast<std::uint8_t>(digits[i])] = static_cast<std::uint8_t>(i);
  }
  return values;
}

consteval Values WithUpperCase(Values values) noexcept {
  for (std::size_t c = 'a'; c <= 'f'; ++c) {
    values[c - 'a' + 'A'] = values[c];
  }
  return values;
}

constexpr std::string_view kLetters =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
constexpr std::string_view kLowerCase = "0123456789abcdef";

consteval Values OfBothAlphabets() noexcept {
  Values values = ValuesOf(kLetters);
  values['-'] = values['+'] = 62;
  values['_'] = values['/'] = 63;
  return values;
}

bool IsLineEnd(std::uint8_t byte) noexcept {
  return byte == '\n' || byte == '\r';
}

bool IsBlank(std::uint8_t byte) noexcept { return byte == ' ' || byte == '\t'; }

// The most white space around the end of a line that is taken for a part of it.
constexpr std::size_t kMaxIndent = 64;

// StartsWithAnyCase says whether `bytes` begin with `text`, which has no upper
// case.
bool StartsWithAnyCase(std::span<const std::uint8_t> bytes,
                       std::string_view text) noexcept {
  return bytes.size() >= text.size() &&
         std::equal(text.begin(), text.end(), bytes.begin(),
                    [](char letter, std::uint8_t byte) {
                      const int lower =
                          byte >= 'A' && byte <= 'Z' ? byte + 32 : byte;
                      return letter == lower;
                    });
}

// WhiteSpaceSize is the size of white space with the end of a line in it.
std::size_t WhiteSpaceSize(std::span<const std::uint8_t> bytes) noexcept {
  bool has_end = false;
  std::size_t size = 0;
  while (size < bytes.size() && size < kMaxIndent &&
         (IsLineEnd(bytes[size]) || IsBlank(bytes[size]))) {
    has_end = has_end || IsLineEnd(bytes[size]);
    ++size;
  }
  return has_end ? size : 0;
}

// EscapeSize is for what begins with a backslash, as in a JSON text or in one
// that is a string of another: the end of a line, or backslashes before a '/'
// or the end of a line.
std::size_t EscapeSize(std::span<const std::uint8_t> bytes) noexcept {
  std::size_t slashes = 0;
  while (slashes < bytes.size() && slashes <= kMaxIndent &&
         bytes[slashes] == '\\') {
    ++slashes;
  }
  const auto escaped = bytes.subspan(slashes);
  if (escaped.empty() || slashes > kMaxIndent) {
    return 0;
  }
  if (escaped[0] == '/' || IsLineEnd(escaped[0])) {
    return slashes;
  }
  if (escaped[0] == 'n' || escaped[0] == 'r') {
    return slashes + 1;
  }
  return StartsWithAnyCase(escaped, "u000a") ||
                 StartsWithAnyCase(escaped, "u000d")
             ? slashes + 5
             : 0;
}

// LongBreakSize is BreakSize where more than a byte decides.
std::size_t LongBreakSize(std::span<const std::uint8_t> bytes) noexcept {
  switch (bytes[0]) {
    case '\n':
    case '\r':
    case ' ':
    case '\t':
      return WhiteSpaceSize(bytes);
    case '\\':
      return EscapeSize(bytes);
    case '%':
      return StartsWithAnyCase(bytes, "%0a") || StartsWithAnyCase(bytes, "%0d")
                 ? 3
                 : 0;
    default:
      return StartsWithAnyCase(bytes, "&#10;") ||
                     StartsWithAnyCase(bytes, "&#13;") ||
                     StartsWithAnyCase(bytes, "&#xa;") ||
                     StartsWithAnyCase(bytes, "&#xd;")
                 ? 5
                 : 0;
  }
}

// BreakSize is the size of what stands between two lines of digits, if `bytes`
// begin with it: the end of a line, with white space, or as JSON, URLs and XML
// write it. 0 if they do not, as between two words.
inline std::size_t BreakSize(std::span<const std::uint8_t> bytes) noexcept {
  if (bytes.size() < 2) {
    return bytes.empty() || !IsLineEnd(bytes[0]) ? 0 : 1;
  }
  if (IsBlank(bytes[0])) {
    return IsBlank(bytes[1]) || IsLineEnd(bytes[1]) ? LongBreakSize(bytes) : 0;
  }
  return bytes[0] == '\\' || bytes[0] == '%' || bytes[0] == '&' ||
                 IsLineEnd(bytes[0])
             ? LongBreakSize(bytes)
             : 0;
}

std::span<const char> AsText(std::span<const std::uint8_t> bytes) noexcept {
  return {reinterpret_cast<const char *>(bytes.data()), bytes.size()};
}

std::span<const std::uint8_t> AsBytes(std::span<const char> text) noexcept {
  return {reinterpret_cast<const std::uint8_t *>(text.data()), text.size()};
}

bool StartsAsToken(std::span<const std::uint8_t> run) noexcept {
  return run.size() >= kStart.size() &&
         std::memcmp(run.data(), kStart.data(), kStart.size()) == 0;
}

// HasStructure is for digits whose first byte is a token's version.
bool HasStructure(std::span<const std::uint8_t> digits) noexcept {
  constexpr std::size_t kAround = kHeaderSize + kHmacSize;
  return digits.size() >= kTokenDigits && digits.size() % 4 != 1 &&
         (base64url::DecodedSize(digits.size()) - kAround) % kBlockSize == 0 &&
         !base64url::HasTrailingBits(AsText(digits));
}

// What the smallest token has.
constexpr std::size_t kTokenBytes = kHeaderSize + CiphertextSize(0) + kHmacSize;

constexpr std::size_t DigitsOf(std::size_t bytes) noexcept {
  return (bytes * 4 + 2) / 3;
}
static_assert(DigitsOf(kTokenBytes) == kTokenDigits);

// What begins like a token, has so many digits, and a time and what comes
// behind it as a token has them, is no accident: fewer than one in 10^12 places
// of random digits are such a beginning. Base64 of programs and fonts, which
// have many zeros, has more of them: the bounds of the time leave most out. No
// token of today was made before the first one.
constexpr std::size_t kLikelyDigits = 90;
constexpr std::size_t kTimeDigits = 12;            // of version and time
constexpr std::uint64_t kLeastTime = 0x5000'0000;  // in July 2012
constexpr std::uint64_t kMostTime = 0x9000'0000;   // in July 2046
constexpr int kLikelyDifferent = 24;  // of the digits behind the time

// NextDigit is the value of the digit of either alphabet at `*at`, behind which
// it goes, or behind line breaks there; kNone if there is none.
std::uint8_t NextDigit(std::span<const std::uint8_t> bytes,
                       std::size_t *at) noexcept {
  static constexpr Values kValues = OfBothAlphabets();
  while (*at < bytes.size()) {
    const std::uint8_t value = kValues[bytes[*at]];
    const std::size_t size = value == kNone ? BreakSize(bytes.subspan(*at)) : 1;
    if (size == 0) {
      return kNone;
    }
    *at += size;
    if (value != kNone) {
      return value;
    }
  }
  return kNone;
}

// IsLikelyToken is for what StartsAsToken. Zeros, as binary data has them, and
// what repeats itself are not random enough. Line breaks are left out, and the
// digits are those of both alphabets: some libraries read such tokens.
bool IsLikelyToken(std::span<const std::uint8_t> bytes) noexcept {
  std::uint64_t time = 0;
  std::uint64_t seen = 0;
  std::size_t at = 0;
  for (std::size_t i = 0; i < kLikelyDigits; ++i) {
    const std::uint8_t value = NextDigit(bytes, &at);
    if (value == kNone) {
      return false;
    }
    time = i < kTimeDigits ? time << 6 | value : time;
    seen |= i < kTimeDigits ? 0 : std::uint64_t{1} << value;
  }
  return time >= kLeastTime && time < kMostTime &&
         std::popcount(seen) >= kLikelyDifferent;
}

// ClaimedTime is the time of what IsLikelyToken: the version is shifted out.
std::uint64_t ClaimedTime(std::span<const std::uint8_t> bytes) noexcept {
  std::uint64_t time = 0;
  std::size_t at = 0;
  for (std::size_t i = 0; i < kTimeDigits; ++i) {
    time = time << 6 | NextDigit(bytes, &at);
  }
  return time;
}

// HasVersion says whether the first byte of what digits of base64url stand for
// is a token's version.
bool HasVersion(std::span<const std::uint8_t> digits) noexcept {
  return digits.size() >= 2 && digits[0] == 'g' && digits[1] >= 'A' &&
         digits[1] <= 'P';
}

// What is looked at as it stands, and the same with lines put together: all
// that is decoded is a part of it.
constexpr Alphabet kPlain = {Encoding::kBase64, 6, kStart.size(), false,
                             base64url::kDecodeTable};
constexpr Alphabet kRegion = {Encoding::kBase64, 6, kRemnantDigits, true,
                              OfBothAlphabets()};
// Base64 of what is base64, hex or a line break has letters and numbers only:
// the two alphabets differ in what no such byte has a part in, but for the last
// one, which may share a digit with what comes after it. So runs of letters
// and numbers, and one digit more, hold all there is, in both alphabets.
constexpr Alphabet kBase64 = {Encoding::kBase64, 6, kBase64Digits - 1, true,
                              ValuesOf(kLetters)};
constexpr Alphabet kHexadecimal = {Encoding::kHex, 4, kHexDigits, true,
                                   WithUpperCase(ValuesOf(kLowerCase))};

// LastDigit is the value of a digit of either alphabet that no letter is.
constexpr std::uint8_t LastDigit(std::uint8_t c) noexcept {
  return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : kNone;
}

std::uint8_t ValueOf(const Alphabet &alphabet, std::uint8_t c) noexcept {
  const std::uint8_t value = alphabet.values[c];
  return value == kNone && alphabet.encoding == Encoding::kBase64 ? LastDigit(c)
                                                                  : value;
}

// AddLastDigit makes `*run` longer by the digit after it.
void AddLastDigit(std::span<const std::uint8_t> bytes, Run *run) noexcept {
  std::size_t at = run->end;
  while (const std::size_t size = BreakSize(bytes.subspan(at))) {
    at += size;
  }
  if (at < bytes.size() && LastDigit(bytes[at]) != kNone) {
    run->end = at + 1;
    ++run->digits;
  }
}

// IsUpperCase says whether hexadecimal digits are written so.
bool IsUpperCase(std::span<const std::uint8_t> digits) noexcept {
  return std::ranges::any_of(
      digits, [](std::uint8_t c) { return c >= 'A' && c <= 'F'; });
}

// IsUrlSafe says of which alphabet a run of base64 is: its last digits say so,
// or else others of the region that it stands in.
bool IsUrlSafe(std::span<const std::uint8_t> run,
               std::span<const std::uint8_t> region) noexcept {
  for (const auto digits : {run, region}) {
    const auto of_one = std::ranges::find_if(
        digits, [](std::uint8_t c) { return LastDigit(c) != kNone; });
    if (of_one != digits.end()) {
      return *of_one == '-' || *of_one == '_';
    }
  }
  return false;
}

// HexDigit is the digit of `value`.
std::uint8_t HexDigit(std::uint32_t value, bool is_upper) noexcept {
  const char digit = kLowerCase[value];
  return static_cast<std::uint8_t>(is_upper && digit >= 'a' ? digit - 'a' + 'A'
                                                            : digit);
}

// Base64Digit is the digit of `value` in a run of a region. The digits of
// ASCII, as tokens are, are in both alphabets, but for one that the last byte
// of a token shares with the byte behind it. The region is searched for such a
// digit only: a search for each run would take the square of a large region's
// size.
std::uint8_t Base64Digit(std::uint32_t value, std::span<const std::uint8_t> run,
                         std::span<const std::uint8_t> region) noexcept {
  if (value < kLetters.size()) {
    return static_cast<std::uint8_t>(kLetters[value]);
  }
  const std::string_view last = IsUrlSafe(run, region) ? "-_" : "+/";
  return static_cast<std::uint8_t>(last[value - kLetters.size()]);
}

// Encode writes `bytes` over the digits that they were decoded from, without
// the first `skipped` bits. What is the same stays as it is, and so do line
// breaks and the bits before and after the bytes.
void Encode(std::span<const std::uint8_t> bytes, const Alphabet &alphabet,
            std::uint32_t skipped, std::span<std::uint8_t> run,
            std::span<const std::uint8_t> region) noexcept {
  const bool is_hex = alphabet.encoding == Encoding::kHex;
  const bool is_upper = is_hex && IsUpperCase(run);
  std::uint32_t buffer = 0;
  std::uint32_t filled = 0;
  std::uint32_t bits = alphabet.bits - skipped;
  for (std::size_t at = 0; at < run.size();) {
    if (const std::size_t size = BreakSize(run.subspan(at))) {
      at += size;
      continue;
    }
    std::uint8_t &c = run[at++];
    const std::uint32_t old = ValueOf(alphabet, c);
    if (filled < bits && !bytes.empty()) {
      buffer = buffer << 8 | bytes.front();
      filled += 8;
      bytes = bytes.subspan(1);
    }
    const std::uint32_t missing = filled < bits ? bits - filled : 0;
    const std::uint32_t before = old & ~((1u << bits) - 1);
    const std::uint32_t after = old & ((1u << missing) - 1);
    filled = filled + missing - bits;
    const std::uint32_t value =
        (buffer << missing >> filled & ((1u << bits) - 1)) | before | after;
    buffer &= (1u << filled) - 1;
    bits = alphabet.bits;
    if (value != old) {
      c = is_hex ? HexDigit(value, is_upper) : Base64Digit(value, run, region);
    }
  }
}

// A run may have what BreakSize knows between its digits: so these may be a
// part of one, and white space next to the end of a line.
constexpr std::string_view kOfBreaks = "\n\r\\%&#;";

// kInRun says of each byte whether it is in a run wherever it stands: blanks
// are not.
constexpr std::array<bool, 256> kInRun = [] {
  std::array<bool, 256> in_run{};
  for (std::size_t c = 0; c != in_run.size(); ++c) {
    in_run[c] = kRegion.values[c] != kNone;
  }
  for (const char c : kOfBreaks) {
    in_run[static_cast<std::uint8_t>(c)] = true;
  }
  return in_run;
}();

[[gnu::noinline]] bool IsEndOfLineNear(std::span<const char> bytes,
                                       std::size_t at) noexcept {
  std::size_t begin = at;
  while (begin > 0 && at - begin < kMaxIndent &&
         IsBlank(static_cast<std::uint8_t>(bytes[begin - 1]))) {
    --begin;
  }
  if (begin > 0 && IsLineEnd(static_cast<std::uint8_t>(bytes[begin - 1]))) {
    return true;
  }
  std::size_t end = at;
  while (end < bytes.size() && end - at < kMaxIndent &&
         IsBlank(static_cast<std::uint8_t>(bytes[end]))) {
    ++end;
  }
  // What comes after the bytes may be the end of a line.
  return end == bytes.size() ||
         IsLineEnd(static_cast<std::uint8_t>(bytes[end]));
}

// IsInRun is asked of most bytes that there are: what is seldom stays out of
// it.
bool IsInRun(std::span<const char> bytes, std::size_t at) noexcept {
  const auto byte = static_cast<std::uint8_t>(bytes[at]);
  return kInRun[byte] || (IsBlank(byte) && IsEndOfLineNear(bytes, at));
}

// RunAround is the digits around `at`, with the line breaks between them, from
// `from` on: all of them, or enough for a token.
std::span<const char> RunAround(std::span<const char> bytes, std::size_t from,
                                std::size_t at) noexcept {
  std::size_t begin = at + 1;
  while (begin > from && IsInRun(bytes, begin - 1)) {
    --begin;
  }
  std::size_t end = at + 1;
  while (begin != at + 1 && end < bytes.size() && end - begin < kTokenDigits &&
         IsInRun(bytes, end)) {
    ++end;
  }
  return bytes.subspan(begin, end - begin);
}

// MayHoldPlace says whether a token, or what is left of one, can be in `run`.
bool MayHoldPlace(std::span<const char> run) noexcept {
  return run.size() >= kTokenDigits ||
         (run.size() >= kRemnantDigits &&
          std::string_view(run.data(), run.size()).find(kStart) !=
              std::string_view::npos);
}

// DecodedByte is the byte at `index` of what digits without line breaks decode
// to, without their first `skipped` bits.
std::uint8_t DecodedByte(std::span<const std::uint8_t> digits,
                         const Alphabet &alphabet, std::size_t skipped,
                         std::size_t index) noexcept {
  const std::size_t bit = skipped + index * 8;
  const std::size_t first = bit / alphabet.bits;
  const std::uint32_t two = std::uint32_t{ValueOf(alphabet, digits[first])}
                                << alphabet.bits |
                            ValueOf(alphabet, digits[first + 1]);
  return static_cast<std::uint8_t>(
      two >> (2 * alphabet.bits - 8 - bit % alphabet.bits));
}

bool MayBeInRun(std::uint8_t byte) noexcept {
  return kInRun[byte] || IsBlank(byte);
}

// MayDecodeToPlaces says whether there can be a place in the `size` bytes that
// digits without line breaks decode to, see DecodedByte. It decodes a few of
// them: a place has kRemnantDigits of a run next to each other, and random
// bytes have not.
bool MayDecodeToPlaces(std::span<const std::uint8_t> digits,
                       const Alphabet &alphabet, std::size_t skipped,
                       std::size_t size) noexcept {
  std::size_t from = 0;
  while (size - from >= kRemnantDigits) {
    std::size_t begin = from + kRemnantDigits;
    while (begin > from &&
           MayBeInRun(DecodedByte(digits, alphabet, skipped, begin - 1))) {
      --begin;
    }
    if (begin == from) {
      return true;
    }
    from = begin;
  }
  return false;
}

}  // namespace

std::size_t OffsetInValue(std::span<const char> value,
                          const Place &place) noexcept {
  if (place.decodings == 0) {
    return place.offset;
  }
  // The digit of the outermost layer at which what is inside begins. Inner
  // layers have their own line breaks, which are long gone here: it is the
  // beginning of the run that counts for them.
  const Layer &layer = place.layers[0];
  const std::size_t bits = layer.encoding == Encoding::kHex ? 4 : 6;
  const std::size_t inside =
      place.decodings == 1 ? place.offset : place.layers[1].begin;
  const auto bytes = AsBytes(value);
  std::size_t at = layer.begin;
  std::size_t digits = (inside * 8 + layer.skipped) / bits;
  while (at < value.size()) {
    const std::size_t size = BreakSize(bytes.subspan(at));
    if (size == 0 && digits == 0) {
      break;
    }
    digits -= size == 0 ? 1 : 0;
    at += size == 0 ? 1 : size;
  }
  return at;
}

bool MayHoldPlaces(std::span<const char> bytes) noexcept {
  // So many digits next to each other are at one of every kRemnantDigits bytes.
  std::size_t from = 0;
  for (std::size_t at = kRemnantDigits - 1; at < bytes.size();
       at = from + kRemnantDigits - 1) {
    const auto run = RunAround(bytes, from, at);
    if (MayHoldPlace(run)) {
      return true;
    }
    // What ended the run is in no other one.
    from = run.empty() ? at + 1
                       : static_cast<std::size_t>(run.data() - bytes.data()) +
                             run.size() + 1;
  }
  return false;
}

std::size_t SizeUpToOpenRun(std::span<const char> bytes) noexcept {
  std::size_t size = bytes.size();
  while (size > 0 && IsInRun(bytes, size - 1)) {
    --size;
  }
  return size;
}

Status Recogniser::Look(std::span<const char> value) noexcept {
  if (value.size() < kRemnantDigits) {
    return Status::kOk;
  }
  Begin(value.size());
  // Without ivs_, nothing is written to it.
  auto *const bytes = const_cast<char *>(value.data());
  return End(LookAt({reinterpret_cast<std::uint8_t *>(bytes), value.size()},
                    scratch_));
}

Status Recogniser::LookInto(TokenReader *token, std::uint32_t index) noexcept {
  Begin(token->ciphertext_size());
  return End(LookInside(token, index, {}, scratch_));
}

Status Recogniser::Rotate(std::span<char> value, RandomBuffer *ivs,
                          bool *out_changed) noexcept {
  Begin(value.size());
  ivs_ = ivs;
  const Status status =
      End(LookAt({reinterpret_cast<std::uint8_t *>(value.data()), value.size()},
                 scratch_));
  *out_changed = changes_ > 0;
  return status;
}

void Recogniser::Begin(std::size_t size) noexcept {
  ivs_ = nullptr;
  own_allowance_ = {};
  allowance_->AddPart(size);
  work_ = 0;
  changes_ = 0;
  used_ = 0;
  nesting_ = 0;
  decodings_ = 0;
}

Status Recogniser::End(Status status) noexcept {
  OPENSSL_cleanse(scratch_.data(), used_);
  return status;
}

bool Recogniser::Work(std::size_t bytes) noexcept {
  work_ += bytes;
  if (work_ < kMiB) {
    return true;
  }
  work_ = 0;
  return go_on_();
}

Recogniser::Bytes Recogniser::Use(Bytes scratch, std::size_t size) noexcept {
  const auto end = static_cast<std::size_t>(scratch.data() - scratch_.data());
  used_ = std::max(used_, end + size);
  return scratch.first(size);
}

Place Recogniser::NewPlace(std::size_t begin, std::size_t end) const noexcept {
  return {.kind = Place::kRemnant,
          .key_index = 0,
          .timestamp = 0,
          .offset = begin,
          .size = end - begin,
          .nesting = nesting_,
          .decodings = decodings_,
          .layers = layers_};
}

Status Recogniser::NextRun(Bytes bytes, const Alphabet &alphabet,
                           std::size_t *from, Run *out) noexcept {
  // A variable of its own: for all that the compiler knows, `*out` is among the
  // bytes.
  Run run = {.begin = 0, .end = 0, .digits = 0};
  std::size_t at = *from;
  bool is_over = false;
  while (!is_over && at < bytes.size()) {
    const std::size_t asked = at;
    const std::size_t limit = std::min(bytes.size(), asked + kMiB);
    while (!is_over && at < limit) {
      if (alphabet.values[bytes[at]] != kNone) {
        const std::size_t begin = at;
        while (at < limit && alphabet.values[bytes[at]] != kNone) {
          ++at;
        }
        run.begin = run.digits == 0 ? begin : run.begin;
        run.end = at;
        run.digits += at - begin;
      } else if (run.digits == 0) {
        ++at;
      } else if (const std::size_t size =
                     alphabet.has_breaks ? BreakSize(bytes.subspan(at)) : 0;
                 size != 0) {
        at += size;
      } else if (run.digits < alphabet.least) {
        run.digits = 0;
      } else {
        is_over = true;
      }
    }
    if (!Work(at - asked)) {
      return Status::kStopped;
    }
  }
  *from = at;
  *out = run.digits < alphabet.least ? Run{0, 0, 0} : run;
  return Status::kOk;
}

Status Recogniser::LookAt(Bytes bytes, Bytes scratch) noexcept {
  std::size_t from = 0;
  for (;;) {
    Run region;
    Status status = NextRun(bytes, kRegion, &from, &region);
    if (status != Status::kOk || region.digits == 0) {
      return status;
    }
    status = LookAtRegion(bytes, region, scratch);
    if (status != Status::kOk) {
      return status;
    }
  }
}

Status Recogniser::LookAtRegion(Bytes bytes, const Run &region,
                                Bytes scratch) noexcept {
  const Bytes within = bytes.first(region.end);
  std::size_t from = region.begin;
  for (;;) {
    Run run;
    Status status = NextRun(within, kPlain, &from, &run);
    if (status != Status::kOk) {
      return status;
    }
    if (run.digits == 0) {
      break;
    }
    bool is_token = false;
    status = LookAtRun(within, run, scratch, &is_token);
    if (status != Status::kOk) {
      return status;
    }
    if (is_token && run.digits == region.digits && run.end == region.end) {
      return Status::kOk;
    }
  }
  if (decodings_ == kMaxDecodings || region.digits < kBase64Digits - 1) {
    return Status::kOk;
  }
  const Status status = LookThrough(bytes, region, kBase64, scratch);
  return status == Status::kOk
             ? LookThrough(bytes, region, kHexadecimal, scratch)
             : status;
}

// NextStart moves `*from` to the next beginning of a token, or to the end.
Status Recogniser::NextStart(Bytes digits, std::size_t *from) noexcept {
  while (*from < digits.size()) {
    const std::size_t size = std::min(kMiB, digits.size() - *from);
    const auto *const found = static_cast<const std::uint8_t *>(
        std::memchr(digits.data() + *from, kStart[0], size));
    const std::size_t at =
        found == nullptr ? *from + size
                         : static_cast<std::size_t>(found - digits.data());
    if (!Work(at - *from)) {
      return Status::kStopped;
    }
    *from = at;
    if (found != nullptr) {
      if (StartsAsToken(digits.subspan(at))) {
        return Status::kOk;
      }
      ++*from;
    }
  }
  return Status::kOk;
}

Status Recogniser::LookAtRun(Bytes bytes, const Run &run, Bytes scratch,
                             bool *out_is_token) noexcept {
  const Bytes digits = bytes.subspan(run.begin, run.digits);
  bool has_told = false;
  bool has_opened = false;
  for (std::size_t at = 0;;) {
    Status status = NextStart(digits, &at);
    if (status != Status::kOk) {
      return status;
    }
    if (at == digits.size()) {
      break;
    }
    Place place;
    status = TryEnds(bytes, run.begin + at, run.end, scratch, &place);
    if (status != Status::kOk) {
      return status;
    }
    if (place.kind == Place::kOpened) {
      *out_is_token = place.size == digits.size();
      has_opened = true;
      at += place.size;
      continue;
    }
    TellOfStart(bytes, run, place, &has_told);
    if (place.kind == Place::kNotTried) {
      return Status::kOk;
    }
    ++at;
  }
  if (has_opened || ring_ == nullptr || StartsAsToken(digits) ||
      !HasVersion(digits) || !HasStructure(digits)) {
    return Status::kOk;
  }
  Place place;
  const Status status = TryToken(bytes, run.begin, run.end, scratch, &place);
  *out_is_token = status == Status::kOk && place.kind == Place::kOpened;
  return status;
}

// TellOfStart tells of what begins like a token and no key opens, whatever its
// end, unless that may be by chance. Of those that are a token of somebody
// else, or that cannot be told from one, the first in a run is enough.
void Recogniser::TellOfStart(Bytes bytes, const Run &run, Place place,
                             bool *has_told) noexcept {
  const bool is_first = place.offset == run.begin;
  const bool is_likely = IsLikelyToken(bytes.subspan(place.offset));
  if (place.kind == Place::kRemnant && is_likely &&
      (nesting_ > 0 || !is_first)) {
    place.kind = ring_ == nullptr ? Place::kNotTried : Place::kUnknownKey;
    place.timestamp = ClaimedTime(bytes.subspan(place.offset));
  }
  if (place.kind == Place::kRemnant) {
    if (is_first && (is_likely || run.digits >= kRemnantDigits)) {
      Tell(place);
    }
  } else if (!*has_told) {
    Tell(place);
    *has_told = true;
  }
}

// TryEnds is TryToken for what begins at `begin`, with each end that a token
// may have: digits that belong to something else may stand right behind it.
Status Recogniser::TryEnds(Bytes bytes, std::size_t begin, std::size_t end,
                           Bytes scratch, Place *out) noexcept {
  const Bytes digits = bytes.subspan(begin, end - begin);
  *out = NewPlace(begin, end);
  if (HasStructure(digits)) {
    const Status status = TryToken(bytes, begin, end, scratch, out);
    if (status != Status::kOk || out->kind != Place::kUnknownKey) {
      return status;
    }
  }
  if (ring_ == nullptr || !IsLikelyToken(digits)) {
    return Status::kOk;
  }
  for (std::size_t size = kTokenBytes; DigitsOf(size) < digits.size();
       size += kBlockSize) {
    const std::size_t count = DigitsOf(size);
    if (!HasStructure(digits.first(count))) {
      continue;
    }
    // Nothing is lost by giving up: it is told of as nobody's.
    if (size > allowance_->to_end) {
      return Status::kOk;
    }
    allowance_->to_end -= size;
    Place shorter;
    const Status status =
        TryToken(bytes, begin, begin + count, scratch, &shorter);
    if (status != Status::kOk || shorter.kind == Place::kOpened) {
      *out = shorter;
      return status;
    }
  }
  return Status::kOk;
}

// TryToken tells of a token that a key opens, and of what is inside.
Status Recogniser::TryToken(Bytes bytes, std::size_t begin, std::size_t end,
                            Bytes scratch, Place *out) noexcept {
  const Bytes digits = bytes.subspan(begin, end - begin);
  *out = NewPlace(begin, end);
  const std::size_t size = base64url::DecodedSize(digits.size());
  if (size > allowance_->to_try) {
    return Status::kTooManyCandidates;
  }
  allowance_->to_try -= size;
  if (!Work(size)) {
    return Status::kStopped;
  }
  TokenReader token(go_on_);
  Outcome outcome = token.LoadToRead(AsText(digits));
  if (!outcome.ok()) {
    // What has the structure is refused by nothing but go_on_.
    return outcome.status;
  }
  out->timestamp = token.timestamp();
  out->kind = ring_ == nullptr ? Place::kNotTried : Place::kUnknownKey;
  if (ring_ == nullptr) {
    return Status::kOk;
  }
  outcome = ring_->FindKey(&token, &out->key_index);
  if (outcome.ok()) {
    outcome = {ring_->CheckPadding(token, out->key_index)};
  }
  if (!outcome.ok()) {
    return outcome.status == Status::kNoKeyOpens ? Status::kOk : outcome.status;
  }
  out->kind = Place::kOpened;
  Tell(*out);
  return LookInside(&token, out->key_index, digits, scratch);
}

Status Recogniser::LookInside(TokenReader *token, std::uint32_t index,
                              Bytes digits, Bytes scratch) noexcept {
  const bool has_room = token->ciphertext_size() >= kRoomyCiphertext;
  if (!has_room && (ivs_ == nullptr || index == 0)) {
    return Status::kOk;
  }
  if (has_room && nesting_ == kMaxNesting) {
    return Status::kTooManyCandidates;
  }
  const Bytes room = Use(scratch, token->ciphertext_size());
  scratch = scratch.subspan(room.size());
  std::size_t size = 0;
  Status status = ring_->Open(token, index, room, &size);
  if (status != Status::kOk) {
    return status;
  }
  const std::size_t before = changes_;
  if (size >= kTokenDigits) {
    const auto layers = layers_;
    const std::uint32_t decodings = decodings_;
    decodings_ = 0;
    ++nesting_;
    status = LookAt(room.first(size), scratch);
    --nesting_;
    decodings_ = decodings;
    layers_ = layers;
  }
  if (status == Status::kOk && ivs_ != nullptr &&
      (index != 0 || changes_ != before)) {
    status = Reseal(token->timestamp(), room.first(size), digits, scratch);
  }
  return status;
}

Status Recogniser::Reseal(std::uint64_t timestamp, Bytes plaintext,
                          Bytes digits, Bytes scratch) noexcept {
  const Bytes token = Use(scratch, TokenSize(plaintext.size()));
  const Status status = ring_->Seal(
      plaintext, timestamp, ivs_,
      {reinterpret_cast<char *>(token.data()), token.size()}, go_on_);
  if (status == Status::kOk) {
    std::memcpy(digits.data(), token.data(), digits.size());
    ++changes_;
  }
  return status;
}

Status Recogniser::LookThrough(Bytes bytes, const Run &region,
                               const Alphabet &alphabet,
                               Bytes scratch) noexcept {
  std::size_t from = region.begin;
  for (;;) {
    Run run;
    Status status = NextRun(bytes.first(region.end), alphabet, &from, &run);
    if (status != Status::kOk || run.digits == 0) {
      return status;
    }
    if (alphabet.encoding == Encoding::kBase64) {
      AddLastDigit(bytes, &run);
    }
    // The bytes may begin in the middle of a digit that they share with others.
    const std::uint32_t step = std::gcd(8u, alphabet.bits);
    for (std::uint32_t skipped = 0; skipped < 8; skipped += step) {
      status = LookThroughRun(bytes, region, run, alphabet, skipped, scratch);
      if (status != Status::kOk) {
        return status;
      }
    }
  }
}

Status Recogniser::LookThroughRun(Bytes bytes, const Run &region,
                                  const Run &run, const Alphabet &alphabet,
                                  std::uint32_t skipped,
                                  Bytes scratch) noexcept {
  const std::size_t size = (run.digits * alphabet.bits - skipped) / 8;
  if (size < kTokenDigits) {
    return Status::kOk;
  }
  const Bytes digits = bytes.subspan(run.begin, run.end - run.begin);
  if (digits.size() == run.digits &&
      !MayDecodeToPlaces(digits, alphabet, skipped, size)) {
    return Work(size / kRemnantDigits) ? Status::kOk : Status::kStopped;
  }
  if (size > allowance_->to_decode) {
    return Status::kTooManyCandidates;
  }
  allowance_->to_decode -= size;
  const Bytes decoded = Use(scratch, size);
  Status status = Decode(digits, alphabet, skipped, decoded);
  if (status != Status::kOk) {
    return status;
  }
  const std::size_t before = changes_;
  layers_[decodings_] = {alphabet.encoding, skipped, run.begin, run.end};
  ++decodings_;
  status = LookAt(decoded, scratch.subspan(size));
  --decodings_;
  if (changes_ != before) {
    Encode(decoded, alphabet, skipped, digits,
           bytes.subspan(region.begin, region.end - region.begin));
  }
  return status;
}

Status Recogniser::Decode(Bytes run, const Alphabet &alphabet,
                          std::uint32_t skipped, Bytes out) noexcept {
  std::uint32_t buffer = 0;
  std::uint32_t filled = 0;
  std::uint32_t bits = alphabet.bits - skipped;
  std::uint8_t *to = out.data();
  std::size_t asked = 0;
  for (std::size_t at = 0; at < run.size();) {
    const std::uint32_t value = ValueOf(alphabet, run[at]);
    if (value == kNone) {
      at += std::max<std::size_t>(1, BreakSize(run.subspan(at)));
      continue;
    }
    buffer = buffer << bits | (value & ((1u << bits) - 1));
    filled += bits;
    bits = alphabet.bits;
    if (filled >= 8) {
      filled -= 8;
      *to++ = static_cast<std::uint8_t>(buffer >> filled);
    }
    ++at;
    if (at - asked >= kMiB) {
      if (!Work(at - asked)) {
        return Status::kStopped;
      }
      asked = at;
    }
  }
  return Work(run.size() - asked) ? Status::kOk : Status::kStopped;
}

}  // namespace fernet
