// SQL function fernet_rotate_value, for all tokens in a value of any type.

#include "pg/report/events.hpp"
#include "pg/report/report.hpp"
#include "pg/server/boundary.hpp"
#include "pg/session/session_keys.hpp"
#include "pg/value/inner_tokens.hpp"
#include "pg/value/rotation.hpp"
#include "pg/value/value_form.hpp"
#include "pg/value/verdict.hpp"

namespace fernet::pg {
namespace {

[[noreturn]] void Refuse(const SessionKeys &keys, const Outcome &outcome) {
  events::Failed("rotate", outcome.status);
  ReportTokenFailure(outcome, *keys.list);
}

[[noreturn]] void RefuseRemnant() {
  events::Failed("rotate", Status::kTokenTooShort);
  ReportRemnant();
}

// CheckValue checks a value that was rotated as a whole.
Datum CheckValue(Datum value, Oid type, Oid base) {
  if (type != base) {
    domain_check(value, false, type, nullptr, nullptr);
  }
  return value;
}

// RotateInside rotates the tokens in a value that is not one itself.
//
// A value without a token comes back as it is, where a job on a column counts
// it as failed: a job is told that the whole column is tokens, this function is
// for documents, of which some have no token.
Datum RotateInside(const SessionKeys &keys, Datum value, Oid type,
                   bool may_be_token) {
  const InnerTokens inner = TraceInnerTokens(keys, value, type);
  const TokenTraces &traces = inner.traces;
  if (traces.status != Status::kOk) {
    Refuse(keys, {traces.status});
  }
  if (traces.unknown > 0) {
    Refuse(keys, {Status::kNoKeyOpens});
  }
  if (traces.remnants > 0 ||
      (may_be_token && !traces.has_token() &&
       !MayBePlaintext(PG_DETOAST_DATUM_PACKED(value), traces))) {
    RefuseRemnant();
  }
  if (OidIsValid(inner.not_read)) {
    ReportNotRead(inner.not_read);
  }
  if (traces.secondary == 0) {
    return value;
  }
  events::Used(counters::kRotated, "rotate", keys.list->keys()[0]);
  return RotateInnerTokens(keys, value, type);
}

Datum RotateWholeOrInside(const SessionKeys &keys, Datum value, Oid type) {
  const Oid base = getBaseType(type);
  if (FormOf(base) != ValueForm::kText) {
    return RotateInside(keys, value, type, false);
  }
  varlena *rotated = nullptr;
  const RotationResult result =
      RotateValue(keys, PG_DETOAST_DATUM_PACKED(value), &rotated);
  if (result.holds_unknown) {
    Refuse(keys, {Status::kNoKeyOpens});
  }
  switch (result.kind) {
    case RotationResult::kRotated:
      events::Used(counters::kRotated, "rotate", keys.list->keys()[0]);
      return CheckValue(PointerGetDatum(rotated), type, base);
    case RotationResult::kUnchanged:
      return value;
    case RotationResult::kFailed:
      break;
  }
  if (!IsMalformedToken(result.outcome.status)) {
    Refuse(keys, result.outcome);
  }
  return RotateInside(keys, value, type, true);
}

}  // namespace
}  // namespace fernet::pg

// fernet_rotate_value(value anyelement) returns anyelement
FERNET_SQL_FUNCTION(fernet_rotate_value) {
  namespace pg = fernet::pg;
  const Oid type = get_fn_expr_argtype(fcinfo->flinfo, 0);
  if (!OidIsValid(type)) {
    FERNET_RAISE(ERRCODE_INDETERMINATE_DATATYPE,
                 errmsg("could not determine the type of \"value\""));
  }
  const pg::SessionKeys keys = pg::session_keys::Current();
  const Datum value = PG_GETARG_DATUM(0);
  const Datum plain = get_typlen(type) == -1
                          ? PointerGetDatum(PG_DETOAST_DATUM_PACKED(value))
                          : value;
  const Datum rotated = pg::RotateWholeOrInside(keys, plain, type);
  return rotated == plain ? value : rotated;
}
