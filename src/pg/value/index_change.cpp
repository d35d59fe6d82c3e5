#include "pg/value/index_change.hpp"

#include <algorithm>

#include "pg/report/report.hpp"
#include "pg/value/text_encoding.hpp"

namespace fernet::pg {
namespace {

ValueChange Failed(Reason reason) {
  return {.kind = ValueChange::kFailed, .reason = reason};
}

bool AreEqual(const varlena *one, const varlena *other) {
  const auto bytes = ViewBytes(one);
  const auto others = ViewBytes(other);
  return std::equal(bytes.begin(), bytes.end(), others.begin(), others.end());
}

// Compare computes the index of `plaintext` and compares it with `index`.
ValueChange Compare(const ValueRule &rule, const varlena *plaintext,
                    const varlena *index) {
  varlena *const value =
      BlindIndexOf(rule.index_keys, 0, rule.index_form, plaintext);
  if (index != nullptr && AreEqual(value, index)) {
    pfree(value);
    return {.kind = ValueChange::kUnchanged};
  }
  return {.kind = ValueChange::kChanged, .value = value};
}

}  // namespace

ValueChange ChangeIndex(const ValueRule &rule, varlena *source, SourceForm form,
                        const varlena *index) {
  if (source == nullptr) {
    return {.kind = index == nullptr ? ValueChange::kUnchanged
                                     : ValueChange::kChanged,
            .was_plaintext = true};
  }
  const Opened opened = OpenValueOf(rule.keys, source, form);
  switch (opened.kind) {
    case Opened::kPlaintext:
    case Opened::kDecrypted:
      break;
    case Opened::kNoKey:
      ReportNoKey(KeySetting::kKey);
    case Opened::kUnopened:
      return Failed(Reason::kNoKeyOpens);
    case Opened::kHolder: {
      ValueChange change = Failed(Reason::kHoldsToken);
      change.offset = opened.offset;
      return change;
    }
    case Opened::kRemnant:
      return Failed(Reason::kHoldsRemnant);
    case Opened::kNotText:
      return Failed(Reason::kNotText);
  }
  ValueChange change = Compare(rule, opened.plaintext, index);
  change.was_plaintext = opened.kind == Opened::kPlaintext;
  WipeAndFree(opened.plaintext, source);
  return change;
}

}  // namespace fernet::pg
