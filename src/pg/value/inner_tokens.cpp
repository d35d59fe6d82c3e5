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
  FoundPlace found;  // or null
  void *state;
};

struct Rotator {
  LeafVisitor visitor;
  SessionKeys keys;
  Allowance allowance;
};

void CountLeafPlace(const Place &place, void *state) noexcept {
  auto *const tracer = static_cast<Tracer *>(state);
  if (place.kind == Place::kRemnant && place.nesting > 0) {
    return;
  }
  CountPlace(place, &tracer->traces);
  if (tracer->found != nullptr) {
    tracer->found(place, tracer->state);
  }
}

varlena *TraceLeaf(LeafVisitor *visitor, std::span<const char> leaf) {
  auto *const tracer = reinterpret_cast<Tracer *>(visitor);
  TokenTraces *const traces = &tracer->traces;
  traces->status = FindPlacesInPart(tracer->keys, leaf, &tracer->allowance,
                                    CountLeafPlace, tracer);
  visitor->is_done = traces->status != Status::kOk;
  return nullptr;
}

varlena *RotateAndTraceLeaf(LeafVisitor *visitor, std::span<const char> leaf) {
  auto *const tracer = reinterpret_cast<Tracer *>(visitor);
  TokenTraces *const traces = &tracer->traces;
  varlena *const rotated = RotateFound(tracer->keys, leaf, &tracer->allowance,
                                       CountLeafPlace, tracer, &traces->status);
  visitor->is_done = traces->status != Status::kOk;
  return rotated;
}

varlena *RotateLeaf(LeafVisitor *visitor, std::span<const char> leaf) {
  auto *const rotator = reinterpret_cast<Rotator *>(visitor);
  return RotatePart(rotator->keys, leaf, &rotator->allowance);
}

}  // namespace

InnerTokens TraceInnerTokens(const SessionKeys &keys, Datum value, Oid type,
                             FoundPlace found, void *state) {
  Tracer tracer = {.visitor = {.visit = TraceLeaf},
                   .keys = keys,
                   .allowance = {},
                   .traces = {},
                   .found = found,
                   .state = state};
  VisitLeaves(value, type, &tracer.visitor);
  return {.traces = tracer.traces, .not_read = tracer.visitor.not_read};
}

InnerTokens RotateAndTrace(const SessionKeys &keys, Datum value, Oid type,
                           Datum *out_rotated) {
  Tracer tracer = {.visitor = {.visit = RotateAndTraceLeaf},
                   .keys = keys,
                   .allowance = {},
                   .traces = {},
                   .found = nullptr,
                   .state = nullptr};
  *out_rotated = VisitLeaves(value, type, &tracer.visitor);
  return {.traces = tracer.traces, .not_read = tracer.visitor.not_read};
}

Datum RotateInnerTokens(const SessionKeys &keys, Datum value, Oid type) {
  Rotator rotator = {
      .visitor = {.visit = RotateLeaf}, .keys = keys, .allowance = {}};
  const Datum rotated = VisitLeaves(value, type, &rotator.visitor);
  CheckDomains(rotator.visitor);
  return rotated;
}

}  // namespace fernet::pg
