"""An application that keeps tokens in documents, after a prefix, in arrays, and
in an archive of its own.
"""

import json

from support import (
    NEW_KEY,
    OLD_KEY,
    UNREADABLE,
    decrypted,
    execute,
    multi_fernet,
    query,
)

BEFORE = OLD_KEY
AFTER = NEW_KEY

NOT_ENCRYPTED = {("account", 4)}

PREFIX = "v1:"


def encrypt(value):
    return multi_fernet([BEFORE]).encrypt(value.encode()).decode()


def write(connection):
    values = {}
    for n in range(1, 3):
        secrets = [f"{name} {n}" for name in ("access", "refresh")]
        codes = [f"code {n}.1", f"code {n}.2"]
        config = {
            "access_token": encrypt(secrets[0]),
            "oauth": [{"refresh_token": encrypt(secrets[1])}],
            "url": "https://a.example",
        }
        execute(
            connection,
            "INSERT INTO integration VALUES (%s, %s, %s, to_tsvector('a b'))",
            (n, json.dumps(config), list(map(encrypt, codes))),
        )
        execute(
            connection,
            "INSERT INTO archive.integration (id, config)"
            " SELECT id, config FROM integration WHERE id = %s",
            (n,),
        )
        values["integration", n] = secrets + codes
        values["archive", n] = secrets
    for n in range(1, 4):
        values["account", n] = f"webhook {n}"
        execute(
            connection,
            "INSERT INTO account VALUES (%s, %s)",
            (n, PREFIX + encrypt(values["account", n])),
        )
    values["account", 4] = "plaintext"
    execute(connection, "INSERT INTO account VALUES (4, 'plaintext')")
    return values


def read_all(key, tokens):
    plaintexts = [
        decrypted(multi_fernet([key]).decrypt, token.encode()) for token in tokens
    ]
    if UNREADABLE in plaintexts:
        return UNREADABLE
    return [plaintext.decode() for plaintext in plaintexts]


def tokens_of(config):
    return [config["access_token"], config["oauth"][0]["refresh_token"]]


def read(connection, key):
    values = {}
    for n, config, codes in query(
        connection, "SELECT id, config, backup_codes FROM integration"
    ):
        values["integration", n] = read_all(key, tokens_of(config) + codes)
    for n, config in query(connection, "SELECT id, config FROM archive.integration"):
        values["archive", n] = read_all(key, tokens_of(config))
    for n, webhook in query(connection, "SELECT id, webhook FROM account"):
        if webhook.startswith(PREFIX):
            read_value = read_all(key, [webhook.removeprefix(PREFIX)])
            webhook = read_value if read_value is UNREADABLE else read_value[0]
        values["account", n] = webhook
    return values


def shell_environment(folder):
    return {"OLD_KEY": OLD_KEY, "NEW_KEY": NEW_KEY}
