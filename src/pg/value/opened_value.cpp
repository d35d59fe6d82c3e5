#include "pg/value/opened_value.hpp"

#include <cstring>

#include "core/diagnosis.hpp"
#include "pg/report/events.hpp"
#include "pg/report/report.hpp"
#include "pg/value/text_encoding.hpp"
#include "pg/value/token_value.hpp"

namespace fernet::pg {
namespace {

varlena *OpenOne(const SessionKeys &keys, const varlena *value,
                 Outcome *outcome) {
  TokenReader reader(MayGoOn);
  std::uint32_t key_index = 0;
  varlena *plaintext = nullptr;
  *outcome =
      OpenValue(keys, value, AgeLimit{}, &reader, &key_index, &plaintext);
  if (outcome->ok()) {
    events::Used(counters::kDecrypted, "blind index",
                 keys.list->keys()[key_index]);
  }
  return plaintext;
}

// OpenLayers decrypts a token; null, and `*outcome`, unless a key does. Each
// layer is smaller than the one around it.
varlena *OpenLayers(const SessionKeys &keys, const varlena *token,
                    Outcome *outcome) {
  varlena *plaintext = OpenOne(keys, token, outcome);
  while (plaintext != nullptr &&
         ViewBytes(plaintext).size() >= TokenSize(0) - 2) {
    Outcome inner;
    varlena *const next = OpenOne(keys, plaintext, &inner);
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

// RefuseRemnant: the blind index of a token that was cut or changed would find
// nothing, and nobody would notice.
void RefuseRemnant(const varlena *value, const Outcome &outcome) {
  if (IsNoTraceOfToken(DiagnoseNonToken(ViewText(value)))) {
    return;
  }
  events::Failed("blind index", outcome.status);
  FERNET_RAISE(kMalformedToken, errmsg("malformed Fernet token"),
               errdetail_internal("%s", TokenDefect(outcome)),
               errhint("A column with a blind index holds tokens or "
                       "plaintexts."));
}

// OpenOrNull is PlaintextOf, but null where that raises an error. Without
// `keys` nothing opens a token.
const varlena *OpenOrNull(const SessionKeys &keys, const varlena *value,
                          SourceForm form) {
  Outcome outcome = LookAt(value);
  if (outcome.ok()) {
    return keys.ring == nullptr ? nullptr : OpenLayers(keys, value, &outcome);
  }
  return form == SourceForm::kText ? TryTextToUtf8(value) : value;
}

bool Equal(std::span<const std::uint8_t> one,
           std::span<const std::uint8_t> other) {
  return one.size() == other.size() &&
         (one.empty() || memcmp(one.data(), other.data(), one.size()) == 0);
}

}  // namespace

varlena *PlaintextOf(varlena *value, SourceForm form) {
  Outcome outcome = LookAt(value);
  if (!outcome.ok()) {
    RefuseRemnant(value, outcome);
    return form == SourceForm::kText ? TextToUtf8(value) : value;
  }
  const SessionKeys keys = session_keys::Current();
  varlena *const plaintext = OpenLayers(keys, value, &outcome);
  if (plaintext == nullptr) {
    events::Failed("blind index", outcome.status);
    ReportTokenFailure(outcome, *keys.list);
  }
  return plaintext;
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
