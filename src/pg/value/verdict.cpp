#include "pg/value/verdict.hpp"

#include "core/diagnosis.hpp"
#include "pg/report/report.hpp"
#include "pg/value/token_value.hpp"

namespace fernet::pg {
namespace {

Verdict JudgeLoaded(const SessionKeys &keys, TokenReader *reader,
                    bool leave_padding) {
  Verdict verdict = {.kind = Verdict::kOpened, .outcome = {}};
  verdict.outcome = FindKey(keys, reader, &verdict.key_index);
  if (verdict.outcome.ok() && !(leave_padding && verdict.key_index > 0)) {
    verdict.outcome = {keys.ring->CheckPadding(*reader, verdict.key_index)};
  }
  const Status status = verdict.outcome.status;
  if (status == Status::kRandomFailed || status == Status::kCryptoFailed) {
    ReportCryptoFailure(status);
  }
  if (IsMalformedToken(status)) {
    verdict.kind = Verdict::kMalformed;
  } else if (status != Status::kOk) {
    verdict.kind = Verdict::kUnknownKey;
  }
  return verdict;
}

Verdict Judge(const SessionKeys &keys, const varlena *value,
              TokenReader *reader, bool leave_padding) {
  const bool has_key = keys.ring != nullptr;
  const Outcome loaded =
      has_key ? LoadValueToRead(value, reader) : LoadValue(value, reader);
  if (!loaded.ok()) {
    return {.kind = Verdict::kMalformed, .outcome = loaded};
  }
  return has_key ? JudgeLoaded(keys, reader, leave_padding)
                 : Verdict{.kind = Verdict::kKeyMissing, .outcome = {}};
}

}  // namespace

Verdict JudgeValue(const SessionKeys &keys, const varlena *value,
                   TokenReader *reader) {
  return Judge(keys, value, reader, false);
}

Verdict JudgeToRotate(const SessionKeys &keys, const varlena *value,
                      TokenReader *reader) {
  return Judge(keys, value, reader, true);
}

bool MayBePlaintext(const varlena *value, const TokenTraces &traces) {
  return !traces.any() && IsNoTraceOfToken(DiagnoseNonToken(ViewText(value)));
}

}  // namespace fernet::pg
