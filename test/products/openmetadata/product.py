"""How OpenMetadata 1.8 writes and reads secrets, done with Python's Fernet: the
tokens of its Java library have the same form.

A secret is a string anywhere within a JSON document: "fernet:" and a token. The
list of keys has commas, the first encrypts; it loses its "=" and becomes
URL-safe.
"""

import json
import uuid

from support import (
    NEW_KEY,
    OLD_KEY,
    UNREADABLE,
    decrypted,
    execute,
    multi_fernet,
    query,
)

PREFIX = "fernet:"

# FERNET_KEY, as its users have it: in base64 of either alphabet
OLD_SETTING = OLD_KEY.replace("-", "+")
BEFORE = OLD_SETTING
DURING = f"{NEW_KEY},{OLD_SETTING}"
AFTER = NEW_KEY

NOT_ENCRYPTED = set()


def keys(setting):
    text = setting.replace("/", "_").replace("+", "-").replace("=", "")
    return text.split(",")


def fernet(setting):
    # The Java library takes keys without "=", Python's does not.
    return multi_fernet([key + "=" for key in keys(setting)])


def encrypt(setting, secret):
    return PREFIX + fernet(setting).encrypt(secret.encode()).decode()


def service(setting, name, password):
    """A document as it is stored. One of its secrets lies within an array."""
    return {
        "id": str(uuid.uuid4()),
        "name": name,
        "serviceType": "Mysql",
        "updatedAt": 1767225600000,
        "updatedBy": "admin",
        "deleted": False,
        "description": None,
        "tags": [],
        "connection": {
            "config": {
                "username": "openmetadata",
                "authType": {"password": encrypt(setting, password)},
                "steps": [[{"secret": encrypt(setting, password * 2)}, 1.50, "fernet"]],
            }
        },
    }


def write(connection):
    values = {}
    for name, setting in (("orders", BEFORE), ("stock", BEFORE), ("new", DURING)):
        document = service(setting, name, f"p@ss of {name}")
        execute(
            connection,
            "INSERT INTO dbservice_entity (json, nameHash) VALUES (%s, md5(%s))",
            (json.dumps(document), name),
        )
        execute(
            connection,
            "INSERT INTO entity_extension VALUES (%s, 'databaseService.version.0.1',"
            " 'databaseService', %s)",
            (document["id"], json.dumps(document)),
        )
        for table in ("dbservice_entity", "entity_extension"):
            values[table, name] = plain(DURING, document)
    return values


def plain(setting, value):
    """A document with its secrets decrypted."""
    if isinstance(value, dict):
        return {key: plain(setting, item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(setting, item) for item in value]
    if isinstance(value, str) and value.startswith(PREFIX):
        token = value.removeprefix(PREFIX).encode()
        secret = decrypted(fernet(setting).decrypt, token)
        return secret if secret is UNREADABLE else secret.decode()
    return value


def holds_unreadable(value):
    if isinstance(value, dict):
        return any(map(holds_unreadable, value.values()))
    if isinstance(value, list):
        return any(map(holds_unreadable, value))
    return value is UNREADABLE


def read(connection, setting):
    values = {}
    for table in ("dbservice_entity", "entity_extension"):
        for (document,) in query(connection, f"SELECT json FROM {table}"):
            document = plain(setting, document)
            name = document["name"]
            values[table, name] = UNREADABLE if holds_unreadable(document) else document
    return values


def shell_environment(folder):
    return {"FERNET_KEY": BEFORE, "NEW_KEY": NEW_KEY}
