#include "our_codec.hpp"

#include "unit/support.hpp"

namespace fernet::bench {

OurCodec::OurCodec(std::initializer_list<int> numbers)
    : ring_(test::RingOf(numbers)) {}

bool OurCodec::Seal(View plaintext, std::uint64_t timestamp,
                    std::span<char> out) {
  return ring_->Seal(plaintext, timestamp, &ivs_, out) == Status::kOk;
}

bool OurCodec::SealWithIv(View plaintext, std::uint64_t timestamp, Iv iv,
                          std::span<char> out) {
  return ring_->SealWithIv(plaintext, timestamp, iv, out) == Status::kOk;
}

bool OurCodec::Open(Text token, std::span<std::uint8_t> out,
                    std::size_t *out_size) {
  TokenReader reader;
  if (!reader.LoadToRead(token).ok()) {
    return false;
  }
  reader.KeepCiphertextIn(out);
  std::uint32_t index = 0;
  return ring_->FindKey(&reader, &index).ok() &&
         ring_->Open(&reader, index, out, out_size) == Status::kOk;
}

bool OurCodec::Verify(Text token) {
  TokenReader reader;
  std::uint32_t index = 0;
  return reader.LoadToRead(token).ok() &&
         ring_->FindKey(&reader, &index).ok() &&
         ring_->CheckPadding(reader, index) == Status::kOk;
}

bool OurCodec::Rotate(Text token, std::span<char> out, std::size_t *out_size) {
  TokenReader reader;
  std::uint32_t index = 0;
  return reader.LoadToRead(token).ok() &&
         ring_->FindKey(&reader, &index).ok() &&
         ring_->Rotate(&reader, index, &ivs_, out, out_size) == Status::kOk;
}

}  // namespace fernet::bench
