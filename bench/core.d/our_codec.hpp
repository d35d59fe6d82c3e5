// The core, through its public interface.
#pragma once

#include <initializer_list>

#include "codec.hpp"
#include "core/keyring.hpp"

namespace fernet::bench {

class OurCodec final : public Codec {
 public:
  // A keyring of the test keys `numbers`, in that order: see support.hpp.
  explicit OurCodec(std::initializer_list<int> numbers);

  bool Seal(View plaintext, std::uint64_t timestamp,
            std::span<char> out) override;
  bool SealWithIv(View plaintext, std::uint64_t timestamp, Iv iv,
                  std::span<char> out) override;
  bool Open(Text token, std::span<std::uint8_t> out,
            std::size_t *out_size) override;

  // Verify says whether Open would succeed, without decrypting but the end.
  bool Verify(Text token);
  // Rotate seals what is in `token` under the first key. `out` is as large as
  // `token`; `*out_size` is how many characters the new token has.
  bool Rotate(Text token, std::span<char> out, std::size_t *out_size);

 private:
  std::unique_ptr<Keyring> ring_;
  RandomBuffer ivs_;
};

}  // namespace fernet::bench
