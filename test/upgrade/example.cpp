// The C function that the example of a next version brings; see
// test/t/030_extension_upgrade.pl.

#include "pg/server/boundary.hpp"

// fernet_example(value text) returns text
FERNET_SQL_FUNCTION(fernet_example) { PG_RETURN_DATUM(PG_GETARG_DATUM(0)); }
