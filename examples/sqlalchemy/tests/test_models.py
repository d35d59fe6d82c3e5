"""Both versions on one table, with each driver and each way to give the key."""

import unittest
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from app import database, models_database, models_python, schema
from app.keys import Keys

from . import OLD, PSYCOPG, PSYCOPG2

KEYS = Keys(OLD)

ENGINES = {
    "psycopg 3, options": lambda: database.engine_by_options(PSYCOPG, KEYS),
    "psycopg 3, transaction": lambda: database.engine_by_transaction(PSYCOPG, KEYS),
    "psycopg2, options": lambda: database.engine_by_options(PSYCOPG2, KEYS),
}

ATTRIBUTES = {
    "SlackConnection": "bot_token",
    "ConfluenceConnection": "access_token",
}


class ModelsTest(unittest.TestCase):
    def engines(self) -> Any:
        """Each engine in a subtest of its own, with empty tables."""
        for name, make in ENGINES.items():
            with self.subTest(name):
                engine = make()
                schema.create(engine)
                yield engine
                engine.dispose()

    def assert_stored_as_token(self, engine: Engine) -> None:
        with engine.connect() as connection:
            stored = connection.execute(
                text(
                    "SELECT bot_token_encrypted FROM integrations.slack_connection"
                    " UNION ALL"
                    " SELECT access_token_encrypted"
                    " FROM integrations.confluence_connection"
                )
            ).scalars()
            self.assertTrue(all(token.startswith("gAAAAA") for token in stored))

    def test_each_version_reads_what_the_other_writes(self) -> None:
        versions = [models_python, models_database]
        for engine in self.engines():
            for writer, reader in (versions, versions[::-1]):
                for model, attribute in ATTRIBUTES.items():
                    with Session(engine) as session:
                        written = getattr(writer, model)(name=f"{model} {writer}")
                        setattr(written, attribute, "p\u00e4ssword '%s' \\ % :x")
                        session.add(written)
                        session.commit()
                        read = session.get(getattr(reader, model), written.id)
                        self.assertEqual(
                            getattr(read, attribute), "p\u00e4ssword '%s' \\ % :x"
                        )
                        setattr(read, attribute, "changed")
                        session.commit()
                        self.assertEqual(getattr(written, attribute), "changed")
            self.assert_stored_as_token(engine)

    def test_null_is_null(self) -> None:
        for engine in self.engines():
            for models in (models_python, models_database):
                with Session(engine) as session:
                    row = models.SlackConnection(name=models.__name__, bot_token=None)
                    session.add(row)
                    session.commit()
                    self.assertIsNone(row.bot_token)
            model = models_database.SlackConnection
            with Session(engine) as session:
                rows = session.query(model)
                self.assertEqual(rows.filter(model.bot_token.is_(None)).count(), 2)
                self.assertEqual(rows.filter_by(bot_token=None).count(), 2)
                self.assertEqual(rows.filter(model.bot_token.is_not(None)).count(), 0)

    def test_a_search_for_a_plaintext_is_an_error(self) -> None:
        column = models_database.SlackConnection.bot_token
        for make in (
            lambda: column == "xoxb",
            lambda: column.in_(["xoxb"]),
            lambda: column.like("xoxb%"),
            lambda: column.desc(),
        ):
            with self.assertRaisesRegex(TypeError, "search by another column"):
                make()

    def test_what_the_statements_show(self) -> None:
        """psycopg2 writes plaintexts into them, where the server may log them.

        So version (b) is for psycopg 3. Other sessions see the last statement.
        """
        for engine in self.engines():
            with engine.connect() as watcher, Session(engine) as session:
                pid = session.execute(text("SELECT pg_backend_pid()")).scalar()
                row = models_database.SlackConnection(name="x", bot_token="xoxb-1")
                session.add(row)
                session.flush()
                statement = watcher.execute(
                    text("SELECT query FROM pg_stat_activity WHERE pid = :pid"),
                    {"pid": pid},
                ).scalar()
                self.assertIn("INSERT INTO", statement)
                self.assertEqual("xoxb-1" in statement, engine.driver == "psycopg2")

    def test_the_key_of_a_transaction_ends_with_it(self) -> None:
        engine = database.engine_by_transaction(PSYCOPG, KEYS)
        count = text("SELECT count(*) FROM fernet_keys()")
        with engine.connect() as connection:
            for end in (connection.commit, connection.rollback):
                self.assertEqual(connection.execute(count).scalar(), 1)
                with connection.connection.cursor() as cursor:
                    end()
                    cursor.execute("SELECT count(*) FROM fernet_keys()")
                    self.assertEqual(cursor.fetchone()[0], 0)
                connection.connection.rollback()

    def test_psycopg2_is_refused_where_it_would_write_the_key_into_a_statement(
        self,
    ) -> None:
        with self.assertRaisesRegex(ValueError, "needs psycopg 3"):
            database.engine_by_transaction(PSYCOPG2, KEYS)
