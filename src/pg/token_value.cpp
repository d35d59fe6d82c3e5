#include "pg/token_value.hpp"

namespace fernet::pg {

Outcome FindKeyOfValue(const SessionKeys &keys, const varlena *value,
                       TokenReader *reader, std::uint32_t *out_index) {
  const Outcome outcome = reader->Load(ViewText(value));
  if (!outcome.ok()) {
    return outcome;
  }
  return {keys.ring->FindKey(reader, out_index)};
}

RotationResult RotateValue(const SessionKeys &keys, const varlena *value,
                           varlena **out_rotated) {
  TokenReader reader;
  std::uint32_t index = 0;
  const Outcome found = FindKeyOfValue(keys, value, &reader, &index);
  if (!found.ok()) {
    return {RotationResult::kFailed, found};
  }
  if (index == 0) {
    const Status padding = keys.ring->CheckPadding(reader, index);
    return padding == Status::kOk
               ? RotationResult{RotationResult::kUnchanged, {}}
               : RotationResult{RotationResult::kFailed, {padding}};
  }
  varlena *const rotated = AllocateValue(Keyring::RotatedSize(reader));
  std::size_t size = 0;
  const Status status =
      keys.ring->Rotate(&reader, index, keys.ivs,
                        std::span(VARDATA(rotated), VARSIZE(rotated)), &size);
  if (status != Status::kOk) {
    pfree(rotated);
    return {RotationResult::kFailed, {status}};
  }
  SetValueSize(rotated, size);
  *out_rotated = rotated;
  return {RotationResult::kRotated, {}};
}

}  // namespace fernet::pg
