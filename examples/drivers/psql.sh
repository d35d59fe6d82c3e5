#!/bin/bash
# psql.sh options|bind, as the other programs do. bind needs psql 16.
set -euo pipefail

case $1 in
  options) PGOPTIONS="-c fernet.key=$FERNET_KEY" psql app -XqAtc 'SELECT fingerprint FROM fernet_keys()' ;;
  bind)
    psql app -XqAt -v ON_ERROR_STOP=1 <<'END'
\getenv key FERNET_KEY
\o /dev/null
SELECT set_config('fernet.key', $1, false) \bind :key \g
\o
SELECT fingerprint FROM fernet_keys();
END
    ;;
esac
