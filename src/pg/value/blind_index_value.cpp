#include "pg/value/blind_index_value.hpp"

#include "pg/report/report.hpp"
#include "pg/server/interrupts.hpp"
#include "pg/value/text_encoding.hpp"

namespace fernet::pg {

BlindIndexForm MakeBlindIndexForm(varlena *context, std::int32_t bits) {
  constexpr auto kMinBits = static_cast<std::int32_t>(8 * kMinBlindIndexSize);
  constexpr auto kMaxBits = static_cast<std::int32_t>(8 * kMaxBlindIndexSize);
  if (bits < kMinBits || bits > kMaxBits || bits % 8 != 0) {
    FERNET_RAISE(ERRCODE_INVALID_PARAMETER_VALUE,
                 errmsg("a blind index cannot have %d bits", bits),
                 errdetail("The number of bits is a multiple of 8, from %d to "
                           "%d.",
                           kMinBits, kMaxBits));
  }
  return {.context = TextToUtf8(context),
          .size = static_cast<std::size_t>(bits) / 8};
}

varlena *BlindIndexOf(const IndexKeys &keys, std::uint32_t key_index,
                      const BlindIndexForm &form, const varlena *plaintext) {
  varlena *const index = AllocateValue(form.size);
  const Status status =
      keys.indexer->Compute(key_index, ViewBytes(form.context),
                            ViewBytes(plaintext), MutableBytes(index), MayGoOn);
  RaiseIfStopped(status);
  if (status != Status::kOk) {
    ReportCryptoFailure(status);
  }
  return index;
}

}  // namespace fernet::pg
