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

Status OpenLoaded(const SessionKeys &keys, TokenReader *reader,
                  std::uint32_t index, varlena **out_plaintext) {
  const std::size_t room = reader->ciphertext_size();
  varlena *const plaintext = AllocateValue(room);
  const std::span out(reinterpret_cast<std::uint8_t *>(VARDATA(plaintext)),
                      room);
  std::size_t size = 0;
  const Status status = keys.ring->Open(reader, index, out, &size);
  if (status != Status::kOk) {
    pfree(plaintext);
    *out_plaintext = nullptr;
    return status;
  }
  SetValueSize(plaintext, size);
  *out_plaintext = plaintext;
  return Status::kOk;
}

Outcome OpenValue(const SessionKeys &keys, const varlena *value,
                  varlena **out_plaintext) {
  TokenReader reader;
  std::uint32_t index = 0;
  const Outcome found = FindKeyOfValue(keys, value, &reader, &index);
  if (!found.ok()) {
    return found;
  }
  return {OpenLoaded(keys, &reader, index, out_plaintext)};
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
  const std::size_t room = Keyring::RotatedSize(reader);
  varlena *const rotated = AllocateValue(room);
  std::size_t size = 0;
  const Status status = keys.ring->Rotate(
      &reader, index, keys.ivs, std::span(VARDATA(rotated), room), &size);
  if (status != Status::kOk) {
    pfree(rotated);
    return {RotationResult::kFailed, {status}};
  }
  SetValueSize(rotated, size);
  *out_rotated = rotated;
  return {RotationResult::kRotated, {}};
}

}  // namespace fernet::pg
