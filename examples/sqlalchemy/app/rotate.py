"""The job that re-encrypts every credential with the first key.

TOKEN_ENCRYPTION_KEY=new,old python3 -m app.rotate

Run it when the last process of the application has both keys and the new one in
front. It may be stopped and started again at any time. When it ends with 0, the old
key can be dropped.
"""

import argparse
import logging
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Engine

from . import database, logs
from .keys import Keys

log = logging.getLogger(__name__)

COLUMNS = [
    ("integrations.slack_connection", "bot_token_encrypted"),
    ("integrations.confluence_connection", "access_token_encrypted"),
]


def rotate(engine: Engine, batch_rows: int, pause: str) -> None:
    """Rotates and checks each column.

    Raises the error PF007 where values are left under another key, or none.
    """
    with engine.connect() as plain:
        # The procedure commits each batch itself. So it needs a direct
        # connection, not transaction pooling, and no transaction around it.
        connection = plain.execution_options(isolation_level="AUTOCOMMIT")
        driver_connection = connection.connection.dbapi_connection
        if hasattr(driver_connection, "add_notice_handler"):
            driver_connection.add_notice_handler(_log_notice)
        for relation, column in COLUMNS:
            counts = connection.execute(
                text(
                    "CALL fernet_rotate_column(CAST(:relation AS regclass), :column,"
                    " batch_rows => :batch_rows, pause => CAST(:pause AS interval))"
                ),
                {
                    "relation": relation,
                    "column": column,
                    "batch_rows": batch_rows,
                    "pause": pause,
                },
            ).one()
            fields = {"relation": relation, "column": column, **counts._mapping}
            log.info("rotated", extra={"fields": fields})
        for relation, column in COLUMNS:
            connection.execute(
                text(
                    "SELECT fernet_assert_rotated(CAST(:relation AS regclass), :column,"
                    " allow_empty => true)"
                ),
                {"relation": relation, "column": column},
            )
    log.info("every value is encrypted with the first key")


def _log_notice(diagnostic: Any) -> None:
    """Passes on the server's notices to psycopg 3: progress and failures."""
    log.info(
        "server", extra={"fields": {diagnostic.severity: diagnostic.message_primary}}
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-rows", type=int, default=5000)
    parser.add_argument("--pause", default="0", help="after each batch: '20 ms'")
    arguments = parser.parse_args()
    logs.set_up()
    engine = database.engine_by_options(
        database.database_url(), Keys.from_environment()
    )
    rotate(engine, arguments.batch_rows, arguments.pause)


if __name__ == "__main__":
    main()
