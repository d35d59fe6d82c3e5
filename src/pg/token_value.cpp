#include "pg/token_value.hpp"

#include "pg/events.hpp"
#include "pg/report.hpp"

namespace fernet::pg {
namespace {

// The token of the largest plaintext is the largest value there is.
constexpr std::size_t kMaxPlaintextSize = MaxPlaintextSize(kMaxValueSize);
static_assert(TokenSize(kMaxPlaintextSize) <= kMaxValueSize);
static_assert(TokenSize(kMaxPlaintextSize + 1) > kMaxValueSize);

// OpenInto decrypts the token in `*reader` into `plaintext`, which has room for
// its ciphertext; frees it unless the Status is kOk.
Status OpenInto(varlena *plaintext, const SessionKeys &keys,
                TokenReader *reader, std::uint32_t index) {
  std::size_t size = 0;
  const Status status =
      keys.ring->Open(reader, index, MutableBytes(plaintext), &size);
  RaiseIfStopped(status);
  if (status == Status::kOk) {
    SetValueSize(plaintext, size);
  } else {
    pfree(plaintext);
  }
  return status;
}

}  // namespace

varlena *EncryptValue(const varlena *plaintext, std::uint64_t timestamp) {
  const SessionKeys keys = session_keys::Current();
  const auto bytes = ViewBytes(plaintext);
  if (bytes.size() > kMaxPlaintextSize) {
    DropContext();
    ereport(
        ERROR, errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
        errmsg("plaintext of %zu bytes is too large to encrypt", bytes.size()),
        errdetail("The largest that fits has %zu bytes.", kMaxPlaintextSize),
        HideStatement());
  }
  const std::size_t size = TokenSize(bytes.size());
  varlena *const token = AllocateValue(size);
  const Status status = keys.ring->Seal(
      bytes, timestamp, keys.ivs, std::span(VARDATA(token), size), MayGoOn);
  RaiseIfStopped(status);
  if (status != Status::kOk) {
    ReportCryptoFailure(status);
  }
  events::Used(counters::kEncrypted, "encrypt", keys, 0);
  return token;
}

Outcome LoadValue(const varlena *value, TokenReader *reader) {
  const Outcome outcome = reader->Load(ViewText(value));
  RaiseIfStopped(outcome.status);
  return outcome;
}

Outcome FindKey(const SessionKeys &keys, TokenReader *reader,
                std::uint32_t *out_index) {
  const Outcome outcome = keys.ring->FindKey(reader, out_index);
  RaiseIfStopped(outcome.status);
  return outcome;
}

Outcome FindKeyOfValue(const SessionKeys &keys, const varlena *value,
                       TokenReader *reader, std::uint32_t *out_index) {
  const Outcome outcome = reader->LoadToRead(ViewText(value));
  RaiseIfStopped(outcome.status);
  return outcome.ok() ? FindKey(keys, reader, out_index) : outcome;
}

Status OpenLoaded(const SessionKeys &keys, TokenReader *reader,
                  std::uint32_t index, varlena **out_plaintext) {
  varlena *const plaintext = AllocateValue(reader->ciphertext_size());
  const Status status = OpenInto(plaintext, keys, reader, index);
  *out_plaintext = status == Status::kOk ? plaintext : nullptr;
  return status;
}

Outcome OpenValue(const SessionKeys &keys, const varlena *value,
                  const AgeLimit &limit, TokenReader *reader,
                  std::uint32_t *out_index, varlena **out_plaintext) {
  *out_plaintext = nullptr;
  Outcome outcome = reader->LoadToRead(ViewText(value));
  RaiseIfStopped(outcome.status);
  if (!outcome.ok()) {
    return outcome;
  }
  varlena *const plaintext = AllocateValue(reader->ciphertext_size());
  reader->KeepCiphertextIn(MutableBytes(plaintext));
  outcome = FindKey(keys, reader, out_index);
  if (outcome.ok() && limit.judged) {
    outcome = {JudgeAge(reader->timestamp(), limit.ttl_seconds, limit.now)};
  }
  if (!outcome.ok()) {
    pfree(plaintext);
    return outcome;
  }
  outcome = {OpenInto(plaintext, keys, reader, *out_index)};
  *out_plaintext = outcome.ok() ? plaintext : nullptr;
  return outcome;
}

RotationResult RotateValue(const SessionKeys &keys, const varlena *value,
                           varlena **out_rotated) {
  TokenReader reader(MayGoOn);
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
  RaiseIfStopped(status);
  if (status != Status::kOk) {
    pfree(rotated);
    return {RotationResult::kFailed, {status}};
  }
  SetValueSize(rotated, size);
  *out_rotated = rotated;
  return {RotationResult::kRotated, {}};
}

}  // namespace fernet::pg
