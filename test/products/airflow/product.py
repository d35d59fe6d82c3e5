"""How Airflow 3.0 writes and reads what it encrypts.

The key is a list, of which the first encrypts. A flag in the row says whether
the value is a token; without a key in the configuration it is false. Triggers
have no flag: what begins with a brace is plain JSON.
"""

import json

from cryptography.fernet import InvalidToken
from support import (
    NEW_KEY,
    OLD_KEY,
    UNREADABLE,
    decrypted,
    execute,
    multi_fernet,
    query,
)

# AIRFLOW__CORE__FERNET_KEY
BEFORE = OLD_KEY
DURING = f"{NEW_KEY},{OLD_KEY}"
AFTER = NEW_KEY

NOT_ENCRYPTED = {
    ("variable", "from before there was a key"),
    ("connection", "no_secrets", "password"),
    ("connection", "no_secrets", "extra"),
    ("connection", "from_before", "password"),
    ("connection", "from_before", "extra"),
    ("connection", "emptied", "extra"),
    ("trigger", "airflow.triggers.testing.OldTrigger"),
}


def fernet(setting):
    return multi_fernet(setting.split(","))


def encrypt(setting, value):
    """The value as it is stored, and the flag beside it."""
    if not setting:
        return value, False
    return fernet(setting).encrypt(value.encode()).decode(), True


def write_connection(connection, setting, conn_id, password, extra):
    password_flag = extra_flag = False
    stored_password = None
    stored_extra = extra
    if password:
        stored_password, password_flag = encrypt(setting, password)
    if extra:
        stored_extra, extra_flag = encrypt(setting, extra)
    execute(
        connection,
        "INSERT INTO connection (conn_id, conn_type, password, is_encrypted,"
        " extra, is_extra_encrypted) VALUES (%s, 'postgres', %s, %s, %s, %s)",
        (conn_id, stored_password, password_flag, stored_extra, extra_flag),
    )
    return {
        ("connection", conn_id, "password"): password,
        ("connection", conn_id, "extra"): extra,
    }


def write_variable(connection, setting, key, value):
    execute(
        connection,
        "INSERT INTO variable (key, val, is_encrypted) VALUES (%s, %s, %s)",
        (key, *encrypt(setting, value)),
    )
    return {("variable", key): value}


def write_trigger(connection, setting, classpath, kwargs):
    execute(
        connection,
        "INSERT INTO trigger (classpath, kwargs, created_date)"
        " VALUES (%s, %s, now())",
        (classpath, encrypt(setting, json.dumps(kwargs))[0]),
    )
    return {("trigger", classpath): kwargs}


def write(connection):
    extra = '{"sslmode": "require", "note": "Z\u00fcrich"}'
    delta = {"__type": "dict", "__var": {"moment": 1767225600.0, "end": False}}
    return {
        **write_connection(connection, "", "from_before", "clear", '{"a": 1}'),
        **write_connection(connection, BEFORE, "warehouse", "p@ss%word", extra),
        **write_connection(connection, BEFORE, "emptied", "secret", ""),
        **write_connection(connection, BEFORE, "no_secrets", None, None),
        **write_connection(connection, DURING, "added_meanwhile", "new", "{}"),
        **write_variable(connection, "", "from before there was a key", "v"),
        **write_variable(connection, BEFORE, "api_token", "xoxb-1234"),
        **write_variable(connection, BEFORE, "empty", ""),
        **write_trigger(
            connection, "", "airflow.triggers.testing.OldTrigger", delta
        ),
        **write_trigger(
            connection, BEFORE, "airflow.triggers.temporal.DateTimeTrigger", delta
        ),
    }


def open_flagged(setting, value, flag):
    """Connections: an empty value is never decrypted."""
    if value and flag:
        return decrypted(fernet(setting).decrypt, value.encode())
    return value


def get_variable(setting, value, flag):
    """Variables: None where no key opens the token, and a line in the log."""
    if value is not None and flag:
        try:
            return fernet(setting).decrypt(value.encode()).decode()
        except InvalidToken:
            return UNREADABLE
    return value


def get_kwargs(setting, kwargs):
    if kwargs.startswith("{"):
        return json.loads(kwargs)
    plaintext = decrypted(fernet(setting).decrypt, kwargs.encode())
    return plaintext if plaintext is UNREADABLE else json.loads(plaintext)


def as_text(value):
    return value.decode() if isinstance(value, bytes) else value


def read(connection, setting):
    values = {}
    for conn_id, password, flag, extra, extra_flag in query(
        connection,
        "SELECT conn_id, password, is_encrypted, extra, is_extra_encrypted"
        " FROM connection",
    ):
        values["connection", conn_id, "password"] = as_text(
            open_flagged(setting, password, flag)
        )
        values["connection", conn_id, "extra"] = as_text(
            open_flagged(setting, extra, extra_flag)
        )
    for key, value, flag in query(
        connection, "SELECT key, val, is_encrypted FROM variable"
    ):
        values["variable", key] = get_variable(setting, value, flag)
    for classpath, kwargs in query(
        connection, "SELECT classpath, kwargs FROM trigger"
    ):
        values["trigger", classpath] = get_kwargs(setting, kwargs)
    return values


def shell_environment(folder):
    return {"AIRFLOW__CORE__FERNET_KEY": BEFORE, "NEW_KEY": NEW_KEY}
