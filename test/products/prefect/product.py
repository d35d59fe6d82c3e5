"""How Prefect 3 writes and reads block documents.

The whole document is a JSON string, which is a token over JSON. The key comes
from the environment or, when that has none, from a row of the table
configuration, where Prefect itself has put it.
"""

import json

from cryptography.fernet import Fernet
from support import (
    NEW_KEY,
    OLD_KEY,
    UNREADABLE,
    decrypted,
    execute,
    insert_many,
    query,
)

# PREFECT_SERVER_ENCRYPTION_KEY. Before, there was none.
BEFORE = None
AFTER = NEW_KEY

NOT_ENCRYPTED = {"empty"}


def fernet(connection, setting):
    if setting:
        return Fernet(setting.encode())
    rows = query(
        connection, "SELECT value FROM configuration WHERE key = 'ENCRYPTION_KEY'"
    )
    # A server without a row would make a new key and go on.
    key = rows[0][0]["fernet_key"] if rows else OLD_KEY
    return Fernet(key.encode())


def write(connection):
    execute(
        connection,
        "INSERT INTO configuration (key, value) VALUES ('ENCRYPTION_KEY', %s)",
        (json.dumps({"fernet_key": OLD_KEY}),),
    )
    values = {f"block-{n}": {"url": f"https://{n}", "token": "t"} for n in range(2500)}
    here = fernet(connection, BEFORE)
    insert_many(
        connection,
        "INSERT INTO block_document (name, block_type_id, block_schema_id, data)"
        " SELECT v.name, gen_random_uuid(), gen_random_uuid(), v.data::jsonb"
        " FROM (VALUES %s) AS v(name, data)",
        [
            (name, json.dumps(here.encrypt(json.dumps(data).encode()).decode()))
            for name, data in values.items()
        ],
    )
    execute(
        connection,
        "INSERT INTO block_document (name, block_type_id, block_schema_id)"
        " VALUES ('empty', gen_random_uuid(), gen_random_uuid())",
    )
    values["empty"] = {}
    return values


def read(connection, setting):
    here = fernet(connection, setting)
    values = {}
    for name, data in query(connection, "SELECT name, data FROM block_document"):
        if isinstance(data, str):
            data = decrypted(here.decrypt, data.encode())
            if data is not UNREADABLE:
                data = json.loads(data.decode())
        values[name] = data
    return values


def check_after(connection):
    rows = query(
        connection, "SELECT 1 FROM configuration WHERE key = 'ENCRYPTION_KEY'"
    )
    if rows:
        raise SystemExit("the old key is still in the database")


def shell_environment(folder):
    return {"NEW_KEY": NEW_KEY}
