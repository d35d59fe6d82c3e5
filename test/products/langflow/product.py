"""How Langflow 1.10 writes and reads variables, keys of its store and its API,
and the settings of MCP projects and servers.

From a secret of less than 32 characters the key is derived: with SHA-256 since
1.10.1; before, it seeded Python's random, which gave the key. A longer one is
the key itself, after it got more "=".
"""

import base64
import hashlib
import json
import random

from cryptography.fernet import Fernet, MultiFernet
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


# Each of these columns has one token, in a row of this name.
PLAIN_COLUMNS = {
    "apikey": "api_key",
    "deployment_provider_account": "api_key",
    "connection_secret": "encrypted_payload",
    "trigger": "signing_secret_encrypted",
}


def fernet_before(secret):
    source = random.Random(secret)
    key = bytes(source.getrandbits(8) for _ in range(32))
    return Fernet(base64.urlsafe_b64encode(key))


def fernet(secret):
    if len(secret) < 32:
        key = hashlib.sha256(secret.encode()).digest()
        derived = Fernet(base64.urlsafe_b64encode(key))
        return MultiFernet([derived, fernet_before(secret)])
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
        ("mcp_server", "env"): "mcp-9012",
        ("mcp_server", "header"): "mcp-3456",
        **{(table, "it"): f"secret of {table}" for table in PLAIN_COLUMNS},
    }
    for name, kind in (
        ("OPENAI_API_KEY", "Credential"),
        ("GREETING", "Generic"),
        ("OLD_GENERIC", "Generic"),
        ("UNSET", "Credential"),
    ):
        value = values["variable", name]
        if name == "OLD_GENERIC":
            value = fernet_before(BEFORE).encrypt(value.encode()).decode()
        elif ("variable", name) not in NOT_ENCRYPTED:
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
    for table, column in PLAIN_COLUMNS.items():
        more = {"apikey": ", user_id"}.get(table, "")
        execute(
            connection,
            f"INSERT INTO {table} (name, {column}{more}) VALUES ('it', %s"
            + (", gen_random_uuid())" if more else ")"),
            (encrypt(values[table, "it"]),),
        )
    config = {
        "command": "uvx",
        "env": {"TOKEN": encrypt(values["mcp_server", "env"])},
        "headers": [["X-Key", encrypt(values["mcp_server", "header"])]],
    }
    execute(
        connection,
        "INSERT INTO mcp_server (name, config) VALUES ('it', %s)",
        (json.dumps(config),),
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
    for table, column in PLAIN_COLUMNS.items():
        for name, value in query(connection, f"SELECT name, {column} FROM {table}"):
            values[table, name] = decrypt_or_plaintext(secret, value)
    for (config,) in query(connection, "SELECT config FROM mcp_server"):
        values["mcp_server", "env"] = decrypt_or_plaintext(
            secret, config["env"]["TOKEN"]
        )
        values["mcp_server", "header"] = decrypt_or_plaintext(
            secret, config["headers"][0][1]
        )
    return values


DERIVED_IN_SQL = [
    (
        f"SELECT fernet_key_from_sha256('{BEFORE}')",
        base64.urlsafe_b64encode(hashlib.sha256(BEFORE.encode()).digest()).decode(),
    )
]


def shell_environment(folder):
    return {"LANGFLOW_SECRET_KEY": BEFORE, "NEW_LANGFLOW_SECRET_KEY": AFTER}
