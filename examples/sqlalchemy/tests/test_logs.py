"""No secret gets into the log, whatever goes wrong."""

import io
import json
import logging
import unittest

from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app import database, logs, models_database, models_python, schema
from app.keys import Keys

from . import NEW, OLD, PSYCOPG, PSYCOPG2, keep_logging

KEYS = Keys(OLD)
PLAINTEXT = "xoxb-plaintext-of-the-test"


class LogsTest(unittest.TestCase):
    def setUp(self) -> None:
        keep_logging(self)
        self.stream = io.StringIO()
        logs.set_up(self.stream, log_sql=True)

    def entries(self) -> list[dict]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    def secrets_in_log(self) -> list[str]:
        log = self.stream.getvalue()
        return [text for text in (OLD[:20], PLAINTEXT, "gAAAAA") if text in log]

    def engines(self) -> list[Engine]:
        return [
            database.engine_by_options(PSYCOPG, KEYS),
            database.engine_by_options(PSYCOPG2, KEYS),
            database.engine_by_transaction(PSYCOPG, KEYS),
        ]

    def test_statements_and_pool(self) -> None:
        for engine in self.engines():
            schema.create(engine)
            for models in (models_python, models_database):
                with Session(engine) as session:
                    row = models.SlackConnection(name=models.__name__)
                    row.bot_token = PLAINTEXT
                    session.add(row)
                    session.commit()
                    self.assertEqual(row.bot_token, PLAINTEXT)
                    # The pool logs the connection that it gives up.
                    session.connection().invalidate()
            engine.dispose()
        self.assertEqual(self.secrets_in_log(), [])
        messages = " ".join(entry["message"] for entry in self.entries())
        for part in ("INSERT INTO", "SQL parameters hidden", "Created new connection"):
            self.assertIn(part, messages)

    def test_errors(self) -> None:
        """Also where the exception itself shows the plaintext."""
        for engine in self.engines():
            schema.create(engine)
            with engine.begin() as connection:
                connection.execute(
                    text(
                        "ALTER TABLE integrations.slack_connection"
                        " ADD note text CHECK (note <> '" + PLAINTEXT + "')"
                    )
                )
            self.stream.truncate(0)
            self.stream.seek(0)
            shown = ""
            with Session(engine) as session:
                try:
                    session.execute(
                        text(
                            "INSERT INTO integrations.slack_connection (name, note)"
                            " VALUES ('red', :note)"
                        ),
                        {"note": PLAINTEXT},
                    )
                except DBAPIError as error:
                    logging.exception("request failed")
                    shown = str(error)
            self.assertIn(PLAINTEXT, shown)
            self.assertEqual(self.secrets_in_log(), [])
            error = next(e["error"] for e in self.entries() if "error" in e)
            self.assertEqual(error["type"], "IntegrityError")
            self.assertEqual(error["sqlstate"], "23514")
            self.assertRegex(error["where"], r"^test_logs.py:\d+ in test_errors$")

    def test_errors_of_pg_fernet_keep_their_message(self) -> None:
        engine = self.engines()[0]
        schema.create(engine)
        with Session(engine) as session:
            session.add(models_database.SlackConnection(name="x", bot_token=PLAINTEXT))
            session.commit()
        for driver in (PSYCOPG, PSYCOPG2):
            stranger = database.engine_by_options(driver, Keys(NEW))
            with Session(stranger) as session:
                with self.assertRaises(DBAPIError) as caught:
                    session.query(models_database.SlackConnection).all()
            logging.error("request failed", exc_info=caught.exception)
            error = self.entries()[-1]["error"]
            self.assertEqual(error["sqlstate"], "PF004")
            self.assertEqual(
                error["message"], 'no key in "fernet.key" opens this token'
            )
        self.assertEqual(self.secrets_in_log(), [])

    def test_what_is_prevented(self) -> None:
        """An engine as it comes would show both: these tests can fail."""
        for driver, leaks in ((PSYCOPG, [PLAINTEXT]), (PSYCOPG2, [OLD[:20], PLAINTEXT])):
            self.stream.truncate(0)
            self.stream.seek(0)
            engine = create_engine(
                driver,
                connect_args={"options": f"-c fernet.key={OLD}"},
                future=True,
            )
            with engine.connect() as connection:
                connection.execute(
                    text("SELECT fernet_encrypt(CAST(:x AS text))"), {"x": PLAINTEXT}
                )
            self.assertEqual(self.secrets_in_log(), leaks)
