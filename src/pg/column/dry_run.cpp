#include "pg/column/dry_run.hpp"

namespace fernet::pg {
namespace {

bool HasSomethingToTry(const ColumnTarget &target) {
  return OidIsValid(target.domain) || OidIsValid(target.holder_type) ||
         target.relation->rd_att->constr != nullptr ||
         target.relation->rd_rel->relispartition;
}

}  // namespace

void BeginTrial(const ColumnTarget *target, Trial *out) {
  *out = {};
  out->needed = HasSomethingToTry(*target);
  if (!out->needed) {
    return;
  }
  TakeOwnerRights(target->relation, &out->rights);
  // A command that is not used: a dry run works on a standby, too.
  BeginNewRows(target, GetCurrentCommandId(false), &out->row);
}

void TryValue(Trial *trial, TupleTableSlot *row, Datum value) {
  if (!trial->needed) {
    return;
  }
  NewRow *const new_row = &trial->row;
  ResetPerTupleExprContext(new_row->state);
  FillNewRow(*new_row, row, value);
  ComputeGenerated(*new_row);
  CheckConstraints(new_row, value);
}

void EndTrial(const Trial &trial) {
  if (trial.needed) {
    EndNewRows(trial.row);
    LeaveOwnerRights(trial.rights);
  }
}

}  // namespace fernet::pg
