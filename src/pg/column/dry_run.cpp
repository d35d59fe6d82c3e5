#include "pg/column/dry_run.hpp"

#include <algorithm>

namespace fernet::pg {
namespace {

bool HasSomethingToTry(const TableTarget &target) {
  return target.relation->rd_att->constr != nullptr ||
         target.relation->rd_rel->relispartition ||
         std::any_of(target.columns.begin(), target.columns.end(),
                     [](const ColumnTarget &column) {
                       return OidIsValid(column.domain) ||
                              OidIsValid(column.holder_type);
                     });
}

}  // namespace

void BeginTrial(const TableTarget *target, Trial *out) {
  *out = {};
  out->needed = HasSomethingToTry(*target);
  if (!out->needed) {
    return;
  }
  TakeOwnerRights(target->relation, &out->rights);
  // A command that is not used: a dry run works on a standby, too.
  BeginNewRows(target, GetCurrentCommandId(false), &out->row);
}

void TryRow(Trial *trial, TupleTableSlot *row, const NewValue *values) {
  if (!trial->needed) {
    return;
  }
  NewRow *const new_row = &trial->row;
  ResetPerTupleExprContext(new_row->state);
  FillNewRow(new_row, row, values);
  ComputeGenerated(*new_row);
  CheckConstraints(new_row, values);
}

void EndTrial(const Trial &trial) {
  if (trial.needed) {
    EndNewRows(trial.row);
    LeaveOwnerRights(trial.rights);
  }
}

}  // namespace fernet::pg
