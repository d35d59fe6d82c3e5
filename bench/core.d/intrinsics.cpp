// The floor: a token by the processor's own instructions for AES and SHA-256,
// with nothing of OpenSSL between them. For reference only, never to be
// shipped: what the extension does with keys is OpenSSL's, which is reviewed,
// certified, and replaced by the system when it has a defect.
#include "layout.hpp"

#if defined(__x86_64__) && defined(__GNUC__)

#include <cpuid.h>
#include <immintrin.h>
#include <openssl/crypto.h>

#include <vector>

// Each function that uses the instructions needs this: the rest of the program
// must run without them.
#define NATIVE [[gnu::target("ssse3,sse4.1,aes,sha")]]

namespace fernet::bench {
namespace {

bool IsSupported() {
  unsigned int eax = 0;
  unsigned int ebx = 0;
  unsigned int ecx = 0;
  unsigned int edx = 0;
  // __builtin_cpu_supports of GCC 12 does not know "sha".
  const bool sha = __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 &&
                   (ebx & (1u << 29)) != 0;
  return sha && __builtin_cpu_supports("ssse3") != 0 &&
         __builtin_cpu_supports("sse4.1") != 0 &&
         __builtin_cpu_supports("aes") != 0;
}

NATIVE inline __m128i Load(const void *from) {
  return _mm_loadu_si128(static_cast<const __m128i *>(from));
}

NATIVE inline void Store(void *to, __m128i value) {
  _mm_storeu_si128(static_cast<__m128i *>(to), value);
}

//
// AES-128-CBC. Source: Intel, "Advanced Encryption Standard New Instructions".
//

constexpr int kRounds = 10;

struct AesKeys {
  __m128i encryption[kRounds + 1];
  __m128i decryption[kRounds + 1];
};

template <int kRoundConstant>
NATIVE inline __m128i NextRoundKey(__m128i key) {
  const __m128i assist =
      _mm_shuffle_epi32(_mm_aeskeygenassist_si128(key, kRoundConstant), 0xff);
  key = _mm_xor_si128(key, _mm_slli_si128(key, 4));
  key = _mm_xor_si128(key, _mm_slli_si128(key, 8));
  return _mm_xor_si128(key, assist);
}

NATIVE void ExpandKey(const std::uint8_t *key, AesKeys *out) {
  __m128i *const keys = out->encryption;
  keys[0] = Load(key);
  keys[1] = NextRoundKey<0x01>(keys[0]);
  keys[2] = NextRoundKey<0x02>(keys[1]);
  keys[3] = NextRoundKey<0x04>(keys[2]);
  keys[4] = NextRoundKey<0x08>(keys[3]);
  keys[5] = NextRoundKey<0x10>(keys[4]);
  keys[6] = NextRoundKey<0x20>(keys[5]);
  keys[7] = NextRoundKey<0x40>(keys[6]);
  keys[8] = NextRoundKey<0x80>(keys[7]);
  keys[9] = NextRoundKey<0x1b>(keys[8]);
  keys[10] = NextRoundKey<0x36>(keys[9]);
  out->decryption[0] = keys[kRounds];
  for (int i = 1; i < kRounds; ++i) {
    out->decryption[i] = _mm_aesimc_si128(keys[kRounds - i]);
  }
  out->decryption[kRounds] = keys[0];
}

NATIVE void EncryptCbc(const AesKeys &keys, Iv iv, std::uint8_t *blocks,
                       std::size_t size) {
  __m128i block = Load(iv.data());
  for (std::size_t i = 0; i < size; i += kBlockSize) {
    block = _mm_xor_si128(block, Load(blocks + i));
    block = _mm_xor_si128(block, keys.encryption[0]);
#pragma GCC unroll 9
    for (int round = 1; round < kRounds; ++round) {
      block = _mm_aesenc_si128(block, keys.encryption[round]);
    }
    block = _mm_aesenclast_si128(block, keys.encryption[kRounds]);
    Store(blocks + i, block);
  }
}

// DecryptBlocks decrypts `kBlocks` blocks at a time, which depend on nothing
// but ciphertext.
template <int kBlocks>
NATIVE inline __m128i DecryptBlocks(const AesKeys &keys, __m128i previous,
                                    const std::uint8_t *in, std::uint8_t *out) {
  __m128i blocks[kBlocks];
#pragma GCC unroll 8
  for (int i = 0; i < kBlocks; ++i) {
    blocks[i] = _mm_xor_si128(Load(in + i * 16), keys.decryption[0]);
  }
#pragma GCC unroll 9
  for (int round = 1; round < kRounds; ++round) {
#pragma GCC unroll 8
    for (int i = 0; i < kBlocks; ++i) {
      blocks[i] = _mm_aesdec_si128(blocks[i], keys.decryption[round]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kBlocks; ++i) {
    const __m128i plain =
        _mm_aesdeclast_si128(blocks[i], keys.decryption[kRounds]);
    Store(out + i * 16, _mm_xor_si128(plain, previous));
    previous = Load(in + i * 16);
  }
  return previous;
}

NATIVE void DecryptCbc(const AesKeys &keys, const std::uint8_t *iv,
                       const std::uint8_t *in, std::size_t size,
                       std::uint8_t *out) {
  __m128i previous = Load(iv);
  std::size_t i = 0;
  for (; i + 8 * kBlockSize <= size; i += 8 * kBlockSize) {
    previous = DecryptBlocks<8>(keys, previous, in + i, out + i);
  }
  for (; i + 4 * kBlockSize <= size; i += 4 * kBlockSize) {
    previous = DecryptBlocks<4>(keys, previous, in + i, out + i);
  }
  if (i + 2 * kBlockSize <= size) {
    previous = DecryptBlocks<2>(keys, previous, in + i, out + i);
    i += 2 * kBlockSize;
  }
  if (i < size) {
    DecryptBlocks<1>(keys, previous, in + i, out + i);
  }
}

//
// HMAC-SHA256. Source: Intel, "New Instructions Supporting the Secure Hash
// Algorithm on Intel Architecture Processors".
//

alignas(16) constexpr std::uint32_t kRoundConstants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
    0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
    0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
    0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
    0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
    0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
    0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

// The eight words of SHA-256 in the order that the instructions want them.
struct Sha256State {
  __m128i abef;
  __m128i cdgh;
};

NATIVE inline __m128i SwapBytesOfWords(__m128i words) {
  return _mm_shuffle_epi8(
      words, _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203));
}

NATIVE Sha256State InitialState() {
  // Of RFC 6234: h0 is 6a09e667 and so on.
  return {_mm_set_epi32(0x6a09e667, static_cast<int>(0xbb67ae85u), 0x510e527f,
                        static_cast<int>(0x9b05688cu)),
          _mm_set_epi32(0x3c6ef372, static_cast<int>(0xa54ff53au), 0x1f83d9ab,
                        0x5be0cd19)};
}

// CompressWords takes the next block as sixteen words of the processor's own
// order.
NATIVE inline void CompressWords(Sha256State *state, __m128i w0, __m128i w1,
                                 __m128i w2, __m128i w3) {
  __m128i w[4] = {w0, w1, w2, w3};
  __m128i abef = state->abef;
  __m128i cdgh = state->cdgh;
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    __m128i &next = w[i % 4];
    if (i >= 4) {
      const __m128i four_back = w[(i + 3) % 4];
      next = _mm_sha256msg1_epu32(next, w[(i + 1) % 4]);
      next = _mm_add_epi32(next, _mm_alignr_epi8(four_back, w[(i + 2) % 4], 4));
      next = _mm_sha256msg2_epu32(next, four_back);
    }
    const __m128i sum = _mm_add_epi32(next, Load(kRoundConstants + i * 4));
    cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
    abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
  }
  state->abef = _mm_add_epi32(state->abef, abef);
  state->cdgh = _mm_add_epi32(state->cdgh, cdgh);
}

NATIVE inline void Compress(Sha256State *state, const std::uint8_t *block) {
  CompressWords(
      state, SwapBytesOfWords(Load(block)), SwapBytesOfWords(Load(block + 16)),
      SwapBytesOfWords(Load(block + 32)), SwapBytesOfWords(Load(block + 48)));
}

// Words is the state as the first four and the last four words.
struct Words {
  __m128i low;
  __m128i high;
};

NATIVE inline Words ToWords(const Sha256State &state) {
  const __m128i feba = _mm_shuffle_epi32(state.abef, 0x1b);
  const __m128i dchg = _mm_shuffle_epi32(state.cdgh, 0xb1);
  return {_mm_blend_epi16(feba, dchg, 0xf0), _mm_alignr_epi8(dchg, feba, 8)};
}

NATIVE Sha256State AbsorbPad(const std::uint8_t *key, std::uint8_t pad) {
  std::array<std::uint8_t, 64> block;
  block.fill(pad);
  for (std::size_t i = 0; i < 16; ++i) {
    block[i] ^= key[i];
  }
  Sha256State state = InitialState();
  Compress(&state, block.data());
  return state;
}

struct HmacKeys {
  Sha256State inner;
  Sha256State outer;
};

NATIVE void ComputeHmac(const HmacKeys &keys, const std::uint8_t *data,
                        std::size_t size, std::uint8_t *out) {
  Sha256State inner = keys.inner;
  std::size_t done = 0;
  for (; size - done >= 64; done += 64) {
    Compress(&inner, data + done);
  }
  const std::size_t rest = size - done;
  const std::size_t last_size = rest < 56 ? 64 : 128;
  std::array<std::uint8_t, 128> last{};
  std::memcpy(last.data(), data + done, rest);
  last[rest] = 0x80;
  const std::uint64_t bits = __builtin_bswap64((64 + size) * 8);
  std::memcpy(last.data() + last_size - 8, &bits, 8);
  for (std::size_t i = 0; i < last_size; i += 64) {
    Compress(&inner, last.data() + i);
  }
  // The second block of the outer hash: the inner one, 0x80, zeros, and the
  // number of bits of two blocks, the pad and the 32 bytes.
  const Words words = ToWords(inner);
  Sha256State outer = keys.outer;
  CompressWords(&outer, words.low, words.high,
                _mm_set_epi32(0, 0, 0, static_cast<int>(0x80000000u)),
                _mm_set_epi32((64 + 32) * 8, 0, 0, 0));
  const Words hmac = ToWords(outer);
  Store(out, SwapBytesOfWords(hmac.low));
  Store(out + 16, SwapBytesOfWords(hmac.high));
}

//
// base64url. Source: W. Mula and D. Lemire, "Faster Base64 Encoding and
// Decoding using AVX2 Instructions", here with half as wide registers.
//

NATIVE void Encode(const std::uint8_t *from, std::size_t size, char *to) {
  const __m128i spread =
      _mm_set_epi8(10, 11, 9, 10, 7, 8, 6, 7, 4, 5, 3, 4, 1, 2, 0, 1);
  const __m128i offsets = _mm_setr_epi8(
      'a' - 26, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52,
      '0' - 52, '0' - 52, '0' - 52, '0' - 52, '-' - 62, '_' - 63, 'A', 0, 0);
  // It reads 16 bytes and uses 12.
  for (; size >= 16; size -= 12, from += 12, to += 16) {
    const __m128i in = _mm_shuffle_epi8(Load(from), spread);
    const __m128i values = _mm_or_si128(
        _mm_mulhi_epu16(_mm_and_si128(in, _mm_set1_epi32(0x0fc0fc00)),
                        _mm_set1_epi32(0x04000040)),
        _mm_mullo_epi16(_mm_and_si128(in, _mm_set1_epi32(0x003f03f0)),
                        _mm_set1_epi32(0x01000010)));
    // 13 for capitals, 0 for small letters, 1 to 10 for digits, 11, 12.
    const __m128i kind =
        _mm_or_si128(_mm_subs_epu8(values, _mm_set1_epi8(51)),
                     _mm_and_si128(_mm_cmpgt_epi8(_mm_set1_epi8(26), values),
                                   _mm_set1_epi8(13)));
    Store(to, _mm_add_epi8(values, _mm_shuffle_epi8(offsets, kind)));
  }
  table_base64::Encode(from, size, to);
}

// InRange is all ones for each of `characters` from `first` to `last`.
NATIVE inline __m128i InRange(__m128i characters, char first, char last) {
  return _mm_and_si128(
      _mm_cmpgt_epi8(characters, _mm_set1_epi8(static_cast<char>(first - 1))),
      _mm_cmpgt_epi8(_mm_set1_epi8(static_cast<char>(last + 1)), characters));
}

// Decode writes up to 4 bytes more than there are.
NATIVE bool Decode(const char *from, std::size_t size, std::uint8_t *to) {
  const __m128i compact =
      _mm_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1);
  __m128i all_known = _mm_set1_epi8(-1);
  for (; size >= 16; size -= 16, from += 16, to += 12) {
    const __m128i in = Load(from);
    const __m128i capital = InRange(in, 'A', 'Z');
    const __m128i small = InRange(in, 'a', 'z');
    const __m128i digit = InRange(in, '0', '9');
    const __m128i minus = _mm_cmpeq_epi8(in, _mm_set1_epi8('-'));
    const __m128i underscore = _mm_cmpeq_epi8(in, _mm_set1_epi8('_'));
    all_known = _mm_and_si128(
        all_known,
        _mm_or_si128(_mm_or_si128(_mm_or_si128(capital, small), digit),
                     _mm_or_si128(minus, underscore)));
    const __m128i offset = _mm_or_si128(
        _mm_or_si128(
            _mm_or_si128(_mm_and_si128(capital, _mm_set1_epi8(-'A')),
                         _mm_and_si128(small, _mm_set1_epi8(26 - 'a'))),
            _mm_and_si128(digit, _mm_set1_epi8(52 - '0'))),
        _mm_or_si128(_mm_and_si128(minus, _mm_set1_epi8(62 - '-')),
                     _mm_and_si128(underscore, _mm_set1_epi8(63 - '_'))));
    const __m128i values = _mm_add_epi8(in, offset);
    const __m128i pairs = _mm_maddubs_epi16(values, _mm_set1_epi32(0x01400140));
    const __m128i groups = _mm_madd_epi16(pairs, _mm_set1_epi32(0x00011000));
    Store(to, _mm_shuffle_epi8(groups, compact));
  }
  return table_base64::Decode(from, size, to) &&
         _mm_movemask_epi8(all_known) == 0xffff;
}

class Intrinsics final : public Codec {
 public:
  explicit Intrinsics(View key) : binary_(kRoom) {
    ExpandKey(key.last(16).data(), &aes_);
    hmac_.inner = AbsorbPad(key.data(), 0x36);
    hmac_.outer = AbsorbPad(key.data(), 0x5c);
  }

