#include "pg/server/transactions.hpp"

namespace fernet::pg {

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

}  // namespace fernet::pg
