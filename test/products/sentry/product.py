"""How Sentry 25 writes and reads an EncryptedJSONField.

Keys are files, whose name is the identifier of the key. A value is a JSON object
with one string: a marker, the key's identifier, and the base64 of the token,
which is base64 itself. Values from before are JSON as it is, or only marked.
"""

import base64
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

FIELD = "sentry_encrypted_field_value"

# The keys by identifier; the primary's identifier is a setting beside them.
BEFORE = {"2025-09": OLD_KEY}
DURING = {"2025-09": OLD_KEY, "2025-12": NEW_KEY}
AFTER = {"2025-12": NEW_KEY}

NOT_ENCRYPTED = {("integration", "old"), ("integration", "marked only")}


def wrap(marker, data):
    return {FIELD: f"{marker}:{base64.b64encode(data).decode('ascii')}"}


def prepared(method, keys, key_id, value):
    data = json.dumps(value).encode("utf-8")
    if method == "json":
        return value
    if method == "plaintext":
        return wrap("enc:plaintext", data)
    return wrap(f"enc:fernet:{key_id}", Fernet(keys[key_id]).encrypt(data))


def write(connection):
    secret = {"access_token": "ghs_1234", "note": "Z\u00fcrich " * 20}
    values = {}
    for name, method, key_id in (
        ("old", "json", None),
        ("marked only", "plaintext", None),
        ("github", "fernet", "2025-09"),
        ("slack", "fernet", "2025-12"),
    ):
        value = {**secret, "name": name}
        execute(
            connection,
            "INSERT INTO sentry_integration (provider, external_id, name, metadata)"
            " VALUES (%s, %s, %s, %s)",
            (name, name, name, json.dumps(prepared(method, DURING, key_id, value))),
        )
        values["integration", name] = value
    identities = {str(n): {"refresh_token": f"r{n}"} for n in range(1200)}
    insert_many(
        connection,
        "INSERT INTO sentry_identity (idp_id, user_id, external_id, data) VALUES %s",
        [
            (1, name, name, json.dumps(prepared("fernet", BEFORE, "2025-09", value)))
            for name, value in identities.items()
        ],
    )
    values.update({("identity", name): v for name, v in identities.items()})
    return values


def to_python(keys, value):
    if FIELD not in value:
        return value
    marker, rest = value[FIELD].removeprefix("enc:").split(":", 1)
    if marker == "plaintext":
        return json.loads(base64.b64decode(rest))
    key_id, data = rest.split(":", 1)
    if key_id not in keys:
        return UNREADABLE
    plaintext = decrypted(Fernet(keys[key_id]).decrypt, base64.b64decode(data))
    return plaintext if plaintext is UNREADABLE else json.loads(plaintext)


def read(connection, keys):
    values = {}
    for name, value in query(connection, "SELECT name, metadata FROM sentry_integration"):
        values["integration", name] = to_python(keys, value)
    for name, value in query(connection, "SELECT external_id, data FROM sentry_identity"):
        values["identity", name] = to_python(keys, value)
    return values


def shell_environment(folder):
    keys = folder / "fernet-keys"
    keys.mkdir()
    for name, key in DURING.items():
        (keys / name).write_text(key + "\n")
    return {"KEYS": str(keys), "OLD_ID": "2025-09", "NEW_ID": "2025-12"}
