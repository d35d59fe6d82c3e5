#include "pg/value/document_decryption.hpp"

#include "core/recogniser.hpp"
#include "pg/value/json_tree.hpp"
#include "pg/value/text_encoding.hpp"
#include "pg/value/token_places.hpp"

namespace fernet::pg {
namespace {

// Decryption is the state for one document.
struct Decryption {
  const ValueRule *rule;
  List *plaintexts;  // to be wiped
  ValueChange result;
};

void Fail(Decryption *decryption, Reason reason) {
  decryption->result = {.kind = ValueChange::kFailed,
                        .reason = reason == Reason::kHoldsToken
                                      ? Reason::kPartHoldsToken
                                      : reason};
}

void TreatString(Decryption *decryption, JsonbValue *string) {
  varlena *const value = CopyOfString(*string);
  const ValueChange change = ChangeValue(*decryption->rule, value, true, 0);
  WipeAndFree(value, nullptr);
  if (change.kind == ValueChange::kFailed) {
    Fail(decryption, change.reason);
  } else if (change.kind == ValueChange::kChanged) {
    decryption->plaintexts = lappend(decryption->plaintexts, change.value);
    ReplaceString(string, change.value);
    decryption->result.kind = ValueChange::kChanged;
  }
}

void TreatKey(Decryption *decryption, const JsonbValue &key) {
  const varlena *const value = CopyOfString(key);
  if (TraceTokens(decryption->rule->keys, value).any()) {
    Fail(decryption, Reason::kPartHoldsToken);
  }
}

void Treat(Decryption *decryption, JsonbValue *item) {
  check_stack_depth();
  CHECK_FOR_INTERRUPTS();
  if (decryption->result.kind == ValueChange::kFailed) {
    return;
  }
  if (item->type == jbvString) {
    TreatString(decryption, item);
  } else if (item->type == jbvArray) {
    for (JsonbValue &element :
         std::span(item->val.array.elems,
                   static_cast<std::size_t>(item->val.array.nElems))) {
      Treat(decryption, &element);
    }
  } else if (item->type == jbvObject) {
    for (JsonbPair &pair :
         std::span(item->val.object.pairs,
                   static_cast<std::size_t>(item->val.object.nPairs))) {
      TreatKey(decryption, pair.key);
      Treat(decryption, &pair.value);
    }
  }
}

}  // namespace

ValueChange DecryptDocument(const ValueRule &rule, Jsonb *document) {
  Decryption decryption = {.rule = &rule,
                           .plaintexts = NIL,
                           .result = {.kind = ValueChange::kUnchanged}};
  if (!MayHoldPlaces(ViewText(reinterpret_cast<const varlena *>(document)))) {
    return decryption.result;
  }
  JsonbValue tree = UnpackJsonb(document);
  Treat(&decryption, &tree);
  if (decryption.result.kind == ValueChange::kChanged) {
    decryption.result.value =
        reinterpret_cast<varlena *>(JsonbValueToJsonb(&tree));
  }
  for (int i = 0; i < list_length(decryption.plaintexts); ++i) {
    WipeAndFree(static_cast<varlena *>(list_nth(decryption.plaintexts, i)),
                nullptr);
  }
  return decryption.result;
}

}  // namespace fernet::pg
