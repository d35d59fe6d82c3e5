"""The metrics are what the database says, in the format of Prometheus."""

import re
import unittest

from sqlalchemy import text

from app import database, metrics, schema
from app.keys import Keys

from . import NEW, OLD, PSYCOPG

KEYS = Keys(f"{NEW},{OLD}")


class MetricsTest(unittest.TestCase):
    def test_format(self) -> None:
        counters = [{"datname": 'a "b"\\', **dict.fromkeys(metrics.COUNTERS, 7)}]
        rotation = {"relation": "t", "columns": ["c"], "slice": 1, "share": 0.5}
        page = metrics.render(
            KEYS, counters, [{**rotation, "rotated": 3, "failed": None}]
        )
        self.assertIn(
            'app_fernet_key_info{position="1",fingerprint="d44ded723620a7bd"} 1\n', page
        )
        self.assertIn('pg_fernet_decrypted_total{datname="a \\"b\\"\\\\"} 7\n', page)
        self.assertIn(
            'pg_fernet_rotation_share{relation="t",column="c",slice="1"} 0.5\n', page
        )
        self.assertNotIn("rotation_failed", page)
        for line in page.splitlines():
            self.assertRegex(line, r"^# (HELP|TYPE) \w+ .+$|^\w+\{.*\} [0-9.]+$")

    def test_counters_count(self) -> None:
        engine = database.engine_by_options(PSYCOPG, KEYS)
        self.addCleanup(engine.dispose)
        schema.create(engine)
        with engine.begin() as connection:
            connection.execute(text("SELECT fernet_encrypt('x')"))
        with engine.connect() as connection:
            counters = connection.execute(
                text("SELECT status FROM fernet_doctor() WHERE item = 'counters'")
            ).scalar()
            page = metrics.expose(connection, KEYS)
        self.assertIn("app_fernet_key_info", page)
        found = re.search(r"pg_fernet_encrypted_total\{[^}]*\} ([0-9]+)", page)
        if counters == "ok":
            self.assertGreater(int(found.group(1)), 0)
        else:
            # The server keeps none: no zeros, which would look like counts.
            self.assertIsNone(found)
