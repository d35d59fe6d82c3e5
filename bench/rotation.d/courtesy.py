"""Measures how a rotation treats the application beside it.

usage: courtesy.py ROWS ROUNDS

On the server that the environment names; bench/rotation starts it. Each figure
is a ratio of two runs of the same round, and what is printed is the median of
the rounds.
"""

import os
import random
import statistics
import sys
import threading
import time

from measuring import NEW_KEY, OLD_KEY, connect, execute, judge, query, timed

CLIENTS = 4
BATCH_ROWS = 5000
LARGE_ROWS = 40  # of a batch of large values: 8 MB
LARGEST = 9 * 1024 * 1024  # of new values in a transaction: 8 MB and one value
TOKENS = "SELECT i, fernet_encrypt('x' || i) FROM generate_series({}, {}) AS i"


def filled(table, *statements):
    """A table of tokens encrypted with the old key."""
    connection = connect(OLD_KEY)
    execute(
        connection,
        f"DROP TABLE IF EXISTS {table} CASCADE",
        f"CREATE TABLE {table} (id integer, token text, n integer DEFAULT 0)",
        f"ALTER TABLE {table} ALTER token SET STORAGE EXTERNAL",
        *[f"INSERT INTO {table} (id, token) {rows}" for rows in statements],
        f"CREATE INDEX ON {table} (id)",
        f"VACUUM ANALYZE {table}",
        "CHECKPOINT",
    )
    connection.close()


def add_index():
    return ["CREATE INDEX ON t (token)"]


def add_trigger():
    return [
        "CREATE TABLE IF NOT EXISTS audit (id integer, at timestamptz)",
        "CREATE OR REPLACE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN INSERT INTO audit VALUES (NEW.id, now()); RETURN NEW; END $$",
        "CREATE TRIGGER note AFTER UPDATE OF token ON t "
        "FOR EACH ROW EXECUTE FUNCTION note()",
    ]


