"""How Redash 10 writes and reads options: by the EncryptedType of the library
sqlalchemy-utils with its FernetEngine. Here it is that library that does it.
"""

import base64
import hashlib
import json
import warnings

import sqlalchemy
from sqlalchemy_utils.types.encrypted.encrypted_type import (
    EncryptedType,
    FernetEngine,
)
from support import decrypted

# REDASH_SECRET_KEY
BEFORE = "c292a0a3aa32397cdb050e233733900f"
AFTER = "a secret of Z\u00fcrich"

NOT_ENCRYPTED = set()


def derive(secret):
    return base64.urlsafe_b64encode(hashlib.sha256(secret.encode()).digest()).decode()


DERIVED_IN_SQL = [
    (f"SELECT fernet_key_from_sha256('{secret}')", derive(secret))
    for secret in (BEFORE, AFTER)
]


class EncryptedConfiguration(EncryptedType):
    """Redash's own type: the library's, over JSON."""

    cache_ok = True

    def process_bind_param(self, value, dialect):
        return super().process_bind_param(json.dumps(value), dialect)

    def process_result_value(self, value, dialect):
        return json.loads(super().process_result_value(value, dialect))


def connect(connection):
    """SQLAlchemy's connection to the same database."""
    name = connection.info.dbname
    engine = sqlalchemy.create_engine(
        f"postgresql+psycopg2:///{name}", poolclass=sqlalchemy.pool.NullPool
    )
    return engine.connect().execution_options(isolation_level="AUTOCOMMIT")


def table(name, secret):
    with warnings.catch_warnings():
        # That the type may be another one in a later version.
        warnings.simplefilter("ignore", DeprecationWarning)
        options = EncryptedConfiguration(sqlalchemy.Text, secret, FernetEngine)
    columns = [
        sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True),
        sqlalchemy.Column("org_id", sqlalchemy.Integer),
        sqlalchemy.Column("name", sqlalchemy.String(255)),
        sqlalchemy.Column("type", sqlalchemy.String(255)),
        sqlalchemy.Column("encrypted_options", options),
    ]
    if name == "notification_destinations":
        columns.append(sqlalchemy.Column("user_id", sqlalchemy.Integer))
    return sqlalchemy.Table(name, sqlalchemy.MetaData(), *columns)


VALUES = {
    ("data_sources", "orders"): {"host": "db", "password": "p@ss \u20ac"},
    ("data_sources", "no options"): {},
    ("notification_destinations", "chat"): {"url": "https://chat.example/x"},
}


def write(connection):
    session = connect(connection)
    for (name, row), options in VALUES.items():
        values = {"org_id": 1, "name": row, "type": "pg"}
        values["encrypted_options"] = options
        if name == "notification_destinations":
            values["user_id"] = 1
        session.execute(table(name, BEFORE).insert().values(**values))
    session.close()
    return VALUES


def read(connection, secret):
    session = connect(connection)
    values = {}
    for name, row in VALUES:
        here = table(name, secret)
        statement = sqlalchemy.select(here.c.encrypted_options)
        statement = statement.where(here.c.name == row)
        values[name, row] = decrypted(lambda: session.execute(statement).scalar_one())
    session.close()
    return values


def shell_environment(folder):
    return {"REDASH_SECRET_KEY": BEFORE, "NEW_REDASH_SECRET_KEY": AFTER}
