#include "core/base64url_kernels.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace fernet::base64url {
namespace {

#if defined(__x86_64__)

// A group of three bytes is the number b0 << 16 | b1 << 8 | b2; its four values
// are the six bits from 18, 12, 6 and 0 up. Eight groups lie side by side, each
// in 32 bits.
//
// AVX-512 would convert twice as fast, but it slows down the SHA-256 that
// follows by more than it gains.

#define FERNET_AVX2 __attribute__((target("avx2")))

constexpr std::size_t kBytes = 24;
constexpr std::size_t kDigits = 32;

FERNET_AVX2 inline __m256i Table(std::span<const std::uint8_t, 16> table) {
  return _mm256_broadcastsi128_si256(
      _mm_loadu_si128(reinterpret_cast<const __m128i *>(table.data())));
}

// A table has only 16 bytes, so the alphabet is divided into ranges. kOffsets
// holds what to add to a value of each range to get its character. EncodeBlock
// finds the range: 0 for a to z, 1 to 10 for one digit each, 11 and 12 for the
// last two characters, 13 for A to Z.
constexpr std::array<std::uint8_t, 16> kOffsets = [] {
  std::array<std::uint8_t, 16> offsets{};
  offsets[0] = 'a' - 26;
  for (std::size_t value = 52; value < 64; ++value) {
    offsets[value - 51] = static_cast<std::uint8_t>(
        static_cast<std::size_t>(kAlphabet[value]) - value);
  }
  offsets[13] = 'A';
  return offsets;
}();

FERNET_AVX2 void EncodeBlock(const std::uint8_t *in, char *out) noexcept {
  const __m128i first = _mm_loadu_si128(reinterpret_cast<const __m128i *>(in));
  // Begins four bytes early, so that it ends with the last byte of the block.
  const __m128i second =
      _mm_loadu_si128(reinterpret_cast<const __m128i *>(in + 8));
  const __m256i spread = _mm256_shuffle_epi8(
      _mm256_set_m128i(second, first),
      _mm256_setr_epi8(1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10,  //
                       5, 4, 6, 5, 8, 7, 9, 8, 11, 10, 12, 11, 14, 13, 15, 14));
  // A multiplication shifts each value to its place, two at a time.
  const __m256i even = _mm256_mulhi_epu16(
      _mm256_and_si256(spread, _mm256_set1_epi32(0x0fc0fc00)),
      _mm256_set1_epi32(0x04000040));
  const __m256i odd = _mm256_mullo_epi16(
      _mm256_and_si256(spread, _mm256_set1_epi32(0x003f03f0)),
      _mm256_set1_epi32(0x01000010));
  const __m256i values = _mm256_or_si256(even, odd);
  const __m256i is_upper = _mm256_cmpgt_epi8(_mm256_set1_epi8(26), values);
  const __m256i range =
      _mm256_or_si256(_mm256_subs_epu8(values, _mm256_set1_epi8(51)),
                      _mm256_and_si256(is_upper, _mm256_set1_epi8(13)));
  const __m256i text =
      _mm256_add_epi8(values, _mm256_shuffle_epi8(Table(kOffsets), range));
  _mm256_storeu_si256(reinterpret_cast<__m256i *>(out), text);
}

FERNET_AVX2 std::size_t EncodeAvx2(std::span<const std::uint8_t> in,
                                   char *out) noexcept {
  const std::size_t whole = in.size() / 3 * 3;
  if (whole < kBytes) {
    return 0;
  }
  std::size_t i = 0;
  for (; i + kBytes <= whole; i += kBytes) {
    EncodeBlock(in.data() + i, out + i / 3 * 4);
  }
  // The rest is less than a block: convert the last block of the input again.
  if (i != whole) {
    EncodeBlock(in.data() + whole - kBytes, out + (whole - kBytes) / 3 * 4);
  }
  return whole;
}

// The high hexadecimal digit of a character is its row, the low one its column.
struct DecodeTables {
  // A column has the bits of the rows in which it has no character of the
  // alphabet; a row has its own bit. A character is in the alphabet if the two
  // have no bit in common.
  std::array<std::uint8_t, 16> columns;
  std::array<std::uint8_t, 16> rows;
  // What to add to a character of the row to get its value.
  std::array<std::uint8_t, 16> shifts;
};

// The row of P to Z has a '_' too; its shift is larger by this much.
constexpr char kUnderscoreExtra = ('P' - 15) - ('_' - 63);

constexpr DecodeTables kTables = [] {
  DecodeTables tables{};
  // Rows 2 to 7 have characters; all others share a bit that every column has.
  constexpr std::uint8_t kEmptyRow = 0x80;
  tables.columns.fill(kEmptyRow);
  for (std::size_t row = 0; row < 16; ++row) {
    const bool some = row >= 2 && row <= 7;
    tables.rows[row] =
        some ? static_cast<std::uint8_t>(1u << (row - 2)) : kEmptyRow;
    for (std::size_t column = 0; some && column < 16; ++column) {
      const std::size_t character = row * 16 + column;
      if (kDecodeTable[character] == kInvalid) {
        tables.columns[column] |= tables.rows[row];
      } else if (character != '_') {
        tables.shifts[row] =
            static_cast<std::uint8_t>(kDecodeTable[character] - character);
      }
    }
  }
  return tables;
}();

// DecodeBlock returns false and writes nothing if a character is not in the
// alphabet.
FERNET_AVX2 bool DecodeBlock(const char *digits, std::uint8_t *out) noexcept {
  const __m256i text =
      _mm256_loadu_si256(reinterpret_cast<const __m256i *>(digits));
  const __m256i nibble = _mm256_set1_epi8(0x0f);
  const __m256i row = _mm256_and_si256(_mm256_srli_epi16(text, 4), nibble);
  const __m256i column = _mm256_and_si256(text, nibble);
  if (_mm256_testz_si256(_mm256_shuffle_epi8(Table(kTables.rows), row),
                         _mm256_shuffle_epi8(Table(kTables.columns), column)) ==
      0) {
    return false;
  }
  const __m256i is_underscore = _mm256_cmpeq_epi8(text, _mm256_set1_epi8('_'));
  const __m256i extra =
      _mm256_and_si256(is_underscore, _mm256_set1_epi8(kUnderscoreExtra));
  const __m256i shift =
      _mm256_add_epi8(_mm256_shuffle_epi8(Table(kTables.shifts), row), extra);
  const __m256i values = _mm256_add_epi8(text, shift);
  const __m256i pairs = _mm256_maddubs_epi16(values, _mm256_set1_epi16(0x0140));
  const __m256i groups =
      _mm256_madd_epi16(pairs, _mm256_set1_epi32(0x00011000));
  // Twelve bytes to the start of each half, then both side by side.
  const __m256i halves = _mm256_shuffle_epi8(
      groups,
      _mm256_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1,
                       2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1));
  const __m256i bytes = _mm256_permutevar8x32_epi32(
      halves, _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 7, 7));
  _mm_storeu_si128(reinterpret_cast<__m128i *>(out),
                   _mm256_castsi256_si128(bytes));
  _mm_storel_epi64(reinterpret_cast<__m128i *>(out + 16),
                   _mm256_extracti128_si256(bytes, 1));
  return true;
}

