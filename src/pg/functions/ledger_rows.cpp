// SQL function fernet_ledger_rows, behind the view fernet_rotation.

#include "pg/column/ledger.hpp"
#include "pg/server/boundary.hpp"
#include "pg/server/result_rows.hpp"

// fernet_ledger_rows() returns table (the columns of fernet_ledger)
FERNET_SQL_FUNCTION(fernet_ledger_rows) {
  const fernet::pg::ResultRows rows(fcinfo);
  fernet::pg::PutLedgerRows(fcinfo->flinfo->fn_oid, rows);
  return Datum{0};
}
