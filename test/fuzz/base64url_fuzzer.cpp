// Encode and Decode, with every kernel that the processor can run, compared
// with the plain way: at every alignment, in buffers without a spare byte.
//
// An input: the misalignment of the buffer to read, the misalignment and extra
// size of the buffer to write, how many digits to cut and how many characters
// to damage, the damages, and then the bytes, which are encoded and also read
// as digits.
#include "core/base64url.hpp"

#include "core/base64url_kernels.hpp"
#include "fuzz/fuzz.hpp"
#include "fuzz/judge.hpp"

namespace fernet::fuzz {
namespace {

struct Places {
  std::size_t from;
  std::size_t to;
  std::size_t extra;
};

void CheckEncode(View bytes, const Places &places) {
  const std::string expected = EncodeBits(bytes);
  Require(base64url::EncodedSize(bytes.size()) == expected.size(),
          "EncodedSize is the size of the text");
  Exact<std::uint8_t> in(bytes, places.from);
  for (const base64url::Kernel &kernel : base64url::Kernels()) {
    Exact<char> out(expected.size() + places.extra, places.to);
    base64url::EncodeWith(kernel, in.span(), out.span());
    Require(Equal(out.span().first(expected.size()), expected),
            "Encode writes what the plain way does");
    out.CheckFront();
  }
}

void CheckDecode(std::string_view digits, const Places &places) {
  const std::size_t bad = FirstBadDigit(digits);
  const bool good = bad == digits.size();
  const Bytes expected = good ? DecodeBits(digits) : Bytes();
  const std::size_t size = base64url::DecodedSize(digits.size());
  Exact<char> in(digits, places.from);
  for (const base64url::Kernel &kernel : base64url::Kernels()) {
    Exact<std::uint8_t> out(size + places.extra, places.to);
    const std::size_t offset =
        base64url::DecodeWith(kernel, in.span(), out.span());
    Require(offset == (good ? base64url::kNoOffset : bad),
            "Decode returns the offset of the first bad character");
    Require(!good || (size == expected.size() &&
                      Equal(out.span().first(size), expected)),
            "Decode writes what the plain way does");
    out.CheckFront();
  }
  if (!good) {
    return;
  }
  const bool spare = base64url::HasTrailingBits(in.span());
  Require(spare == HasSpareBits(digits), "HasTrailingBits sees spare bits");
  if (!spare && digits.size() % 4 != 1) {
    std::string text(base64url::EncodedSize(size), '\0');
    base64url::Encode(expected, text);
    Require(WithoutEquals(text) == digits,
            "what was decoded is encoded as it was");
  }
}

void Run(Input input) {
  const Places places = {input.Byte() % 64u, input.Byte() % 64u,
                         input.Byte() % 64u};
  const std::uint8_t how = input.Byte();
  std::array<std::uint16_t, 2> at;
  std::array<char, 2> character;
  const std::size_t damages = how / 4 % 3;
  for (std::size_t i = 0; i < damages; ++i) {
    at[i] = static_cast<std::uint16_t>(input.Number(2));
    character[i] = static_cast<char>(input.Byte());
  }
  const View bytes = input.rest();
  CheckEncode(bytes, places);
  CheckDecode(AsText(bytes), places);

  std::string digits(WithoutEquals(EncodeBits(bytes)));
  digits.resize(digits.size() - std::min<std::size_t>(digits.size(), how % 4));
  for (std::size_t i = 0; i < damages && !digits.empty(); ++i) {
    digits[at[i] % digits.size()] = character[i];
  }
  CheckDecode(digits, places);
}

}  // namespace
}  // namespace fernet::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data,
                                      std::size_t size) {
  fernet::fuzz::Run(fernet::fuzz::Input({data, size}));
  return 0;
}
