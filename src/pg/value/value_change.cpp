#include "pg/value/value_change.hpp"

#include "pg/report/report.hpp"
#include "pg/server/unix_time.hpp"
#include "pg/value/document_decryption.hpp"
#include "pg/value/inner_tokens.hpp"
#include "pg/value/rotation.hpp"
#include "pg/value/text_encoding.hpp"
#include "pg/value/token_places.hpp"
#include "pg/value/token_value.hpp"
#include "pg/value/verdict.hpp"

namespace fernet::pg {
namespace {

ValueChange Failed(Reason reason) {
  return {.kind = ValueChange::kFailed, .reason = reason};
}

ValueChange LeaveUnknown() {
  return {.kind = ValueChange::kUnknown, .holds_unknown = true};
}

ValueChange FailedOpening(Status status) {
  if (status == Status::kRandomFailed || status == Status::kCryptoFailed) {
    ReportCryptoFailure(status);
  }
  if (status == Status::kTooManyCandidates) {
    return Failed(Reason::kTooManyCandidates);
  }
  return Failed(IsMalformedToken(status) ? Reason::kMalformed
                                         : Reason::kNoKeyOpens);
}

ValueChange EncryptPlaintext(const ValueRule &rule, const varlena *value,
                             bool is_text) {
  const varlena *const bytes = is_text ? TryTextToUtf8(value) : value;
  if (bytes == nullptr) {
    return Failed(Reason::kNotText);
  }
  const auto plaintext = ViewBytes(bytes);
  if (plaintext.size() > MaxPlaintextSize(kMaxValueSize)) {
    return Failed(Reason::kTooLarge);
  }
  const std::size_t size = TokenSize(plaintext.size());
  varlena *const token = AllocateValue(size);
  const auto now = static_cast<std::uint64_t>(UnixSecondsNow());
  const Status status = rule.keys.ring->Seal(
      plaintext, now, rule.keys.ivs, std::span(VARDATA(token), size), MayGoOn);
  RaiseIfStopped(status);
  WipeAndFree(const_cast<varlena *>(bytes), value);
  if (status != Status::kOk) {
    ReportCryptoFailure(status);
  }
  return {.kind = ValueChange::kChanged, .value = token, .was_plaintext = true};
}

ValueChange RotateOne(const ValueRule &rule, const varlena *value) {
  varlena *rotated = nullptr;
  const RotationResult result = RotateValue(rule.keys, value, &rotated);
  if (result.holds_unknown && rule.on_unknown == OnUnknown::kFail) {
    return Failed(Reason::kUnknownInside);
  }
  switch (result.kind) {
    case RotationResult::kRotated:
      return {.kind = ValueChange::kChanged,
              .value = rotated,
              .holds_unknown = result.holds_unknown,
              .key_index = result.key_index,
              .encrypted_at = result.encrypted_at};
    case RotationResult::kUnchanged:
      return {.kind = ValueChange::kUnchanged,
              .holds_unknown = result.holds_unknown};
    case RotationResult::kFailed:
      break;
  }
  const ValueChange failed = FailedOpening(result.outcome.status);
  return failed.reason == Reason::kNoKeyOpens &&
                 rule.on_unknown == OnUnknown::kLeave
             ? LeaveUnknown()
             : failed;
}

ValueChange DecryptOne(const ValueRule &rule, const varlena *value,
                       bool is_text) {
  TokenReader reader(MayGoOn);
  std::uint32_t index = 0;
  varlena *plaintext = nullptr;
  const Outcome outcome =
      OpenValue(rule.keys, value, {}, &reader, &index, &plaintext);
  if (!outcome.ok()) {
    return FailedOpening(outcome.status);
  }
  if (LoadValue(plaintext, &reader).ok() ||
      !MayBePlaintext(plaintext, TraceTokens(rule.keys, plaintext))) {
    WipeAndFree(plaintext, nullptr);
    return Failed(Reason::kPlaintextIsToken);
  }
  if (is_text) {
    plaintext = TryUtf8ToText(plaintext);
    if (plaintext == nullptr) {
      return Failed(Reason::kNotText);
    }
  }
  return {.kind = ValueChange::kChanged, .value = plaintext};
}

ValueChange TreatPlaintext(const ValueRule &rule, const varlena *value,
                           bool is_text) {
  if (rule.direction == ValueRule::kDecrypt) {
    return {.kind = ValueChange::kUnchanged};
  }
  // An empty string is no secret that somebody forgot to encrypt.
  if (VARSIZE_ANY_EXHDR(value) == 0 &&
      rule.on_plaintext != OnPlaintext::kEncrypt) {
    return {.kind = ValueChange::kUnchanged, .is_empty = true};
  }
  switch (rule.on_plaintext) {
    case OnPlaintext::kFail:
      break;
    case OnPlaintext::kLeave:
      return {.kind = ValueChange::kPlaintext};
    case OnPlaintext::kEncrypt:
      return EncryptPlaintext(rule, value, is_text);
  }
  return Failed(Reason::kMalformed);
}

// TreatTokensInside says what a rotation does with a value that is no token,
// for the tokens that were found in it.
ValueChange TreatTokensInside(const ValueRule &rule,
                              const TokenTraces &traces) {
  if (traces.unknown > 0 && rule.on_unknown == OnUnknown::kFail) {
    return Failed(Reason::kHoldsUnknown);
  }
  if (traces.remnants > 0) {
    return Failed(Reason::kHoldsRemnant);
  }
  const bool has_ours = traces.primary + traces.secondary > 0;
  if (traces.unknown > 0 && !has_ours && rule.on_unknown == OnUnknown::kLeave) {
    return LeaveUnknown();
  }
  return {.kind = traces.secondary > 0 ? ValueChange::kChanged
                                       : ValueChange::kUnchanged,
          .is_empty = !has_ours,
          .holds_unknown = traces.unknown > 0,
          .key_index = traces.last_key,
          .encrypted_at = traces.newest_secondary};
}

ValueChange RefuseToDecrypt(const varlena *value, const TokenTraces &traces) {
  ValueChange change = Failed(Reason::kHoldsToken);
  change.offset = OffsetInValue(ViewText(value), traces.first);
  return change;
}

// TreatHolder is for a value that is not a token, and holds some.
ValueChange TreatHolder(const ValueRule &rule, const varlena *value,
                        bool is_text, const TokenTraces &traces) {
  if (rule.direction == ValueRule::kDecrypt) {
    return RefuseToDecrypt(value, traces);
  }
  if (traces.holds_only_unknown() && rule.on_unknown == OnUnknown::kPlaintext) {
    ValueChange change = TreatPlaintext(rule, value, is_text);
    change.holds_unknown = change.kind != ValueChange::kFailed;
    return change;
  }
  ValueChange change = TreatTokensInside(rule, traces);
  if (change.kind == ValueChange::kChanged) {
    change.value = RotatePart(rule.keys, ViewText(value), nullptr);
  }
  return change;
}

// TreatNonToken is for a value that is not a token, but may hold one.
ValueChange TreatNonToken(const ValueRule &rule, const varlena *value,
                          bool is_text) {
  const TokenTraces traces = TraceTokens(rule.keys, value);
  if (traces.status == Status::kTooManyCandidates) {
    return Failed(Reason::kTooManyCandidates);
  }
  if (traces.has_token()) {
    return TreatHolder(rule, value, is_text, traces);
  }
  return MayBePlaintext(value, traces) ? TreatPlaintext(rule, value, is_text)
                                       : Failed(Reason::kMalformed);
}

bool IsTooLong(const varlena *value, int max_characters) {
  return max_characters > 0 &&
         pg_mbstrlen_with_len(VARDATA_ANY(value),
                              static_cast<int>(VARSIZE_ANY_EXHDR(value))) >
             max_characters;
}

}  // namespace

ValueChange ChangeValue(const ValueRule &rule, const varlena *value,
                        bool is_text, int max_characters) {
  ValueChange change = rule.direction == ValueRule::kRotate
                           ? RotateOne(rule, value)
                           : DecryptOne(rule, value, is_text);
  if (change.kind == ValueChange::kFailed &&
      change.reason == Reason::kMalformed) {
    change = TreatNonToken(rule, value, is_text);
  }
  if (change.kind == ValueChange::kChanged &&
      IsTooLong(change.value, max_characters)) {
    if (rule.direction == ValueRule::kDecrypt) {
      WipeAndFree(change.value, nullptr);
    }
    return Failed(Reason::kTooLong);
  }
  return change;
}

ValueChange ChangeInside(const ValueRule &rule, Datum value, Oid type) {
  if (rule.direction == ValueRule::kDecrypt) {
    // RequireTokenColumn refuses other types before it comes to this.
    return type == JSONBOID ? DecryptDocument(rule, DatumGetJsonbP(value))
                            : Failed(Reason::kMalformed);
  }
  // No other type takes every new value.
  Datum rotated = value;
  const InnerTokens inner =
      rule.is_writing && type == JSONBOID
          ? RotateAndTrace(rule.keys, value, type, &rotated)
          : TraceInnerTokens(rule.keys, value, type);
  const TokenTraces &traces = inner.traces;
  if (traces.status == Status::kTooManyCandidates) {
    return Failed(Reason::kTooManyCandidates);
  }
  if (OidIsValid(inner.not_read)) {
    return Failed(Reason::kNotRead);
  }
  ValueChange change = TreatTokensInside(rule, traces);
  if (change.kind == ValueChange::kChanged && rotated != value) {
    change.value = reinterpret_cast<varlena *>(DatumGetPointer(rotated));
  }
  return change;
}

}  // namespace fernet::pg
