#include "core/recogniser.hpp"

#include <openssl/crypto.h>

#include <algorithm>
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

constexpr Values ValuesOf(std::string_view digits) noexcept {
  Values values{};
  values.fill(kNone);
  for (std::size_t i = 0; i < digits.size(); ++i) {
    values[static_cast<std::uint8_t>(digits[i])] = static_cast<std::uint8_t>(i);
  }
  return values;
}

constexpr Values WithUpperCase(Values values) noexcept {
  for (std::size_t c = 'a'; c <= 'f'; ++c) {
    values[c - 'a' + 'A'] = values[c];
  }
  return values;
}

constexpr std::string_view kLetters =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
constexpr std::string_view kLowerCase = "0123456789abcdef";

bool IsBreak(std::uint8_t byte) noexcept {
  return byte == '\n' || byte == '\r';
}

std::span<const char> AsText(std::span<const std::uint8_t> bytes) noexcept {
  return {reinterpret_cast<const char *>(bytes.data()), bytes.size()};
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

// HasVersion says whether the first byte of what digits of base64url stand for
// is a token's version.
bool HasVersion(std::span<const std::uint8_t> digits) noexcept {
  return digits.size() >= 2 && digits[0] == 'g' && digits[1] >= 'A' &&
         digits[1] <= 'P';
}

// What is looked at as it stands, and the same with lines put together: all
// that is decoded is a part of it.
constexpr Alphabet kPlain = {Encoding::kBase64, 6, kRemnantDigits, false,
                             base64url::kDecodeTable};
constexpr Alphabet kRegion = {Encoding::kBase64, 6, kRemnantDigits, true,
                              base64url::kDecodeTable};
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
  while (at < bytes.size() && IsBreak(bytes[at])) {
    ++at;
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

// DigitOf is the digit of `value` in place of `old`. Only the last one of a run
// of base64 can be one that the two alphabets do not share.
std::uint8_t DigitOf(const Alphabet &alphabet, std::uint32_t value, bool upper,
                     std::uint8_t old) noexcept {
  if (alphabet.encoding == Encoding::kHex) {
    const char digit = kLowerCase[value];
    return static_cast<std::uint8_t>(upper && digit >= 'a' ? digit - 'a' + 'A'
                                                           : digit);
  }
  if (value < kLetters.size()) {
    return static_cast<std::uint8_t>(kLetters[value]);
  }
  const bool is_url_safe = old == '-' || old == '_';
  const std::string_view last = is_url_safe ? "-_" : "+/";
  return static_cast<std::uint8_t>(last[value - kLetters.size()]);
}

// Encode writes `bytes` over the digits that they were decoded from. What is
// the same stays as it is, and so do line breaks and the bits after the bytes.
void Encode(std::span<const std::uint8_t> bytes, const Alphabet &alphabet,
            std::span<std::uint8_t> run) noexcept {
  const std::uint32_t bits = alphabet.bits;
  const bool upper = alphabet.encoding == Encoding::kHex && IsUpperCase(run);
  std::uint32_t buffer = 0;
  std::uint32_t filled = 0;
  for (std::uint8_t &c : run) {
    const std::uint32_t old = ValueOf(alphabet, c);
    if (old == kNone) {
      continue;
    }
    if (filled < bits && !bytes.empty()) {
      buffer = buffer << 8 | bytes.front();
      filled += 8;
      bytes = bytes.subspan(1);
    }
    const std::uint32_t missing = filled < bits ? bits - filled : 0;
    const std::uint32_t kept = old & ((1u << missing) - 1);
    filled = filled + missing - bits;
    const std::uint32_t value =
        (buffer << missing >> filled & ((1u << bits) - 1)) | kept;
    buffer &= (1u << filled) - 1;
    if (value != old) {
      c = DigitOf(alphabet, value, upper, c);
    }
  }
}

bool IsInRun(char c) noexcept {
  const auto byte = static_cast<std::uint8_t>(c);
  return kPlain.values[byte] != kNone || IsBreak(byte);
}

// RunAround is the digits around `at`, with the line breaks between them, from
// `from` on: all of them, or enough for a token.
std::span<const char> RunAround(std::span<const char> bytes, std::size_t from,
                                std::size_t at) noexcept {
  std::size_t begin = at + 1;
  while (begin > from && IsInRun(bytes[begin - 1])) {
    --begin;
  }
  std::size_t end = at + 1;
  while (begin != at + 1 && end < bytes.size() && end - begin < kTokenDigits &&
         IsInRun(bytes[end])) {
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

// kMayBeInRun says of each byte whether a run may have it, be it one of its
// digits or what stands between its lines.
constexpr std::array<bool, 256> kMayBeInRun = [] {
  std::array<bool, 256> may_be{};
  for (const char c : kLetters) {
    may_be[static_cast<std::uint8_t>(c)] = true;
  }
  for (const char c : std::string_view("-_+/\n\r\t \\%&#;")) {
    may_be[static_cast<std::uint8_t>(c)] = true;
  }
  return may_be;
}();

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
           kMayBeInRun[DecodedByte(digits, alphabet, skipped, begin - 1)]) {
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
  std::size_t digits = inside * 8 / bits;
  std::size_t at = layer.begin;
  while (at < value.size() &&
         (digits > 0 || IsBreak(static_cast<std::uint8_t>(value[at])))) {
    digits -= IsBreak(static_cast<std::uint8_t>(value[at])) ? 0 : 1;
    ++at;
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
  while (size > 0 && IsInRun(bytes[size - 1])) {
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
  std::size_t asked = *from;
  *out = {.begin = 0, .end = 0, .digits = 0};
  for (std::size_t at = *from;; ++at) {
    const bool is_end = at >= bytes.size();
    const std::uint8_t byte = is_end ? 0 : bytes[at];
    if (alphabet.values[byte] != kNone) {
      out->begin = out->digits == 0 ? at : out->begin;
      out->end = at + 1;
      ++out->digits;
    } else if (out->digits != 0 && !(alphabet.has_breaks && IsBreak(byte))) {
      if (out->digits >= alphabet.least) {
        *from = at;
        return Work(at - asked) ? Status::kOk : Status::kStopped;
      }
      out->digits = 0;
    }
    if (is_end) {
      *from = at;
      return Work(at - asked) ? Status::kOk : Status::kStopped;
    }
    if (at - asked >= kMiB) {
      if (!Work(at - asked)) {
        return Status::kStopped;
      }
      asked = at;
    }
  }
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
  if (StartsAsToken(digits) && !HasStructure(digits)) {
    Tell(NewPlace(run.begin, run.end));
  }
  bool has_told = false;
  for (std::size_t at = 0;; ++at) {
    Status status = NextStart(digits, &at);
    if (status != Status::kOk) {
      return status;
    }
    if (digits.size() < kTokenDigits + at) {
      break;
    }
    if (!HasStructure(digits.subspan(at))) {
      continue;
    }
    Place place;
    status = TryToken(bytes, run.begin + at, run.end, scratch, &place);
    if (status != Status::kOk) {
      return status;
    }
    if (place.kind == Place::kOpened) {
      *out_is_token = at == 0;
      return Status::kOk;
    }
    if (!has_told) {
      Tell(place);
      has_told = true;
    }
    if (place.kind == Place::kNotTried) {
      return Status::kOk;
    }
  }
  if (ring_ == nullptr || StartsAsToken(digits) || !HasVersion(digits) ||
      !HasStructure(digits)) {
    return Status::kOk;
  }
  Place place;
  const Status status = TryToken(bytes, run.begin, run.end, scratch, &place);
  *out_is_token = status == Status::kOk && place.kind == Place::kOpened;
  return status;
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
    const std::size_t alignments = 8 / std::gcd(8u, alphabet.bits);
    for (std::size_t i = 0; i < alignments; ++i) {
      status = LookThroughRun(bytes, run, alphabet, scratch);
      if (status != Status::kOk) {
        return status;
      }
      // The next alignment is that of the next digit.
      --run.digits;
      do {
        ++run.begin;
      } while (IsBreak(bytes[run.begin]));
    }
  }
}

Status Recogniser::LookThroughRun(Bytes bytes, const Run &run,
                                  const Alphabet &alphabet,
                                  Bytes scratch) noexcept {
  constexpr std::size_t kSkipped = 0;
  const std::size_t size = (run.digits * alphabet.bits - kSkipped) / 8;
  if (size < kTokenDigits) {
    return Status::kOk;
  }
  const Bytes digits = bytes.subspan(run.begin, run.end - run.begin);
  if (digits.size() == run.digits &&
      !MayDecodeToPlaces(digits, alphabet, kSkipped, size)) {
    return Work(size / kRemnantDigits) ? Status::kOk : Status::kStopped;
  }
  if (size > allowance_->to_decode) {
    return Status::kTooManyCandidates;
  }
  allowance_->to_decode -= size;
  const Bytes decoded = Use(scratch, size);
  Status status = Decode(digits, alphabet, decoded);
  if (status != Status::kOk) {
    return status;
  }
  const std::size_t before = changes_;
  layers_[decodings_] = {alphabet.encoding, run.begin, run.end};
  ++decodings_;
  status = LookAt(decoded, scratch.subspan(size));
  --decodings_;
  if (changes_ != before) {
    Encode(decoded, alphabet, digits);
  }
  return status;
}

Status Recogniser::Decode(Bytes run, const Alphabet &alphabet,
                          Bytes out) noexcept {
  std::uint32_t buffer = 0;
  std::uint32_t filled = 0;
  std::uint8_t *to = out.data();
  while (!run.empty()) {
    const Bytes some = run.first(std::min(kMiB, run.size()));
    for (const std::uint8_t c : some) {
      const std::uint32_t value = ValueOf(alphabet, c);
      if (value == kNone) {
        continue;
      }
      buffer = buffer << alphabet.bits | value;
      filled += alphabet.bits;
      if (filled >= 8) {
        filled -= 8;
        *to++ = static_cast<std::uint8_t>(buffer >> filled);
      }
    }
    if (!Work(some.size())) {
      return Status::kStopped;
    }
    run = run.subspan(some.size());
  }
  return Status::kOk;
}

}  // namespace fernet
