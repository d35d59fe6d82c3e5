"""How Open WebUI writes and reads the tokens of OAuth sessions.

The key is the setting itself when that has 44 characters, else its SHA-256.
"""

import base64
import hashlib
import json
import uuid

from cryptography.fernet import Fernet
from support import NEW_KEY, UNREADABLE, decrypted, execute, query

# OAUTH_SESSION_TOKEN_ENCRYPTION_KEY, or WEBUI_SECRET_KEY
BEFORE = "t0p-s3cr3t"
AFTER = NEW_KEY

NOT_ENCRYPTED = set()


def fernet(setting):
    if len(setting) != 44:
        digest = hashlib.sha256(setting.encode()).digest()
        return Fernet(base64.urlsafe_b64encode(digest))
    return Fernet(setting.encode())


DERIVED_IN_SQL = [
    (
        f"SELECT fernet_key_from_sha256('{BEFORE}')",
        base64.urlsafe_b64encode(hashlib.sha256(BEFORE.encode()).digest()).decode(),
    )
]


def write(connection):
    values = {}
    for user in ("ada", "bela"):
        token = {"access_token": f"at-{user}", "id_token": "x" * 2000}
        execute(
            connection,
            "INSERT INTO oauth_session VALUES (%s, %s, 'oidc', %s, 0, 0, 0)",
            (
                str(uuid.uuid4()),
                user,
                fernet(BEFORE).encrypt(json.dumps(token).encode()).decode(),
            ),
        )
        values[user] = token
    return values


def read(connection, setting):
    """Where this finds an UNREADABLE, Open WebUI deletes the row."""
    values = {}
    for user, token in query(connection, "SELECT user_id, token FROM oauth_session"):
        plaintext = decrypted(fernet(setting).decrypt, token.encode())
        values[user] = (
            plaintext if plaintext is UNREADABLE else json.loads(plaintext.decode())
        )
    return values


def shell_environment(folder):
    return {"WEBUI_SECRET_KEY": BEFORE, "NEW_WEBUI_SECRET_KEY": AFTER}
