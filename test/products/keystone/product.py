"""How Keystone 22 writes and reads credentials.

Each key is a file with a number: the highest is the primary, 0 the next primary,
and a well-known null key comes last. A row has the SHA-1 of the text of the key
that it is under.
"""

import hashlib
import json

from support import (
    NEW_KEY,
    OLD_KEY,
    OTHER_KEY,
    UNREADABLE,
    decrypted,
    execute,
    multi_fernet,
    query,
)

NULL_KEY = "A" * 43 + "="

# Files of the key repository. The staged key is left out of BEFORE: it is the
# new key, with which Keystone could read what has been rotated.
BEFORE = {1: OLD_KEY}
DURING = {0: OTHER_KEY, 1: OLD_KEY, 2: NEW_KEY}
AFTER = {0: OTHER_KEY, 2: NEW_KEY}

NOT_ENCRYPTED = set()


def load_keys(repository):
    numbers = sorted(repository, reverse=True)
    return [repository[number] for number in numbers] + [NULL_KEY]


def key_hash(keys):
    return hashlib.sha1(keys[0].encode()).hexdigest()


def create(connection, repository, credential_id, user_id, kind, blob):
    keys = load_keys(repository)
    text = json.dumps(blob) if kind == "ec2" else blob
    token = multi_fernet(keys).encrypt(text.encode()).decode()
    execute(
        connection,
        "INSERT INTO credential (id, user_id, type, extra, key_hash,"
        " encrypted_blob) VALUES (%s, %s, %s, '{}', %s, %s)",
        (credential_id, user_id, kind, key_hash(keys), token),
    )
    return {("credential", credential_id): blob}


def write(connection):
    ec2 = {"access": "a1b2", "secret": "c3d4"}
    return {
        **create(connection, {}, "0a", "alice", "totp", "GEZDGNBVGY3TQOJQ"),
        **create(connection, BEFORE, "1b", "bob", "ec2", ec2),
        **create(connection, BEFORE, "2c", "bob", "cert", "Z\u00fcrich"),
        **create(connection, DURING, "3d", "carol", "totp", "MFRGGZDFMZTWQ2LK"),
    }


def read(connection, repository):
    keys = load_keys(repository)
    values = {}
    for credential_id, kind, token in query(
        connection, "SELECT id, type, encrypted_blob FROM credential"
    ):
        blob = decrypted(multi_fernet(keys).decrypt, token.encode())
        if blob is not UNREADABLE:
            blob = blob.decode()
            blob = json.loads(blob) if kind == "ec2" else blob
        values["credential", credential_id] = blob
    return values


def check_after(connection):
    """What credential_rotate asks of each row before it takes a key away."""
    hashes = query(connection, "SELECT DISTINCT key_hash FROM credential")
    if hashes != [(key_hash(load_keys(AFTER)),)]:
        raise SystemExit("credential_rotate would refuse: key_hash is not the primary's")


def shell_environment(folder):
    repository = folder / "credential-keys"
    repository.mkdir()
    for number, key in DURING.items():
        (repository / str(number)).write_text(key)
    return {"KEY_REPOSITORY": str(repository)}
