// SQL functions about keys: fernet_generate_key, fernet_keys.

#include "pg/report/report.hpp"
#include "pg/server/boundary.hpp"
#include "pg/server/result_rows.hpp"
#include "pg/session/session_keys.hpp"

// fernet_generate_key() returns text
FERNET_SQL_FUNCTION(fernet_generate_key) {
  namespace pg = fernet::pg;
  static_cast<void>(fcinfo);
  varlena *const key = pg::AllocateValue(fernet::kEncodedKeySize);
  const fernet::Status status =
      fernet::GenerateKey(std::span<char, fernet::kEncodedKeySize>(
          VARDATA(key), fernet::kEncodedKeySize));
  if (status != fernet::Status::kOk) {
    pg::ReportCryptoFailure(status);
  }
  PG_RETURN_TEXT_P(key);
}

// fernet_keys() returns table (key_index integer, fingerprint text,
//                              is_primary boolean)
FERNET_SQL_FUNCTION(fernet_keys) {
  namespace pg = fernet::pg;
  const pg::ResultRows rows(fcinfo);
  const fernet::KeyList *const list = pg::session_keys::CurrentList();
  if (list == nullptr) {
    return Datum{0};
  }
  int32 key_index = 0;
  for (const fernet::Key &key : list->keys()) {
    fernet::FingerprintText fingerprint;
    const fernet::Status status = fernet::Fingerprint(key, &fingerprint);
    if (status != fernet::Status::kOk) {
      pg::ReportCryptoFailure(status);
    }
    ++key_index;
    pg::ResultRow row;
    row.Int(key_index);
    row.Text(fingerprint.data());
    row.Bool(key_index == 1);
    rows.Add(&row);
  }
  return Datum{0};
}
