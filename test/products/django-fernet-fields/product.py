"""How django-fernet-fields 0.6 writes and reads a field.

Every secret of FERNET_KEYS, or SECRET_KEY alone, goes through HKDF with a fixed
salt. The first encrypts. A field is the ASCII of the token in a bytea column,
whatever its type in Python.
"""

import base64
import datetime

import psycopg2
from cryptography.hazmat.backends import default_backend
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from support import UNREADABLE, decrypted, execute, multi_fernet, query

# FERNET_KEYS
BEFORE = ["secret"]
DURING = ["another secret", "secret"]
AFTER = ["another secret"]

NOT_ENCRYPTED = {("no limit", "credit_limit"), ("no limit", "born")}

TYPES = {
    "card_number": str,
    "credit_limit": int,
    "born": datetime.date.fromisoformat,
}


def derive_key(
    secret, salt=b"django-fernet-fields-hkdf-salt", info=b"django-fernet-fields"
):
    derivation = HKDF(
        algorithm=hashes.SHA256(),
        length=32,
        salt=salt,
        info=info,
        backend=default_backend(),
    )
    return base64.urlsafe_b64encode(derivation.derive(secret.encode()))


DERIVED_IN_SQL = [
    (
        f"SELECT fernet_key_from_hkdf('{secret}',"
        " 'django-fernet-fields-hkdf-salt', 'django-fernet-fields')",
        derive_key(secret).decode(),
    )
    for secret in DURING
]

# djfernet before 0.8
DERIVED_IN_SQL.append(
    (
        "SELECT fernet_key_from_hkdf('secret', 'djfernet-hkdf-salt', 'djfernet')",
        derive_key("secret", b"djfernet-hkdf-salt", b"djfernet").decode(),
    )
)


def fernet(secrets):
    return multi_fernet([derive_key(secret) for secret in secrets])


def stored(secrets, value):
    if value is None:
        return None
    return psycopg2.Binary(fernet(secrets).encrypt(str(value).encode()))


def save(connection, secrets, name, *fields):
    execute(
        connection,
        "INSERT INTO shop_customer (name, card_number, credit_limit, born)"
        " VALUES (%s, %s, %s, %s)",
        (name, *[stored(secrets, value) for value in fields]),
    )
    return {(name, field): value for field, value in zip(TYPES, fields)}


def write(connection):
    born = datetime.date(1990, 2, 28)
    return {
        **save(connection, BEFORE, "customer 1", "4111 1111", 500, born),
        **save(connection, BEFORE, "no limit", "5500 0000", None, None),
        **save(connection, DURING, "customer 3", "Z\u00fcrich", 0, born),
    }


def read(connection, secrets):
    values = {}
    for name, *fields in query(
        connection, "SELECT name, card_number, credit_limit, born FROM shop_customer"
    ):
        for (field, to_python), value in zip(TYPES.items(), fields):
            if value is not None:
                value = decrypted(fernet(secrets).decrypt, bytes(value))
                if value is not UNREADABLE:
                    value = to_python(value.decode())
            values[name, field] = value
    return values


def shell_environment(folder):
    return {"SECRET_KEY": BEFORE[0], "NEW_SECRET_KEY": AFTER[0]}
