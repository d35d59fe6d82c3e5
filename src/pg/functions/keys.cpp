// SQL functions about keys: fernet_generate_key, fernet_keys,
// fernet_index_keys.

#include "pg/report/report.hpp"
#include "pg/server/boundary.hpp"
#include "pg/server/result_rows.hpp"
#include "pg/session/session_keys.hpp"

namespace fernet::pg {
namespace {

// ListKeys returns the keys of `setting`, a row for each.
Datum ListKeys(FunctionCallInfo fcinfo, KeySetting setting) {
  const ResultRows rows(fcinfo);
  const KeyList *const list = session_keys::CurrentList(setting);
  if (list == nullptr) {
    return Datum{0};
  }
  int32 key_index = 0;
  for (const Key &key : list->keys()) {
    FingerprintText fingerprint;
    const Status status = Fingerprint(key, &fingerprint);
    if (status != Status::kOk) {
      ReportCryptoFailure(status);
    }
    ++key_index;
    ResultRow row;
    row.Int(key_index);
    row.Text(fingerprint.data());
    row.Bool(key_index == 1);
    rows.Add(&row);
  }
  return Datum{0};
}

}  // namespace
}  // namespace fernet::pg

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
  return fernet::pg::ListKeys(fcinfo, fernet::pg::KeySetting::kKey);
}

// fernet_index_keys() returns the same table
FERNET_SQL_FUNCTION(fernet_index_keys) {
  return fernet::pg::ListKeys(fcinfo, fernet::pg::KeySetting::kIndexKey);
}