FERNET_AVX2 std::size_t DecodeAvx2(std::span<const char> digits,
                                   std::uint8_t *out) noexcept {
  const std::size_t whole = digits.size() / 4 * 4;
  if (whole < kDigits) {
    return 0;
  }
  std::size_t i = 0;
  for (; i + kDigits <= whole; i += kDigits) {
    if (!DecodeBlock(digits.data() + i, out + i / 4 * 3)) {
      return i;
    }
  }
  if (i != whole && !DecodeBlock(digits.data() + whole - kDigits,
                                 out + (whole - kDigits) / 4 * 3)) {
    return i;
  }
  return whole;
}

#undef FERNET_AVX2

#endif

std::size_t EncodeNothing(std::span<const std::uint8_t>, char *) noexcept {
  return 0;
}

std::size_t DecodeNothing(std::span<const char>, std::uint8_t *) noexcept {
  return 0;
}

constexpr std::array kKernels = {
#if defined(__x86_64__)
    Kernel{"AVX2", EncodeAvx2, DecodeAvx2},
#endif
    Kernel{"none", EncodeNothing, DecodeNothing}};

}  // namespace

std::span<const Kernel> Kernels() noexcept {
  const std::span all(kKernels);
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2") ? all : all.last(1);
#else
  return all;
#endif
}

}  // namespace fernet::base64url