def scenarios(rows):
    """The name of each, its rows, what is added, and the rows of a batch."""
    sparse = (
        "SELECT i, CASE WHEN i % 2000 = 0 THEN fernet_encrypt('x') END "
        f"FROM generate_series(1, {rows // 2}) AS i"
    )
    large = max(rows // 1000, 100)
    return [
        ("uniform", [TOKENS.format(1, rows)], [], BATCH_ROWS),
        (
            "sparse, then dense",
            [sparse, TOKENS.format(rows // 2 + 1, rows + rows // 2)],
            [],
            BATCH_ROWS,
        ),
        (
            "values of 267 kB",
            [
                "SELECT i, fernet_encrypt(repeat('x', 200000)) "
                f"FROM generate_series(1, {large}) AS i"
            ],
            [],
            LARGE_ROWS,
        ),
        ("AFTER trigger", [TOKENS.format(1, rows // 2)], add_trigger(), BATCH_ROWS),
        ("second index", [TOKENS.format(1, rows)], add_index(), BATCH_ROWS),
    ]


class Application:
    """Clients that update random rows, one at a time, and remember the longest
    time that an UPDATE took."""

    def __init__(self, last):
        self.longest = 0.0
        self.last = last
        self.stopped = False
        self.threads = [threading.Thread(target=self.run) for _ in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def run(self):
        connection = connect(NEW_KEY, OLD_KEY)
        with connection.cursor() as cursor:
            while not self.stopped:
                started = time.perf_counter()
                cursor.execute(
                    "UPDATE t SET n = n + 1 WHERE id = %s",
                    [random.randint(1, self.last)],
                )
                self.longest = max(self.longest, time.perf_counter() - started)
        connection.close()

    def stop(self):
        self.stopped = True
        for thread in self.threads:
            thread.join()
        return self.longest


def update_plainly(connection, last, batch):
    """The UPDATEs in batches that an application would write."""
    for first in range(1, last + 1, batch):
        execute(
            connection,
            "UPDATE t SET token = reverse(token) WHERE token IS NOT NULL "
            f"AND id >= {first} AND id < {first + batch}",
        )


def require_bounds(connection):
    """Ends the benchmark if a transaction of the rotation was too large. The
    subtransactions of one have the time of its commit."""
    rows, size = query(
        connection,
        "SELECT max(n), max(size) FROM (SELECT count(*) AS n, "
        "sum(length(token)) AS size FROM t WHERE fernet_key_index(token) = 1 "
        "GROUP BY pg_xact_commit_timestamp(xmin)) AS of_one",
    )
    if rows > BATCH_ROWS or size > LARGEST:
        sys.exit(f"a transaction has written {rows} rows, {size} bytes")


def longest_wait(scenario, rotates):
    _, rows, more, batch = scenario
    filled("t", *rows)
    connection = connect(NEW_KEY, OLD_KEY)
    execute(connection, *more)
    (last,) = query(connection, "SELECT max(id) FROM t")
    application = Application(last)
    time.sleep(0.5)
    if rotates:
        counts = query(connection, "CALL fernet_rotate_column('t', 'token')")
        assert counts[2] == 0, counts
    else:
        update_plainly(connection, last, batch)
    longest = application.stop()
    if rotates:
        require_bounds(connection)
    connection.close()
    return longest


def print_waits(rows, rounds):
    print(
        "\nlongest wait of an application's UPDATE, beside the rotation and "
        f"beside plain UPDATEs in batches; {CLIENTS} clients\n"
    )
    for scenario in scenarios(rows):
        pairs = [
            (longest_wait(scenario, True), longest_wait(scenario, False))
            for _ in range(rounds)
        ]
        ours = statistics.median(pair[0] for pair in pairs)
        plain = statistics.median(pair[1] for pair in pairs)
        ratio = statistics.median(pair[0] / pair[1] for pair in pairs)
        print(
            f"  {scenario[0]:<22}{ours * 1000:>9.0f} ms{plain * 1000:>9.0f} ms"
            f"{ratio:>8.2f}"
        )
        sys.stdout.flush()


def rotate_seconds(rows, is_locked):
    """The seconds of a rotation beside which one row is locked, or none is. The
    time for which it waits for that row is set to a tenth of a second."""
    filled("t", TOKENS.format(1, rows))
    locker = connect()
    locker.autocommit = False
    if is_locked:
        query(locker, f"SELECT id FROM t WHERE id = {rows // 2} FOR UPDATE")
    connection = connect(NEW_KEY, OLD_KEY)
    execute(connection, "SET lock_timeout = '100ms'")
    call = "CALL fernet_rotate_column('t', 'token')"
    if not is_locked:
        seconds, counts = timed(connection, call)
        assert counts == (rows, 0, 0), counts
    else:
        started = time.perf_counter()
        try:
            query(connection, call)
            sys.exit("a rotation beside a locked row has succeeded")
        except Exception as error:  # of psycopg2, by its code
            if getattr(error, "pgcode", None) != "PF007":
                raise
        seconds = time.perf_counter() - started
        if not any("55P03" in n or "is locked by" in n for n in connection.notices):
            sys.exit("the rotation does not name the locked row")
    locker.rollback()
    locker.close()
    connection.close()
    return seconds


def print_locked(rows, rounds):
    ratios = []
    for _ in range(rounds):
        free = rotate_seconds(rows, False)
        ratios.append(rotate_seconds(rows, True) / free)
    ratio = statistics.median(ratios)
    print(
        f"\ntime beside one row that is locked all the time / without: {ratio:.2f}"
        f"  {judge(ratio, 1.2, 'at most')}"
    )


def main(rows, rounds):
    random.seed(int(os.environ.get("FERNET_SEED", "1")))
    execute(connect(), "CREATE EXTENSION IF NOT EXISTS pg_fernet")
    print(f"{rows} rows, rounds: {rounds}")
    print_locked(rows, rounds)
    sys.stdout.flush()
    print_waits(rows, rounds)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
