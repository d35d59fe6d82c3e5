#include "pg/value/inner_tokens.hpp"

#include "pg/value/leaves.hpp"

namespace fernet::pg {
namespace {

// Tracer and Rotator are LeafVisitors, which they begin with.
struct Tracer {
  LeafVisitor visitor;
  SessionKeys keys;
  Allowance allowance;
  TokenTraces traces;
};

struct Rotator {
  LeafVisitor visitor;
  SessionKeys keys;
  Allowance allowance;
};

void CountLeafPlace(const Place &place, void *traces) noexcept {
  if (place.kind != Place::kRemnant || place.nesting == 0) {
    CountPlace(place, traces);
  }
}

varlena *TraceLeaf(LeafVisitor *visitor, std::span<const char> leaf) {
  auto *const tracer = reinterpret_cast<Tracer *>(visitor);
  TokenTraces *const traces = &tracer->traces;
  traces->status = FindPlacesInPart(tracer->keys, leaf, &tracer->allowance,
                                    CountLeafPlace, traces);
  visitor->is_done = traces->status != Status::kOk;
  return nullptr;
}

varlena *RotateLeaf(LeafVisitor *visitor, std::span<const char> leaf) {
  auto *const rotator = reinterpret_cast<Rotator *>(visitor);
  return RotatePart(rotator->keys, leaf, &rotator->allowance);
}

}  // namespace

InnerTokens TraceInnerTokens(const SessionKeys &keys, Datum value, Oid type) {
  Tracer tracer = {.visitor = {.visit = TraceLeaf},
                   .keys = keys,
                   .allowance = {},
                   .traces = {}};
  VisitLeaves(value, type, &tracer.visitor);
  return {.traces = tracer.traces, .not_read = tracer.visitor.not_read};
}

Datum RotateInnerTokens(const SessionKeys &keys, Datum value, Oid type) {
  Rotator rotator = {.visitor = {.visit = RotateLeaf, .may_change = true},
                     .keys = keys,
                     .allowance = {}};
  const Datum rotated = VisitLeaves(value, type, &rotator.visitor);
  CheckDomains(rotator.visitor);
  return rotated;
}

}  // namespace fernet::pg
