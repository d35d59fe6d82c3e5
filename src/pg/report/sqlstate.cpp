#include "pg/report/sqlstate.hpp"

namespace fernet::pg {

int FailureCode(Status status) {
  if (IsMalformedToken(status)) {
    return kMalformedToken;
  }
  switch (status) {
    case Status::kNoKeyOpens:
      return kNoKeyOpensToken;
    case Status::kTokenExpired:
    case Status::kTokenFromFuture:
      return kTokenAge;
    default:
      return ERRCODE_INTERNAL_ERROR;
  }
}

}  // namespace fernet::pg
