"""Engines whose sessions have the key, in the two ways that keep it out of logs."""

import os
from typing import Any

from sqlalchemy import create_engine, event
from sqlalchemy.engine import Connection, Engine, make_url

from . import psycopg_for_sqlalchemy_1
from .keys import Keys

psycopg_for_sqlalchemy_1.register()


def database_url() -> str:
    """DATABASE_URL, or what libpq's own variables (PGHOST and so on) say."""
    return os.environ.get("DATABASE_URL", "postgresql+psycopg://")


def engine_without_key(url: str, **options: Any) -> Engine:
    """For version (a), whose keys never leave Python."""
    return _engine(url, {}, options)


def engine_by_options(
    url: str, keys: Keys, index_keys: Keys | None = None, **options: Any
) -> Engine:
    """The best way: the key in the startup packet of each connection.

    No statement carries it, and it survives RESET and DISCARD ALL. PgBouncer
    refuses it, and logs it: there, use engine_by_transaction().
    """
    settings = f"-c fernet.key={keys.setting}"
    if index_keys is not None:
        settings += f" -c fernet.index_key={index_keys.setting}"
    return _engine(url, {"options": settings}, options)


def engine_by_transaction(
    url: str, keys: Keys, index_keys: Keys | None = None, **options: Any
) -> Engine:
    """For transaction pooling: gives the key to each transaction.

    It is gone at the end of the transaction, so whoever gets the server connection
    next does not have it. psycopg 3 sends it as a bind parameter; psycopg2 would
    write it into the statement.
    """
    if make_url(url).get_driver_name() != "psycopg":
        raise ValueError("the key by transaction needs psycopg 3: postgresql+psycopg://")
    # Only one server connection knows a prepared statement, and PgBouncer
    # before 1.21 may give the next transaction another connection.
    engine = _engine(url, {"prepare_threshold": None}, options)

    @event.listens_for(engine, "begin")
    def give_key(connection: Connection) -> None:
        # A cursor of the driver, because every listener to SQLAlchemy's events,
        # such as a tracing tool, sees what goes through SQLAlchemy.
        with connection.connection.cursor() as cursor:
            cursor.execute("SELECT set_config('fernet.key', %s, true)", [keys.setting])
            if index_keys is not None:
                cursor.execute(
                    "SELECT set_config('fernet.index_key', %s, true)", [index_keys.setting]
                )

    return engine


def _engine(url: str, connect_args: dict[str, Any], options: dict[str, Any]) -> Engine:
    if make_url(url).get_driver_name() == "psycopg2":
        connect_args = connect_args | {"connection_factory": _quiet_connection()}
    # Errors and the log of statements must not show bind parameters: in version
    # (b) these are plaintexts.
    return create_engine(
        url, connect_args=connect_args, hide_parameters=True, future=True, **options
    )


def _quiet_connection() -> type:
    """A connection of psycopg2 that does not print its options, the key among them.

    The pool of SQLAlchemy logs connections, and one that breaks as an error.
    """
    from psycopg2.extensions import connection

    class QuietConnection(connection):
        def __repr__(self) -> str:
            return f"<connection {id(self):#x}, closed: {self.closed}>"

        __str__ = __repr__

    return QuietConnection
