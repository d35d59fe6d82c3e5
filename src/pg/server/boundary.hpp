// The boundary between the server's C and our C++: the only file that includes
// server headers. Every file in src/pg includes it first.
//
// A server function may longjmp. So in src/pg nothing with a non-trivial
// destructor is alive when one is called, and an entry point has three phases:
// unpack the arguments, compute without the server, report or return.
#pragma once

extern "C" {
#include "postgres.h"

#include "access/htup_details.h"
#include "access/parallel.h"
#include "access/relation.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/twophase.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_language.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "optimizer/planner.h"
#include "parser/analyze.h"
#include "parser/parse_relation.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "rewrite/prs2lock.h"
#include "rewrite/rewriteDefine.h"
#include "storage/bufmgr.h"
#include "storage/ipc.h"
#include "storage/itemptr.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/shmem.h"
#include "storage/sinvaladt.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/multirangetypes.h"
#include "utils/pg_lsn.h"
#include "utils/portal.h"
#include "utils/rangetypes.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/typcache.h"
#include "utils/varlena.h"
#include "utils/wait_event.h"
}

#include "pg/server/compat.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

// FERNET_SQL_FUNCTION defines the C entry point of one SQL function. Before
// PostgreSQL 16, PG_FUNCTION_INFO_V1 leaves the function itself hidden.
#define FERNET_SQL_FUNCTION(name)                      \
  extern "C" PGDLLEXPORT Datum name(PG_FUNCTION_ARGS); \
  extern "C" {                                         \
  PG_FUNCTION_INFO_V1(name);                           \
  }                                                    \
  Datum name(PG_FUNCTION_ARGS)

namespace fernet::pg {

// ViewBytes and ViewText are views of the payload of a detoasted value (text
// and bytea have the same layout). The view lives as long as the value.
inline std::span<const std::uint8_t> ViewBytes(const varlena *value) {
  return {reinterpret_cast<const std::uint8_t *>(VARDATA_ANY(value)),
          static_cast<std::size_t>(VARSIZE_ANY_EXHDR(value))};
}

inline std::span<const char> ViewText(const varlena *value) {
  return {VARDATA_ANY(value),
          static_cast<std::size_t>(VARSIZE_ANY_EXHDR(value))};
}

// kMaxValueSize is the largest payload of one text or bytea.
inline constexpr std::size_t kMaxValueSize = MaxAllocSize - VARHDRSZ;

// AllocateValue allocates a text or bytea with a payload of `size` bytes, at
// most kMaxValueSize. SetValueSize sets the final size.
inline varlena *AllocateValue(std::size_t size) {
  auto *const value = static_cast<varlena *>(palloc(VARHDRSZ + size));
  SET_VARSIZE(value, VARHDRSZ + size);
  return value;
}

// MutableBytes is the payload of a value from AllocateValue.
inline std::span<std::uint8_t> MutableBytes(varlena *value) {
  return {reinterpret_cast<std::uint8_t *>(VARDATA(value)),
          static_cast<std::size_t>(VARSIZE(value) - VARHDRSZ)};
}

inline void SetValueSize(varlena *value, std::size_t size) {
  SET_VARSIZE(value, VARHDRSZ + size);
}

}  // namespace fernet::pg
