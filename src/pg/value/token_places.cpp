#include "pg/value/token_places.hpp"

#include <algorithm>

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

}  // namespace

void CountPlace(const Place &place, void *state) noexcept {
  auto *const traces = static_cast<TokenTraces *>(state);
  // Inside of a token that a key opens, it is a part of a plaintext.
  if (place.kind == Place::kRemnant && place.nesting > 0) {
    return;
  }
  const bool is_first =
      place.kind == Place::kRemnant ? !traces->any() : !traces->has_token();
  if (is_first) {
    traces->first = place;
  }
  switch (place.kind) {
    case Place::kOpened:
      ++(place.key_index == 0 ? traces->primary : traces->secondary);
      traces->newest_secondary = std::max(
          traces->newest_secondary, place.key_index == 0 ? 0 : place.timestamp);
      traces->last_key = std::max(traces->last_key, place.key_index);
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

Status FindPlacesInPart(const SessionKeys &keys, std::span<const char> part,
                        Allowance *shared, FoundPlace found, void *state) {
  const std::size_t size =
      part.size() < kTokenDigits ? 0 : Recogniser::ScratchSize(part.size());
  const auto scratch = AllocateScratch(size);
  Recogniser recogniser(keys.ring, scratch, found, state, MayGoOn, shared);
  const Status status = recogniser.Look(part);
  pfree(scratch.data());
  return Checked(status);
}

Status FindPlaces(const SessionKeys &keys, const varlena *value,
                  FoundPlace found, void *state) {
  return FindPlacesInPart(keys, ViewText(value), nullptr, found, state);
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
  const Status status = FindPlaces(keys, value, CountPlace, &traces);
  traces.status = status;
  return traces;
}

TokenTraces TraceTokensInside(const SessionKeys &keys, TokenReader *reader,
                              std::uint32_t index) {
  TokenTraces traces;
  const Status status =
      FindPlacesInside(keys, reader, index, CountPlace, &traces);
  traces.status = status;
  return traces;
}

varlena *RotateFound(const SessionKeys &keys, std::span<const char> part,
                     Allowance *shared, FoundPlace found, void *state,
                     Status *out_status) {
  varlena *const rotated = AllocateValue(part.size());
  memcpy(VARDATA(rotated), part.data(), part.size());
  const auto scratch = AllocateScratch(Recogniser::ScratchSize(part.size()));
  Recogniser recogniser(keys.ring, scratch, found, state, MayGoOn, shared);
  bool has_changed = false;
  *out_status = Checked(recogniser.Rotate(
      std::span(VARDATA(rotated), part.size()), keys.ivs, &has_changed));
  pfree(scratch.data());
  if (*out_status != Status::kOk || !has_changed) {
    pfree(rotated);
    return nullptr;
  }
  return rotated;
}

varlena *RotatePart(const SessionKeys &keys, std::span<const char> part,
                    Allowance *shared) {
  Status status = Status::kOk;
  varlena *const rotated = RotateFound(
      keys, part, shared, [](const Place &, void *) noexcept {}, nullptr,
      &status);
  if (status != Status::kOk) {
    FERNET_RAISE(ERRCODE_INTERNAL_ERROR,
                 errmsg("could not rotate the tokens inside of a value"));
  }
  return rotated;
}

varlena *RotateNested(const SessionKeys &keys, const varlena *value) {
  varlena *const rotated = RotatePart(keys, ViewText(value), nullptr);
  if (rotated == nullptr) {
    FERNET_RAISE(ERRCODE_INTERNAL_ERROR,
                 errmsg("could not rotate the token inside of a token"));
  }
  return rotated;
}

}  // namespace fernet::pg
