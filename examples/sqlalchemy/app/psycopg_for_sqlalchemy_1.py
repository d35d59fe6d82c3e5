"""psycopg 3 for SQLAlchemy 1.4, which knows psycopg2 only.

SQLAlchemy 2.0 has a dialect of its own for it, and then nothing here is used. What
this one can do is what this example needs: text, numbers and transactions. Do not
take it for more; move to 2.0.
"""

from typing import Any

import sqlalchemy
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.engine import URL


class PsycopgDialect(PGDialect):
    driver = "psycopg"
    default_paramstyle = "pyformat"
    supports_statement_cache = True

    @classmethod
    def dbapi(cls) -> Any:
        import psycopg

        return psycopg

    def create_connect_args(self, url: URL) -> tuple[list, dict[str, Any]]:
        options = url.translate_connect_args(username="user", database="dbname")
        return [], {**options, **url.query}

    def set_isolation_level(self, dbapi_connection: Any, level: str) -> None:
        name = level.replace(" ", "_")
        dbapi_connection.autocommit = name == "AUTOCOMMIT"
        if name != "AUTOCOMMIT":
            dbapi_connection.isolation_level = self.dbapi.IsolationLevel[name]

    def is_disconnect(self, error: Any, connection: Any, cursor: Any) -> bool:
        return connection is not None and bool(connection.closed)


def register() -> None:
    """Makes "postgresql+psycopg://" known, unless SQLAlchemy knows it."""
    if sqlalchemy.__version__.startswith("1."):
        registry.register("postgresql.psycopg", __name__, "PsycopgDialect")
