"""The least that the example needs. The database is where the PG* variables say."""

import os

import django

from fernet_fields import connection_options

# One key, or several with commas: the first encrypts, all decrypt.
FERNET_KEY = os.environ.get("FERNET_KEY", "")
# Of blind indexes: a key of its own.
FERNET_INDEX_KEY = os.environ.get("FERNET_INDEX_KEY", "")

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ.get("PGDATABASE", "fernet_example"),
        # The key travels in the startup packet: no statement carries it. Through
        # PgBouncer, leave it out here and use fernet_fields.transaction().
        "OPTIONS": connection_options(FERNET_KEY, FERNET_INDEX_KEY),
    }
}
if django.VERSION >= (4, 2):
    # With psycopg 3, no plaintext is a part of a statement either.
    DATABASES["default"]["OPTIONS"]["server_side_binding"] = True

INSTALLED_APPS = ["fernet_fields", "integrations"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
