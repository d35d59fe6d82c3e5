"""Tests of the example, on the server that the variables of libpq name."""

import os

# Public keys, for tests and nothing else.
OLD = "this-is-test-key-1-do-not-use-it-anywhere-A="
NEW = "this-is-test-key-2-do-not-use-it-anywhere-A="

os.environ["TOKEN_ENCRYPTION_KEY"] = OLD

PSYCOPG = "postgresql+psycopg://"
PSYCOPG2 = "postgresql+psycopg2://"
