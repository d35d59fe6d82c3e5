"""How JupyterHub 3.0 writes and reads auth_state.

JUPYTERHUB_CRYPT_KEY is a list with semicolons, the first encrypts. Each key is
44 characters of base64, 64 of hexadecimal, or 32 bytes as they are.
"""

import base64
import binascii
import json

import psycopg2
from support import NEW_KEY, OLD_KEY, UNREADABLE, decrypted, execute, multi_fernet, query

HEX_KEY = base64.urlsafe_b64decode(OLD_KEY).hex()
RAW_KEY = "test key of 32 bytes, do not use"

BEFORE = f"{HEX_KEY};{RAW_KEY}"
DURING = f"{NEW_KEY};{BEFORE}"
AFTER = NEW_KEY

NOT_ENCRYPTED = {"never logged in"}


def raw_key(text):
    key = text.encode("ascii")
    if len(key) == 44:
        key = base64.urlsafe_b64decode(key)
    elif len(key) == 64:
        key = binascii.a2b_hex(key)
    if len(key) != 32:
        raise ValueError("a key has 32 bytes, in hexadecimal, base64 or as they are")
    return key


def fernet(setting):
    keys = [raw_key(text) for text in setting.split(";") if text.strip()]
    return multi_fernet([base64.urlsafe_b64encode(key) for key in keys])


def save(connection, setting, name, state):
    stored = None
    if state is not None:
        token = fernet(setting).encrypt(json.dumps(state).encode("utf8"))
        stored = psycopg2.Binary(token)
    execute(
        connection,
        "INSERT INTO users (name, cookie_id, encrypted_auth_state)"
        " VALUES (%s, %s, %s)",
        (name, name, stored),
    )
    return {name: state}


def write(connection):
    state = {"access_token": "at-1234", "github_user": {"login": "Zo\u00eb"}}
    return {
        **save(connection, RAW_KEY, "long ago", state),
        **save(connection, BEFORE, "last year", {**state, "n": 2}),
        **save(connection, DURING, "today", {**state, "n": 3}),
        **save(connection, BEFORE, "never logged in", None),
    }


def read(connection, setting):
    values = {}
    for name, stored in query(
        connection, "SELECT name, encrypted_auth_state FROM users"
    ):
        if stored is None:
            values[name] = None
            continue
        plaintext = decrypted(fernet(setting).decrypt, bytes(stored))
        values[name] = (
            plaintext
            if plaintext is UNREADABLE
            else json.loads(plaintext.decode("utf8"))
        )
    return values


def shell_environment(folder):
    return {"JUPYTERHUB_CRYPT_KEY": BEFORE, "NEW_KEY": NEW_KEY}
