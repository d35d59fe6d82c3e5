// SQL functions about keys: fernet_generate_key, fernet_keys.

#include "pg/report/report.hpp"
#include "pg/server/boundary.hpp"
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
  InitMaterializedSRF(fcinfo, 0);
  auto *const result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
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
    Datum values[] = {Int32GetDatum(key_index),
                      CStringGetTextDatum(fingerprint.data()),
                      BoolGetDatum(key_index == 1)};
    bool nulls[] = {false, false, false};
    tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
  }
  return Datum{0};
}