  bool Seal(View plaintext, std::uint64_t timestamp,
            std::span<char> out) override {
    return SealWithIv(plaintext, timestamp, ivs_.Next(), out);
  }

  bool SealWithIv(View plaintext, std::uint64_t timestamp, Iv iv,
                  std::span<char> out) override {
    std::uint8_t *const binary = binary_.data();
    const std::size_t size = WritePadded(plaintext, timestamp, iv, binary);
    EncryptCbc(aes_, iv, binary + kHeaderSize, size);
    const std::size_t signed_size = kHeaderSize + size;
    ComputeHmac(hmac_, binary, signed_size, binary + signed_size);
    Encode(binary, signed_size + kHmacSize, out.data());
    return true;
  }

  bool Open(Text token, std::span<std::uint8_t> out,
            std::size_t *out_size) override {
    const Text digits = Digits(token);
    std::uint8_t *const binary = binary_.data();
    if (!Decode(digits.data(), digits.size(), binary)) {
      return false;
    }
    const std::size_t signed_size =
        base64url::DecodedSize(digits.size()) - kHmacSize;
    std::array<std::uint8_t, kHmacSize> hmac;
    ComputeHmac(hmac_, binary, signed_size, hmac.data());
    if (CRYPTO_memcmp(hmac.data(), binary + signed_size, kHmacSize) != 0) {
      return false;
    }
    const std::size_t size = signed_size - kHeaderSize;
    DecryptCbc(aes_, binary + 1 + kTimestampSize, binary + kHeaderSize, size,
               out.data());
    *out_size = size - out[size - 1];
    return true;
  }

 private:
  AesKeys aes_;
  HmacKeys hmac_;
  IvBuffer ivs_;
  std::vector<std::uint8_t> binary_;
};

}  // namespace

std::unique_ptr<Codec> MakeIntrinsics(View key) {
  return IsSupported() ? std::make_unique<Intrinsics>(key) : nullptr;
}

}  // namespace fernet::bench

#else

namespace fernet::bench {

std::unique_ptr<Codec> MakeIntrinsics(View /*key*/) { return nullptr; }

}  // namespace fernet::bench

#endif
