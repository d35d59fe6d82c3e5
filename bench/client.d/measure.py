"""Measures pg_fernet rotate in both of its ways, beside a client in Python.

usage: measure.py ROWS ROUNDS PROGRAM

On the server that the environment names; bench/client starts it.
"""

import os
import statistics
import subprocess
import sys
import time

from cryptography.fernet import Fernet, MultiFernet
from measuring import NEW_KEY, OLD_KEY, connect, execute, in_turn, judge, query, table
from psycopg2.extras import execute_values

BATCH_ROWS = 5000
PLAINTEXT = "left(md5(id::text) || md5((id + 1)::text), 32 + mod(id, 33)::int)"
TABLES = 6

SERVER = "server way, {} jobs"
CLIENT = "client way, {} jobs"
VARIANTS = [SERVER.format(n) for n in (1, 2, 4)] + [CLIENT.format(n) for n in (1, 2)]
PYTHON = "Python, in batches"


def make_source(connection, rows):
    """One table has half of the rows, and five share the rest."""
    execute(connection, "CREATE EXTENSION pg_fernet", f"SET fernet.key = '{OLD_KEY}'")
    for number in range(TABLES):
        count = rows // 2 if number == 0 else rows // 2 // (TABLES - 1)
        execute(
            connection,
            f"CREATE TABLE source{number} AS SELECT id, 'integration ' || id AS name,"
            f" fernet_encrypt({PLAINTEXT}) AS token FROM generate_series(1, {count}) AS id",
        )
    execute(connection, "RESET fernet.key")


def copy_source(connection):
    for number in range(TABLES):
        execute(
            connection,
            f"DROP TABLE IF EXISTS t{number}",
            f"CREATE TABLE t{number} AS SELECT * FROM source{number}",
            f"ALTER TABLE t{number} ADD PRIMARY KEY (id)",
            f"VACUUM ANALYZE t{number}",
        )
    execute(connection, "CHECKPOINT")


def run(program, *arguments):
    environment = dict(os.environ, FERNET_KEY=f"{NEW_KEY},{OLD_KEY}")
    done = subprocess.run(
        [program, "rotate", "--quiet", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"status {done.returncode}: {done.stdout}{done.stderr}")


def rotate_all(program, variant):
    way, _, rest = variant.partition(" way, ")
    columns = [f"--column=public.t{number}.token" for number in range(TABLES)]
    started = time.perf_counter()
    run(program, f"--way={way}", "--jobs", rest.split()[0], "-t", "t?", *columns)
    return time.perf_counter() - started


def check(connection):
    for number in range(TABLES):
        (wrong,) = query(
            connection,
            f"SELECT count(*) FROM t{number} WHERE fernet_key_index(token) IS DISTINCT FROM 1"
            f" OR fernet_decrypt(token) IS DISTINCT FROM {PLAINTEXT}",
        )
        if wrong != 0:
            sys.exit(f"t{number}: {wrong} rows are not as they should be")


def rotate_in_python(connection, sample):
    """The loop of bench/rotation, for some of the rows. Returns the seconds."""
    keys = MultiFernet([Fernet(NEW_KEY), Fernet(OLD_KEY)])
    last = 0
    started = time.perf_counter()
    with connection.cursor() as cursor:
        while True:
            cursor.execute(
                "SELECT id, token FROM t0 WHERE id > %s AND id <= %s ORDER BY id LIMIT %s",
                [last, sample, BATCH_ROWS],
            )
            batch = cursor.fetchall()
            if not batch:
                return time.perf_counter() - started
            last = batch[-1][0]
            execute_values(
                cursor,
                "UPDATE t0 SET token = v.token FROM (VALUES %s) AS v (id, token) WHERE t0.id = v.id",
                [(id, keys.rotate(token.encode()).decode()) for id, token in batch],
                page_size=BATCH_ROWS,
            )


def report(seconds, rows):
    rates = {name: [rows[name] / one for one in all] for name, all in seconds.items()}
    table(
        ["", "rows a second", "seconds"],
        [
            [name, f"{statistics.median(rates[name]):.0f}", f"{statistics.median(all):.2f}"]
            for name, all in seconds.items()
        ],
    )
    for words, fast, slow, target, bound in (
        ("server way: 2 jobs, times as fast as 1", VARIANTS[1], VARIANTS[0], 1.3, "at least"),
        ("server way: 4 jobs, times as fast as 2", VARIANTS[2], VARIANTS[1], 1.0, "at least"),
        ("client way: times as long as the server way", VARIANTS[0], VARIANTS[3], 4, "at most"),
        ("client way: times as fast as Python", VARIANTS[3], PYTHON, 5, "at least"),
    ):
        ratio = statistics.median(a / b for a, b in zip(rates[fast], rates[slow]))
        print(f"{words}: {ratio:.2f}, {judge(ratio, target, bound)}", flush=True)


def main():
    rows, rounds, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    connection = connect(NEW_KEY, OLD_KEY)
    make_source(connection, rows)
    sample = min(rows // 4, 50000)
    counts = dict.fromkeys(VARIANTS, rows) | {PYTHON: sample}
    seconds = {name: [] for name in counts}
    for number, order in in_turn(counts, rounds):
        for variant in order:
            copy_source(connection)
            if variant == PYTHON:
                seconds[variant].append(rotate_in_python(connection, sample))
                continue
            seconds[variant].append(rotate_all(program, variant))
            if number == 0:
                check(connection)
    report(seconds, counts)


if __name__ == "__main__":
    main()
