#include "pg/value/rotation.hpp"

#include <algorithm>

#include "pg/report/report.hpp"
#include "pg/server/interrupts.hpp"
#include "pg/value/token_places.hpp"
#include "pg/value/verdict.hpp"

namespace fernet::pg {

RotationResult RotateValue(const SessionKeys &keys, const varlena *value,
                           varlena **out_rotated) {
  TokenReader reader(MayGoOn);
  const Verdict verdict = JudgeToRotate(keys, value, &reader);
  if (!verdict.opened()) {
    return {RotationResult::kFailed, verdict.outcome};
  }
  const TokenTraces inside =
      TraceTokensInside(keys, &reader, verdict.key_index);
  if (inside.status != Status::kOk) {
    return {RotationResult::kFailed, {inside.status}};
  }
  const bool holds_unknown = inside.unknown > 0;
  const std::uint64_t encrypted_at = std::max(
      inside.newest_secondary, verdict.key_index == 0 ? 0 : reader.timestamp());
  if (inside.secondary > 0) {
    *out_rotated = RotateNested(keys, value);
    return {RotationResult::kRotated,
            {},
            verdict.key_index,
            holds_unknown,
            encrypted_at};
  }
  if (verdict.key_index == 0) {
    return {RotationResult::kUnchanged, {}, 0, holds_unknown};
  }
  const std::size_t room = Keyring::RotatedSize(reader);
  varlena *const rotated = AllocateValue(room);
  std::size_t size = 0;
  const Status status =
      keys.ring->Rotate(&reader, verdict.key_index, keys.ivs,
                        std::span(VARDATA(rotated), room), &size);
  RaiseIfStopped(status);
  if (status == Status::kRandomFailed || status == Status::kCryptoFailed) {
    ReportCryptoFailure(status);
  }
  if (status != Status::kOk) {
    pfree(rotated);
    return {RotationResult::kFailed, {status}};
  }
  SetValueSize(rotated, size);
  *out_rotated = rotated;
  return {RotationResult::kRotated,
          {},
          verdict.key_index,
          holds_unknown,
          encrypted_at};
}

}  // namespace fernet::pg
