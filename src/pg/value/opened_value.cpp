#include "pg/value/opened_value.hpp"

#include <cstring>

#include "core/diagnosis.hpp"
#include "pg/report/events.hpp"
#include "pg/report/report.hpp"
#include "pg/value/cause.hpp"
#include "pg/value/text_encoding.hpp"
#include "pg/value/token_places.hpp"
#include "pg/value/token_value.hpp"

namespace fernet::pg {
namespace {

// Opener decrypts tokens. It counts each if it is for a value that is written.
struct Opener {
  SessionKeys keys;
  bool counts;
};

varlena *OpenOne(const Opener &opener, const varlena *value, Outcome *outcome) {
  TokenReader reader(MayGoOn);
  std::uint32_t key_index = 0;
  varlena *plaintext = nullptr;
  *outcome = OpenValue(opener.keys, value, AgeLimit{}, &reader, &key_index,
                       &plaintext);
  if (outcome->ok() && opener.counts) {
    events::Used(counters::kDecrypted, "blind index",
                 opener.keys.list->keys()[key_index]);
  }
  return plaintext;
}

// OpenLayers decrypts a token; null, and `*outcome`, unless a key does. Each
// layer is smaller than the one around it.
varlena *OpenLayers(const Opener &opener, const varlena *token,
                    Outcome *outcome) {
  varlena *plaintext = OpenOne(opener, token, outcome);
  while (plaintext != nullptr &&
         ViewBytes(plaintext).size() >= TokenSize(0) - 2) {
    Outcome inner;
    varlena *const next = OpenOne(opener, plaintext, &inner);
    if (next == nullptr) {
      break;
    }
    WipeAndFree(plaintext, nullptr);
    plaintext = next;
  }
  return plaintext;
}

Outcome LookAt(const varlena *value) {
  TokenReader reader(MayGoOn);
  return LoadValue(value, &reader);
}

// Read is for a value that is no token, for the reason `outcome`. One that
// holds a token has another text after a rotation, and what was cut or changed
// is nobody's plaintext: a blind index of either would find nothing, and nobody
// would notice.
Opened Read(const Opener &opener, varlena *value, SourceForm form,
            const Outcome &outcome) {
  const TokenTraces traces = TraceTokens(opener.keys, value);
  if (traces.primary + traces.secondary > 0) {
    return {.kind = Opened::kHolder,
            .outcome = outcome,
            .offset = OffsetInValue(ViewText(value), traces.first)};
  }
  if (traces.unknown > 0 && opener.keys.ring == nullptr) {
    return {.kind = Opened::kNoKey};
  }
  if (traces.remnants > 0 || traces.status != Status::kOk ||
      !IsNoTraceOfToken(DiagnoseNonToken(ViewText(value)))) {
    return {.kind = Opened::kRemnant, .outcome = outcome};
  }
  varlena *const plaintext = form == SourceForm::kText
                                 ? const_cast<varlena *>(TryTextToUtf8(value))
                                 : value;
  return {.kind = plaintext == nullptr ? Opened::kNotText : Opened::kPlaintext,
          .plaintext = plaintext};
}

Opened Open(const Opener &opener, varlena *value, SourceForm form) {
  Outcome outcome;
  if (opener.keys.ring == nullptr) {
    outcome = LookAt(value);
    return outcome.ok() ? Opened{.kind = Opened::kNoKey}
                        : Read(opener, value, form, outcome);
  }
  varlena *const plaintext = OpenLayers(opener, value, &outcome);
  if (plaintext != nullptr) {
    return {.kind = Opened::kDecrypted, .plaintext = plaintext};
  }
  const Status status = outcome.status;
  if (status == Status::kRandomFailed || status == Status::kCryptoFailed) {
    ReportCryptoFailure(status);
  }
  return IsMalformedToken(status)
             ? Read(opener, value, form, outcome)
             : Opened{.kind = Opened::kUnopened, .outcome = outcome};
}

[[noreturn]] void RefuseRemnant(const varlena *value, const Outcome &outcome) {
  events::Failed("blind index", outcome.status);
  ReportMalformed(
      ExplainNonToken(session_keys::CurrentOrNone(), value, outcome),
      "A column with a blind index holds tokens or plaintexts. ");
}

// OpenOrNull is PlaintextOf, but null where that raises an error. Without
// `keys` nothing opens a token.
const varlena *OpenOrNull(const SessionKeys &keys, const varlena *value,
                          SourceForm form) {
  Outcome outcome = LookAt(value);
  if (outcome.ok()) {
    return keys.ring == nullptr ? nullptr
                                : OpenLayers({keys, true}, value, &outcome);
  }
  return form == SourceForm::kText ? TryTextToUtf8(value) : value;
}

bool Equal(std::span<const std::uint8_t> one,
           std::span<const std::uint8_t> other) {
  return one.size() == other.size() &&
         (one.empty() || memcmp(one.data(), other.data(), one.size()) == 0);
}

}  // namespace

Opened OpenValueOf(const SessionKeys &keys, varlena *value, SourceForm form) {
  return Open({keys, false}, value, form);
}

varlena *PlaintextOf(varlena *value, SourceForm form) {
  const SessionKeys keys = session_keys::CurrentOrNone();
  const Opened opened = Open({keys, true}, value, form);
  switch (opened.kind) {
    case Opened::kPlaintext:
    case Opened::kDecrypted:
      break;
    case Opened::kNoKey:
      static_cast<void>(session_keys::Current());  // raises PF001
      break;
    case Opened::kUnopened:
      events::Failed("blind index", opened.outcome.status);
      ReportTokenFailure(opened.outcome, *keys.list);
    case Opened::kHolder:
    case Opened::kRemnant:
      RefuseRemnant(value, opened.outcome);
    case Opened::kNotText:
      return TextToUtf8(value);  // raises 22021
  }
  return opened.plaintext;
}

bool HasPlaintext(varlena *value, SourceForm form, const varlena *plaintext) {
  const varlena *const own =
      OpenOrNull(session_keys::CurrentOrNone(), value, form);
  if (own == nullptr) {
    return false;
  }
  const bool same = Equal(ViewBytes(own), ViewBytes(plaintext));
  WipeAndFree(const_cast<varlena *>(own), value);
  return same;
}

}  // namespace fernet::pg
