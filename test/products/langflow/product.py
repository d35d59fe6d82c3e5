"""How Langflow 1.5 writes and reads variables, keys of its store, and the
settings of MCP projects.

A secret of less than 32 characters seeds Python's random, which gives the key. A
longer one is the key itself, after it got more "=".
"""

import base64
import json
import random

from cryptography.fernet import Fernet
from support import NEW_KEY, UNREADABLE, decrypted, execute, query

# LANGFLOW_SECRET_KEY; what Langflow makes for itself has no "=" at its end
BEFORE = "short-test-secret"
AFTER = NEW_KEY.rstrip("=")

NOT_ENCRYPTED = {
    ("variable", "GREETING"),
    ("variable", "UNSET"),
    ("user", "guest"),
    ("folder", "Starter", "auth_type"),
    ("folder", "Tools", "auth_type"),
    ("folder", "Tools", "api_key"),
}


def fernet(secret):
    if len(secret) < 32:
        source = random.Random(secret)
        key = bytes(source.getrandbits(8) for _ in range(32))
        return Fernet(base64.urlsafe_b64encode(key))
    return Fernet((secret + "=" * (4 - len(secret) % 4)).encode())


def encrypt(value):
    return fernet(BEFORE).encrypt(value.encode()).decode()


def write(connection):
    values = {
        ("variable", "OPENAI_API_KEY"): "sk-1234",
        ("variable", "GREETING"): "Good morning",
        ("variable", "OLD_GENERIC"): "encrypted by an older version",
        ("variable", "UNSET"): None,
        ("user", "admin"): "store-key",
        ("user", "guest"): None,
        ("folder", "Starter", "auth_type"): "oauth",
        ("folder", "Starter", "oauth_client_secret"): "cs-5678",
        ("folder", "Tools", "auth_type"): "none",
        ("folder", "Tools", "api_key"): None,
    }
    for name, kind in (
        ("OPENAI_API_KEY", "Credential"),
        ("GREETING", "Generic"),
        ("OLD_GENERIC", "Generic"),
        ("UNSET", "Credential"),
    ):
        value = values["variable", name]
        if ("variable", name) not in NOT_ENCRYPTED:
            value = encrypt(value)
        execute(
            connection,
            "INSERT INTO variable (name, value, type, user_id)"
            " VALUES (%s, %s, %s, gen_random_uuid())",
            (name, value, kind),
        )
    execute(
        connection,
        "INSERT INTO \"user\" (username, password, store_api_key)"
        " VALUES ('admin', 'hash', %s), ('guest', 'hash', NULL)",
        (encrypt(values["user", "admin"]),),
    )
    oauth = {
        "auth_type": "oauth",
        "oauth_client_secret": encrypt(
            values["folder", "Starter", "oauth_client_secret"]
        ),
    }
    execute(
        connection,
        "INSERT INTO folder (name, auth_settings)"
        " VALUES ('Starter', %s), ('Tools', %s), ('Empty', NULL)",
        (json.dumps(oauth), json.dumps({"auth_type": "none", "api_key": None})),
    )
    return values


def decrypt_or_plaintext(secret, value):
    """A value that does not begin as a token does is one as it stands."""
    if value is None or not value.startswith("gAAAAA"):
        return value
    plaintext = decrypted(fernet(secret).decrypt, value.encode())
    return plaintext if plaintext is UNREADABLE else plaintext.decode()


def read(connection, secret):
    values = {}
    for name, value in query(connection, "SELECT name, value FROM variable"):
        values["variable", name] = decrypt_or_plaintext(secret, value)
    for name, value in query(connection, 'SELECT username, store_api_key FROM "user"'):
        values["user", name] = decrypt_or_plaintext(secret, value)
    for name, settings in query(
        connection,
        "SELECT name, auth_settings FROM folder WHERE auth_settings IS NOT NULL",
    ):
        for field, value in settings.items():
            values["folder", name, field] = decrypt_or_plaintext(secret, value)
    return values


def shell_environment(folder):
    return {"LANGFLOW_SECRET_KEY": BEFORE, "NEW_LANGFLOW_SECRET_KEY": AFTER}
