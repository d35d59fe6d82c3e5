#include "pg/server/transactions.hpp"

extern "C" {
#include "access/xlog_internal.h"
#include "replication/syncrep.h"
}

namespace fernet::pg {
namespace {

// EndOfWal is where the last record ends. At the beginning of a page, the next
// one begins behind the header, which nobody has written yet.
XLogRecPtr EndOfWal() {
  const XLogRecPtr next = GetXLogInsertRecPtr();
  const uint64 header = XLogSegmentOffset(next, wal_segment_size) < XLOG_BLCKSZ
                            ? SizeOfXLogLongPHD
                            : SizeOfXLogShortPHD;
  return next % XLOG_BLCKSZ == header ? next - header : next;
}

}  // namespace

void CommitAndStart() {
  if (SPI_inside_nonatomic_context()) {
    SPI_commit();
    return;
  }
  // What SPI_commit() does, and a report in between.
  HoldPinnedPortals();
  ForgetPortalSnapshots();
  CommitTransactionCommand();
  static_cast<void>(pgstat_report_stat(false));
  StartTransactionCommand();
}

void CommitWithoutDisk() {
  if (SyncRepStandbyNames == nullptr || *SyncRepStandbyNames == '\0') {
    static_cast<void>(set_config_option("synchronous_commit", "off",
                                        PGC_USERSET, PGC_S_SESSION,
                                        GUC_ACTION_LOCAL, true, 0, false));
  }
}

void FlushWal() {
  if (!RecoveryInProgress()) {
    XLogFlush(EndOfWal());
  }
}

void SetAllImmediate() {
  ConstraintsSetStmt immediate = {};
  NodeSetTag(&immediate, T_ConstraintsSetStmt);
  AfterTriggerSetState(&immediate);
}

}  // namespace fernet::pg
