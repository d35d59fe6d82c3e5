#include "pg/value/token_value.hpp"

#include "pg/report/events.hpp"
#include "pg/report/report.hpp"

namespace fernet::pg {
namespace {

// The token of the largest plaintext just fits into a value.
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
    FERNET_RAISE(
        ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        errmsg("plaintext of %zu bytes is too large to encrypt", bytes.size()),
        errdetail("The largest plaintext that can be encrypted has %zu bytes.",
                  kMaxPlaintextSize));
  }
  const std::size_t size = TokenSize(bytes.size());
  varlena *const token = AllocateValue(size);
  const Status status = keys.ring->Seal(
      bytes, timestamp, keys.ivs, std::span(VARDATA(token), size), MayGoOn);
  RaiseIfStopped(status);
  if (status != Status::kOk) {
    ReportCryptoFailure(status);
  }
  events::Used(counters::kEncrypted, "encrypt", keys.list->keys()[0]);
  return token;
}

Outcome LoadValue(const varlena *value, TokenReader *reader) {
  const Outcome outcome = reader->Load(ViewText(value));
  RaiseIfStopped(outcome.status);
  return outcome;
}

Outcome LoadValueToRead(const varlena *value, TokenReader *reader) {
  const Outcome outcome = reader->LoadToRead(ViewText(value));
  RaiseIfStopped(outcome.status);
  return outcome;
}

Outcome FindKey(const SessionKeys &keys, TokenReader *reader,
                std::uint32_t *out_index) {
  const Outcome outcome = keys.ring->FindKey(reader, out_index);
  RaiseIfStopped(outcome.status);
  return outcome;
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
  Outcome outcome = LoadValueToRead(value, reader);
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

}  // namespace fernet::pg
