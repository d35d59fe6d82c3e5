"""Text that PostgreSQL encrypts and decrypts, by its extension pg_fernet.

FernetTextField     a model field: plaintext in Python, a token in the table
FernetEncrypt etc.  the functions of the database, for queries
connection_options  the key for the connections, in settings.DATABASES
transaction         the key for one transaction, for PgBouncer
sqlstate            what went wrong
"""

from contextlib import contextmanager

# The SQLSTATEs that an application may handle.
NO_KEY = "PF001"
NOT_A_TOKEN = "PF003"
WRONG_KEY = "PF004"
NOT_ROTATED = "PF007"


def sqlstate(error):
    """Return the SQLSTATE of a django.db.Error, or None."""
    cause = error.__cause__
    # psycopg 3, psycopg2
    return getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)


def connection_options(keys, index_keys=""):
    """Return OPTIONS that give each connection the keys: one, or several with commas.

    The index keys are those of blind indexes.
    """
    settings = {"fernet.key": keys, "fernet.index_key": index_keys}
    options = " ".join(f"-c {name}={value}" for name, value in settings.items() if value)
    return {"options": options} if options else {}


@contextmanager
def transaction(keys, using=None):
    """Run the block in a transaction that has the keys, which are gone at its end.

    For connections through PgBouncer, which refuses keys in the startup packet. It
    needs psycopg 3 (Django 4.2 or newer): psycopg2 has no bind parameters, and
    would write the keys into the statement, for the server to log.
    """
    # Imported here because settings.py imports this module before Django is set
    # up.
    from django.core.exceptions import ImproperlyConfigured
    from django.db import connections, transaction
    from django.db.utils import DEFAULT_DB_ALIAS

    connection = connections[using or DEFAULT_DB_ALIAS]
    if connection.Database.__name__ != "psycopg":
        raise ImproperlyConfigured("The key of a transaction needs psycopg 3.")
    with transaction.atomic(using):
        # Django's own cursor would bind on the client, unless the option
        # server_side_binding is set.
        with connection.Database.Cursor(connection.connection) as cursor:
            cursor.execute("SELECT set_config('fernet.key', %s, true)", [keys])
        yield
