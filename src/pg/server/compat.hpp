// One shim for each difference between the supported servers. Each shim gives
// the old server the name and signature of the new one; nothing else in src/pg
// uses PG_VERSION_NUM. Included by boundary.hpp only.
#pragma once

#if PG_VERSION_NUM < 150000
#error "pg_fernet needs PostgreSQL 15 or newer"
#endif

// PostgreSQL 16 made guc.c allocate with guc_malloc(); before that, hooks used
// malloc(). Commit 3057465ac, "Replace the sorted array of GUC variables".
#if PG_VERSION_NUM < 160000
inline void *guc_malloc(int, size_t size) { return malloc(size); }
inline void guc_free(void *memory) { free(memory); }
#endif

// PostgreSQL 16 keeps settings in a hash table and offers find_option() to
// extensions; before that, it offers the sorted array itself.
#if PG_VERSION_NUM < 160000
inline config_generic *find_option(const char *name, bool, bool, int) {
  config_generic **const settings = get_guc_variables();
  for (int i = 0; i < GetNumConfigOptions(); ++i) {
    if (pg_strcasecmp(settings[i]->name, name) == 0) {
      return settings[i];
    }
  }
  return nullptr;
}
#endif

namespace fernet::pg {

// PostgreSQL 19 moved reset_extra from the type-specific part of a setting to
// the common one.
inline void *ResetExtra(const config_generic *setting) {
#if PG_VERSION_NUM >= 190000
  return setting->reset_extra;
#else
  return reinterpret_cast<const config_string *>(setting)->reset_extra;
#endif
}

// PostgreSQL 17 gave intervals the values infinity and -infinity.
inline bool IntervalIsInfinity(const Interval *interval) {
#if PG_VERSION_NUM >= 170000
  return INTERVAL_IS_NOEND(interval);
#else
  static_cast<void>(interval);
  return false;
#endif
}

inline bool IntervalIsMinusInfinity(const Interval *interval) {
#if PG_VERSION_NUM >= 170000
  return INTERVAL_IS_NOBEGIN(interval);
#else
  static_cast<void>(interval);
  return false;
#endif
}

// PostgreSQL 16 moved the updated columns from the entry of the range table to
// a list of permissions beside it; 18 takes the set of relations that are not
// pruned. Returns where the set of updated columns is kept.
inline Bitmapset **InitRangeTable(EState *state, RangeTblEntry *entry,
                                  Bitmapset *updated_columns) {
#if PG_VERSION_NUM >= 160000
  List *permissions = NIL;
  RTEPermissionInfo *const permission =
      addRTEPermissionInfo(&permissions, entry);
  permission->updatedCols = updated_columns;
#if PG_VERSION_NUM >= 180000
  ExecInitRangeTable(state, list_make1(entry), permissions,
                     bms_make_singleton(1));
#else
  ExecInitRangeTable(state, list_make1(entry), permissions);
#endif
  return &permission->updatedCols;
#else
  entry->updatedCols = updated_columns;
  ExecInitRangeTable(state, list_make1(entry));
  return &entry->updatedCols;
#endif
}

inline void InitEvalPlanQual(EPQState *recheck, EState *state) {
#if PG_VERSION_NUM >= 160000
  EvalPlanQualInit(recheck, state, nullptr, NIL, -1, NIL);
#else
  EvalPlanQualInit(recheck, state, nullptr, NIL, -1);
#endif
}

// The triggers may change `slot`. Returns false if one of them suppresses the
// update.
inline bool BeforeRowUpdateTriggers(EState *state, EPQState *recheck,
                                    ResultRelInfo *target, ItemPointer tid,
                                    TupleTableSlot *slot) {
  TM_FailureData failure;
#if PG_VERSION_NUM >= 160000
  TM_Result result = TM_Ok;
#endif
#if PG_VERSION_NUM >= 180000
  return ExecBRUpdateTriggers(state, recheck, target, tid, nullptr, slot,
                              &result, &failure, false);
#elif PG_VERSION_NUM >= 160000
  return ExecBRUpdateTriggers(state, recheck, target, tid, nullptr, slot,
                              &result, &failure);
#else
  return ExecBRUpdateTriggers(state, recheck, target, tid, nullptr, slot,
                              &failure);
#endif
}

// PostgreSQL 16 reports an update that touches summarizing indexes only.
#if PG_VERSION_NUM >= 160000
using UpdatedIndexes = TU_UpdateIndexes;
inline constexpr UpdatedIndexes kNoIndexes = TU_None;
#else
using UpdatedIndexes = bool;
inline constexpr UpdatedIndexes kNoIndexes = false;
#endif

// Without waiting, heap_update() returns when it meets a locked row, but an
// assertion forbids that. With assertions, the caller locks the row first.
#ifdef USE_ASSERT_CHECKING
inline constexpr bool kUpdateMustWait = true;
#else
inline constexpr bool kUpdateMustWait = false;
#endif

inline TM_Result UpdateTuple(Relation relation, ItemPointer tid,
                             TupleTableSlot *slot, CommandId command,
                             Snapshot snapshot, bool wait,
                             TM_FailureData *failure, UpdatedIndexes *updated) {
  LockTupleMode mode;
#if PG_VERSION_NUM >= 190000
  return table_tuple_update(relation, tid, slot, command, 0, snapshot,
                            InvalidSnapshot, wait, failure, &mode, updated);
#else
  return table_tuple_update(relation, tid, slot, command, snapshot,
                            InvalidSnapshot, wait, failure, &mode, updated);
#endif
}

inline List *InsertIndexEntries(ResultRelInfo *target, TupleTableSlot *slot,
                                EState *state, UpdatedIndexes updated) {
#if PG_VERSION_NUM >= 190000
  const uint32 flags =
      EIIT_IS_UPDATE |
      (updated == TU_Summarizing ? uint32{EIIT_ONLY_SUMMARIZING} : 0);
  return ExecInsertIndexTuples(target, state, flags, slot, NIL, nullptr);
#elif PG_VERSION_NUM >= 160000
  return ExecInsertIndexTuples(target, slot, state, true, false, nullptr, NIL,
                               updated == TU_Summarizing);
#else
  static_cast<void>(updated);
  return ExecInsertIndexTuples(target, slot, state, true, false, nullptr, NIL);
#endif
}

// PostgreSQL 16 appends a page with ExtendBufferedRel(). The page is locked;
// the caller holds the lock for extending `relation`.
inline Buffer AppendPage(Relation relation) {
#if PG_VERSION_NUM >= 160000
  BufferManagerRelation target = {};
  target.rel = relation;
  return ExtendBufferedRel(target, MAIN_FORKNUM, nullptr,
                           EB_SKIP_EXTENSION_LOCK | EB_LOCK_FIRST);
#else
  const Buffer buffer = ReadBuffer(relation, P_NEW);
  LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
  return buffer;
#endif
}

// PostgreSQL 17 renamed backend ids to proc numbers, and gave a lock's holder
// as one virtual transaction id.
inline VirtualTransactionId TransactionOf(const LockInstanceData &lock) {
#if PG_VERSION_NUM >= 170000
  return lock.vxid;
#else
  return {lock.backend, lock.lxid};
#endif
}

// ProcessOf is the process id of `transaction`, or 0 if it has ended.
inline int ProcessOf(VirtualTransactionId transaction) {
#if PG_VERSION_NUM >= 170000
  const PGPROC *const process = ProcNumberGetProc(transaction.procNumber);
#else
  const PGPROC *const process = BackendIdGetProc(transaction.backendId);
#endif
  return process == nullptr ? 0 : process->pid;
}

inline TableScanDesc BeginPageRangeScan(Relation relation, Snapshot snapshot,
                                        ItemPointer first, ItemPointer last) {
#if PG_VERSION_NUM >= 190000
  return table_beginscan_tidrange(relation, snapshot, first, last, 0);
#else
  return table_beginscan_tidrange(relation, snapshot, first, last);
#endif
}

// Before PostgreSQL 17, old_snapshot_threshold lets the server remove what an
// old snapshot still sees. RequireNotPruned raises 72000 if that may be so for
// `page`, which is locked.
inline bool MayBePruned() {
#if PG_VERSION_NUM >= 170000
  return false;
#else
  return OldSnapshotThresholdActive();
#endif
}

inline void RequireNotPruned(Snapshot snapshot, Relation relation, Page page) {
#if PG_VERSION_NUM >= 170000
  static_cast<void>(snapshot);
  static_cast<void>(relation);
  static_cast<void>(page);
#else
  TestForOldSnapshot(snapshot, relation, page);
#endif
}

// PostgreSQL 16 has one function for the privileges of most objects.
inline bool MayUseSchema(Oid schema) {
#if PG_VERSION_NUM >= 160000
  return object_aclcheck(NamespaceRelationId, schema, GetUserId(), ACL_USAGE) ==
         ACLCHECK_OK;
#else
  return pg_namespace_aclcheck(schema, GetUserId(), ACL_USAGE) == ACLCHECK_OK;
#endif
}

// A scan of a whole table, in a ring of buffers.
inline TableScanDesc BeginWholeScan(Relation relation, Snapshot snapshot) {
#if PG_VERSION_NUM >= 190000
  return table_beginscan(relation, snapshot, 0, nullptr, 0);
#else
  return table_beginscan(relation, snapshot, 0, nullptr);
#endif
}

// PostgreSQL 16 can return errors of a range instead of raising them.
inline RangeType *MakeRange(TypeCacheEntry *type, RangeBound *lower,
                            RangeBound *upper) {
#if PG_VERSION_NUM >= 160000
  return make_range(type, lower, upper, false, nullptr);
#else
  return make_range(type, lower, upper, false);
#endif
}

// PostgreSQL 16 gave the walkers of expressions the type of their callback.
using TreeWalker = bool (*)(Node *node, void *state);

#if PG_VERSION_NUM < 160000
using AnyWalker = bool (*)();
inline AnyWalker WithoutType(TreeWalker walker) {
  return reinterpret_cast<AnyWalker>(reinterpret_cast<void (*)()>(walker));
}
#endif

inline bool WalkExpression(Node *node, TreeWalker walker,
                           void *state = nullptr) {
#if PG_VERSION_NUM >= 160000
  return expression_tree_walker(node, walker, state);
#else
  return expression_tree_walker(node, WithoutType(walker), state);
#endif
}

inline bool WalkQuery(Query *query, TreeWalker walker, void *state = nullptr) {
#if PG_VERSION_NUM >= 160000
  return query_tree_walker(query, walker, state, 0);
#else
  return query_tree_walker(query, WithoutType(walker), state, 0);
#endif
}

}  // namespace fernet::pg

// PostgreSQL 17 shares memory by name, without a request before the server
// starts; 19 passes an argument to the initializer.
#if PG_VERSION_NUM >= 170000
#define FERNET_HAS_DSM_REGISTRY
extern "C" {
#include "storage/dsm_registry.h"
}
namespace fernet::pg {
inline void *NamedSegment(const char *name, size_t size, void (*init)(void *)) {
  bool found = false;
#if PG_VERSION_NUM >= 190000
  static void (*initialize)(void *) = nullptr;
  initialize = init;
  return GetNamedDSMSegment(
      name, size, [](void *memory, void *) { initialize(memory); }, &found,
      nullptr);
#else
  return GetNamedDSMSegment(name, size, init, &found);
#endif
}
}  // namespace fernet::pg
#endif

// PostgreSQL 18 lets a module state its name and version.
#ifdef PG_MODULE_MAGIC_EXT
#define FERNET_MODULE_MAGIC(module_version) \
  PG_MODULE_MAGIC_EXT(.name = "pg_fernet", .version = module_version)
#else
#define FERNET_MODULE_MAGIC(module_version) PG_MODULE_MAGIC
#endif
