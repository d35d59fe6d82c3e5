#include "pg/column/failure_warnings.hpp"

#include <algorithm>

#include "pg/column/triggers.hpp"
#include "pg/report/sqlstate.hpp"
#include "pg/server/raise.hpp"

namespace fernet::pg {
namespace {

int SqlStateOf(const Failure &failure) {
  switch (failure.reason) {
    case Reason::kMalformed:
    case Reason::kHoldsToken:
    case Reason::kPartHoldsToken:
    case Reason::kHoldsRemnant:
      return kMalformedToken;
    case Reason::kNotRead:
      return ERRCODE_FEATURE_NOT_SUPPORTED;
    case Reason::kTooManyCandidates:
      return ERRCODE_PROGRAM_LIMIT_EXCEEDED;
    case Reason::kNoKeyOpens:
    case Reason::kUnknownInside:
    case Reason::kHoldsUnknown:
      return kNoKeyOpensToken;
    case Reason::kNotText:
      return ERRCODE_CHARACTER_NOT_IN_REPERTOIRE;
    case Reason::kTooLarge:
      return ERRCODE_PROGRAM_LIMIT_EXCEEDED;
    case Reason::kTooLong:
      return ERRCODE_STRING_DATA_RIGHT_TRUNCATION;
    case Reason::kPlaintextIsToken:
      return ERRCODE_DATA_EXCEPTION;
    case Reason::kSuppressed:
      return ERRCODE_TRIGGERED_ACTION_EXCEPTION;
    case Reason::kLocked:
      return ERRCODE_LOCK_NOT_AVAILABLE;
    case Reason::kRefused:
    case Reason::kUnreadable:
      break;
  }
  return failure.refusal.sqlstate;
}

bool HasIndex(Relation relation, const char *name) {
  List *const indexes = RelationGetIndexList(relation);
  bool found = false;
  for (int i = 0; i < list_length(indexes); ++i) {
    const char *const index = get_rel_name(list_nth_oid(indexes, i));
    found = found || (index != nullptr && strcmp(index, name) == 0);
  }
  list_free(indexes);
  return found;
}

// HasConstraint: a trigger may give any text as the name of a constraint, for
// example a part of the row. Only a name that the table has may be shown.
bool HasConstraint(Relation relation, const ColumnTarget &column,
                   const char *name) {
  return OidIsValid(get_relation_constraint_oid(RelationGetRelid(relation),
                                                name, true)) ||
         HasIndex(relation, name) ||
         (OidIsValid(column.domain) &&
          OidIsValid(get_domain_constraint_oid(column.domain, name, true)));
}

// ExplainNewValue is for a refusal of the new value itself.
const char *ExplainNewValue(int sqlstate) {
  switch (sqlstate) {
    case ERRCODE_INVALID_XML_CONTENT:
      return "With the new tokens, the XML would not be well-formed: a token "
             "is the name of an element or of an attribute.";
    case ERRCODE_DATA_EXCEPTION:
      return "With the new tokens, the bounds of a range would be in the wrong "
             "order, or ranges of a multirange would overlap.";
    default:
      return "A domain inside of the value refuses a part of the new one.";
  }
}

const char *ExplainRefusal(Relation relation, const ColumnTarget &column,
                           const Failure &failure) {
  const char *const constraint = NameStr(failure.refusal.constraint);
  if (*constraint != '\0' && HasConstraint(relation, column, constraint)) {
    return psprintf("The constraint or index \"%s\" refuses the new row.",
                    constraint);
  }
  if (failure.phase == WritePhase::kValue) {
    return ExplainNewValue(failure.refusal.sqlstate);
  }
  const char *const triggers =
      failure.phase == WritePhase::kRow
          ? ""
          : TriggersOnUpdate(relation, column.attribute,
                             failure.phase == WritePhase::kBeforeTriggers);
  if (*triggers != '\0') {
    return psprintf(failure.phase == WritePhase::kBeforeTriggers
                        ? "A BEFORE trigger refuses the update: %s."
                        : "An AFTER trigger or a foreign key refuses the "
                          "update; the triggers are: %s.",
                    triggers);
  }
  return "A constraint, an index or a trigger of the table refuses the new "
         "row.";
}

const char *Explain(Relation relation, const ColumnTarget &column,
                    const Failure &failure) {
  switch (failure.reason) {
    case Reason::kMalformed:
      return failure.cause.word == nullptr
                 ? "The value is not a Fernet token."
                 : psprintf("The value is not a Fernet token. %s (Cause: %s.)",
                            failure.cause.advice, failure.cause.word);
    case Reason::kHoldsToken:
      return psprintf(
          "The value is not a Fernet token. It holds one, at "
          "offset %zu.",
          failure.offset);
    case Reason::kPartHoldsToken:
      return "A string or a key in the document holds a token, and is none.";
    case Reason::kTooManyCandidates:
      return "Too much in the value looks like a token to try it all.";
    case Reason::kNoKeyOpens:
      return "No key in \"fernet.key\" decrypts the token.";
    case Reason::kUnknownInside:
      return "Inside of the token is another one, which no key in "
             "\"fernet.key\" decrypts.";
    case Reason::kHoldsUnknown:
      return "The value holds a token that no key in \"fernet.key\" decrypts.";
    case Reason::kHoldsRemnant:
      return "Something in the value begins like a token and is none. It was "
             "probably cut, or changed afterwards.";
    case Reason::kNotRead:
      return "A part of the value is of a type that cannot be searched for "
             "tokens.";
    case Reason::kNotText:
      return "The plaintext cannot be converted between UTF-8 and the encoding "
             "of the database.";
    case Reason::kTooLarge:
      return "The value is too large to encrypt.";
    case Reason::kTooLong:
      return "The new value is too long for the column.";
    case Reason::kPlaintextIsToken:
      return "The plaintext looks like a token, so the value stays encrypted.";
    case Reason::kSuppressed:
      return "A BEFORE trigger suppressed the update.";
    case Reason::kUnreadable:
      return "The stored value is damaged: the server cannot read it.";
    case Reason::kLocked:
      return failure.holder == nullptr
                 ? "Other transactions lock the row, or change it all the time."
                 : psprintf("The row is locked by %s.", failure.holder);
    case Reason::kRefused:
      break;
  }
  return ExplainRefusal(relation, column, failure);
}

bool IsTold(const FailureWarnings &warnings, Oid table,
            const ColumnTarget &column, const ItemPointerData &place) {
  return std::any_of(
      warnings.told, warnings.told + warnings.count,
      [&](const FailureWarnings::Told &told) {
        return told.table == table && told.attribute == column.attribute &&
               ItemPointerCompare(const_cast<ItemPointer>(&told.place),
                                  const_cast<ItemPointer>(&place)) == 0;
      });
}

}  // namespace

bool WouldWarn(const FailureWarnings &warnings, Relation relation,
               const ColumnTarget &column, const ItemPointerData &place) {
  return !warnings.muted && warnings.count <= FailureWarnings::kMost &&
         !IsTold(warnings, RelationGetRelid(relation), column, place);
}

void WarnOfFailure(FailureWarnings *warnings, Relation relation,
                   const ColumnTarget &column, const ItemPointerData &place,
                   const Failure &failure) {
  if (!WouldWarn(*warnings, relation, column, place)) {
    return;
  }
  const Oid table = RelationGetRelid(relation);
  ++warnings->count;
  if (warnings->count > FailureWarnings::kMost) {
    ereport(WARNING, errcode(SqlStateOf(failure)),
            errmsg("more values were not changed; they are only counted"),
            HideStatement());
    return;
  }
  warnings->told[warnings->count - 1] = {table, column.attribute, place};
  const auto name_of = [&](const ColumnTarget &one) {
    return NameStr(
        TupleDescAttr(RelationGetDescr(relation), one.attribute - 1)->attname);
  };
  const char *const no_index =
      failure.source == nullptr
          ? ""
          : psprintf("The value of \"%s\" has no blind index. ",
                     name_of(*failure.source));
  ereport(
      WARNING, errcode(SqlStateOf(failure)),
      errmsg("value at ctid (%u,%u) of %s was not changed",
             ItemPointerGetBlockNumberNoCheck(&place),
             static_cast<unsigned>(ItemPointerGetOffsetNumberNoCheck(&place)),
             NameOf(table, name_of(column))),
      errdetail_internal("%s%s", no_index, Explain(relation, column, failure)),
      HideStatement());
}

}  // namespace fernet::pg
