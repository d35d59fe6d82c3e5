#include "pg/functions/job_arguments.hpp"

#include <cstring>

#include "pg/report/report.hpp"

namespace fernet::pg {

void RequireArgument(FunctionCallInfo fcinfo, int index, const char *name) {
  if (PG_ARGISNULL(index)) {
    FERNET_RAISE(ERRCODE_NULL_VALUE_NOT_ALLOWED,
                 errmsg("\"%s\" must not be null", name));
  }
}

void RequireArguments(FunctionCallInfo fcinfo, const char *const *names,
                      int count) {
  for (int i = 0; i < count; ++i) {
    RequireArgument(fcinfo, i, names[i]);
  }
}

void RefuseParameter(const char *name, const char *rule) {
  FERNET_RAISE(ERRCODE_INVALID_PARAMETER_VALUE,
               errmsg("\"%s\" must be %s", name, rule));
}

std::int64_t ReadBatchRows(FunctionCallInfo fcinfo, int index) {
  const int32 rows = PG_GETARG_INT32(index);
  if (rows < 1) {
    RefuseParameter("batch_rows", "at least 1");
  }
  return rows;
}

OnPlaintext ReadOnPlaintext(FunctionCallInfo fcinfo, int index) {
  const char *const word = text_to_cstring(PG_GETARG_TEXT_PP(index));
  if (strcmp(word, "fail") == 0) {
    return OnPlaintext::kFail;
  }
  if (strcmp(word, "leave") == 0) {
    return OnPlaintext::kLeave;
  }
  if (strcmp(word, "encrypt") == 0) {
    return OnPlaintext::kEncrypt;
  }
  RefuseParameter("on_plaintext", "\"fail\", \"leave\" or \"encrypt\"");
}

OnUnknown ReadOnUnknown(FunctionCallInfo fcinfo, int index) {
  const char *const word = text_to_cstring(PG_GETARG_TEXT_PP(index));
  if (strcmp(word, "fail") == 0) {
    return OnUnknown::kFail;
  }
  if (strcmp(word, "leave") == 0) {
    return OnUnknown::kLeave;
  }
  if (strcmp(word, "plaintext") == 0) {
    return OnUnknown::kPlaintext;
  }
  RefuseParameter("on_unknown", "\"fail\", \"leave\" or \"plaintext\"");
}

}  // namespace fernet::pg
