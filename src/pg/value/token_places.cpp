#include "pg/value/token_places.hpp"

#include "pg/report/report.hpp"
#include "pg/server/interrupts.hpp"

namespace fernet::pg {
namespace {

// Scratch is memory for the recogniser, more than 1 GB for the largest values.
std::span<std::uint8_t> AllocateScratch(std::size_t size) {
  return {static_cast<std::uint8_t *>(MemoryContextAllocHuge(
              CurrentMemoryContext, size == 0 ? 1 : size)),
          size};
}

Status Checked(Status status) {
  RaiseIfStopped(status);
  if (status == Status::kCryptoFailed || status == Status::kRandomFailed) {
    ReportCryptoFailure(status);
  }
  return status;
}

void Count(const Place &place, void *state) noexcept {
  auto *const traces = static_cast<TokenTraces *>(state);
  const bool is_first =
      place.kind == Place::kRemnant ? !traces->any() : !traces->has_token();
  if (is_first) {
    traces->first = place;
  }
  switch (place.kind) {
    case Place::kOpened:
      ++(place.key_index == 0 ? traces->primary : traces->secondary);
      break;
    case Place::kUnknownKey:
    case Place::kNotTried:
      ++traces->unknown;
      break;
    case Place::kRemnant:
      ++traces->remnants;
      break;
  }
}

}  // namespace

Status FindPlaces(const SessionKeys &keys, const varlena *value,
                  FoundPlace found, void *state) {
  const auto text = ViewText(value);
  const std::size_t size =
      text.size() < kTokenDigits ? 0 : Recogniser::ScratchSize(text.size());
  const auto scratch = AllocateScratch(size);
  Recogniser recogniser(keys.ring, scratch, found, state, MayGoOn);
  const Status status = recogniser.Look(text);
  pfree(scratch.data());
  return Checked(status);
}

Status FindPlacesInside(const SessionKeys &keys, TokenReader *reader,
                        std::uint32_t index, FoundPlace found, void *state) {
  const std::size_t size = reader->ciphertext_size();
  if (size < CiphertextSize(kTokenDigits)) {
    return Status::kOk;
  }
  const auto scratch = AllocateScratch(size + Recogniser::ScratchSize(size));
  Recogniser recogniser(keys.ring, scratch, found, state, MayGoOn);
  const Status status = recogniser.LookInto(reader, index);
  pfree(scratch.data());
  return Checked(status);
}

TokenTraces TraceTokens(const SessionKeys &keys, const varlena *value) {
  TokenTraces traces;
  const Status status = FindPlaces(keys, value, Count, &traces);
  traces.status = status;
  return traces;
}

TokenTraces TraceTokensInside(const SessionKeys &keys, TokenReader *reader,
                              std::uint32_t index) {
  TokenTraces traces;
  const Status status = FindPlacesInside(keys, reader, index, Count, &traces);
  traces.status = status;
  return traces;
}

varlena *RotateNested(const SessionKeys &keys, const varlena *value) {
  const auto text = ViewText(value);
  varlena *const rotated = AllocateValue(text.size());
  memcpy(VARDATA(rotated), text.data(), text.size());
  const auto scratch = AllocateScratch(Recogniser::ScratchSize(text.size()));
  Recogniser recogniser(
      keys.ring, scratch, [](const Place &, void *) noexcept {}, nullptr,
      MayGoOn);
  bool has_changed = false;
  const Status status = Checked(recogniser.Rotate(
      std::span(VARDATA(rotated), text.size()), keys.ivs, &has_changed));
  pfree(scratch.data());
  if (status != Status::kOk || !has_changed) {
    FERNET_RAISE(ERRCODE_INTERNAL_ERROR,
                 errmsg("could not rotate the token inside of a token"));
  }
  return rotated;
}

}  // namespace fernet::pg
