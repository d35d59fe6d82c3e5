"""Behind PgBouncer, in transaction pooling: each client has its own key or none."""

import os
import shutil
import subprocess
import tempfile
import threading
import time
import unittest
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.orm import Session

from app import database, models_database, schema, startup
from app.keys import Keys

from . import NEW, OLD, PSYCOPG

PROGRAM = shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin")


@unittest.skipUnless(PROGRAM, "PgBouncer is not installed")
class PgbouncerTest(unittest.TestCase):
    def setUp(self) -> None:
        engine = database.engine_by_options(PSYCOPG, Keys(OLD))
        schema.create(engine)
        with engine.connect() as connection:
            raw = connection.connection.dbapi_connection
            info = raw.info
        # Not TMPDIR: the path of a socket is limited to 107 characters.
        folder = Path(tempfile.mkdtemp(prefix="pgbouncer.", dir="/tmp"))
        self.addCleanup(shutil.rmtree, folder)
        (folder / "users").write_text(f'"{info.user}" ""\n')
        (folder / "ini").write_text(
            "[databases]\n"
            f"app = host={info.host} port={info.port} dbname={info.dbname} pool_size=1\n"
            "[pgbouncer]\n"
            "pool_mode = transaction\n"
            "listen_addr =\n"
            "listen_port = 6432\n"
            f"unix_socket_dir = {folder}\n"
            "auth_type = trust\n"
            f"auth_file = {folder}/users\n"
        )
        bouncer = subprocess.Popen(
            [PROGRAM, "-q", str(folder / "ini")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(bouncer.wait)
        # From 1.23 on, it would wait for its clients after SIGTERM.
        self.addCleanup(bouncer.kill)
        for _ in range(200):
            if (folder / ".s.PGSQL.6432").exists():
                break
            time.sleep(0.05)
        self.url = f"{PSYCOPG}{info.user}@/app?host={folder}&port=6432"

    def test_two_clients_on_one_server_connection(self) -> None:
        """Each writes under its key and reads its own, while the other does, too."""
        failures: list[BaseException] = []
        pids: set[int] = set()

        def client(name: str, key: str) -> None:
            try:
                keys = Keys(key)
                engine = database.engine_by_transaction(self.url, keys)
                startup.check_database(engine, keys, production=True)
                model = models_database.SlackConnection
                with Session(engine) as session:
                    for number in range(50):
                        row = model(name=f"{name} {number}", bot_token=f"xoxb-{name}")
                        session.add(row)
                        session.commit()
                        assert row.bot_token == f"xoxb-{name}"
                        pids.add(session.execute(text("SELECT pg_backend_pid()")).scalar())
                        session.commit()
                engine.dispose()
            except BaseException as error:
                failures.append(error)

        threads = [
            threading.Thread(target=client, args=arguments)
            for arguments in (("red", OLD), ("blue", NEW))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertEqual(len(pids), 1)

        # Who gives no key gets none from those before him.
        with database.engine_without_key(self.url).connect() as connection:
            count = text("SELECT count(*), pg_backend_pid() FROM fernet_keys()")
            self.assertEqual(connection.execute(count).one(), (0, pids.pop()))
