"""Measures the rotation of a column beside its alternatives.

usage: measure.py ROWS ROUNDS all|server

On the server that the environment names; bench/rotation starts it.
"""

import os
import statistics
import sys
import threading
import time

import django
from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from django.db import models, transaction
from measuring import (
    NEW_KEY,
    OLD_KEY,
    connect,
    cpu_time,
    execute,
    in_turn,
    judge,
    query,
)
from psycopg2.extras import execute_values

BATCH_ROWS = 5000

# 32 to 64 bytes, as API tokens have them; theirs have 140 to 184 characters.
PLAINTEXT = "left(md5(id::text) || md5((id + 1)::text), 32 + mod(id, 33)::int)"

# fillfactor, and whether there is a second index
CASES = [(100, False), (100, True), (50, False), (50, True)]

SAME = "UPDATE, same value"
NEW = "UPDATE, reverse()"
ROTATE = "fernet_rotate_column"
SLICES = "two slices at once"
CLIENT = "Python, in batches"
ORM = "ORM, commit each row"
ORM_ONCE = "ORM, commit at end"

# Django looks for them when it defines the class of a table.
settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": os.environ["PGHOST"],
            "PORT": os.environ["PGPORT"],
            "USER": os.environ["PGUSER"],
            "NAME": os.environ["PGDATABASE"],
        }
    },
    USE_TZ=True,
)
django.setup()


class Row(models.Model):
    """A row of the table, as an application sees it."""

    id = models.BigIntegerField(primary_key=True)
    name = models.TextField()
    token = models.TextField()

    class Meta:
        app_label = "bench"
        db_table = "t"
        managed = False


SECOND_SESSION = connect(NEW_KEY, OLD_KEY)


#
# The table
#


def make_source(connection, rows):
    """Makes the table that is copied for each measurement, under the old key."""
    execute(
        connection,
        "CREATE EXTENSION pg_fernet",
        "CREATE TABLE source (id bigint PRIMARY KEY, name text, token text)",
        f"SET fernet.key = '{OLD_KEY}'",
        "INSERT INTO source SELECT id, 'integration ' || id, "
        f"fernet_encrypt({PLAINTEXT}) FROM generate_series(1, {rows}) AS id",
        "RESET fernet.key",
        "VACUUM ANALYZE source",
    )


def copy_source(connection, fillfactor, with_index):
    execute(
        connection,
        "DROP TABLE IF EXISTS t",
        "CREATE TABLE t (id bigint, name text, token text) "
        f"WITH (fillfactor = {fillfactor})",
        "INSERT INTO t SELECT * FROM source ORDER BY id",
        "ALTER TABLE t ADD PRIMARY KEY (id)",
    )
    if with_index:
        execute(connection, "CREATE INDEX ON t (name)")
    execute(connection, "VACUUM ANALYZE t", "CHECKPOINT")


def check_rotated(connection, rows):
    """Says how many of the first `rows` rows are not what they should be."""
    (wrong,) = query(
        connection,
        "SELECT count(*) FROM t WHERE id <= %s AND "
        "(fernet_key_index(token) IS DISTINCT FROM 1 OR "
        f"fernet_decrypt(token) IS DISTINCT FROM {PLAINTEXT})",
        [rows],
    )
    (missing,) = query(
        connection, "SELECT %s - count(*) FROM t WHERE id <= %s", [rows, rows]
    )
    return wrong + missing


#
# The variants. Each returns how many rows it has treated. What a client does takes
# too long for a whole table, and is the same for every row of it.
#


def update_in_batches(connection, rows, value):
    pages, per_page = query(
        connection,
        "SELECT relpages, reltuples / relpages FROM pg_class WHERE relname = 't'",
    )
    step = max(int(BATCH_ROWS / per_page), 1)
    with connection.cursor() as cursor:
        for page in range(0, pages, step):
            cursor.execute(
                f"UPDATE t SET token = {value} WHERE ctid >= '({page},0)' "
                f"AND ctid < '({min(page + step, pages)},0)'"
            )
    return rows


def update_same(connection, rows):
    return update_in_batches(connection, rows, "token || ''")


def update_new(connection, rows):
    return update_in_batches(connection, rows, "reverse(token)")


def rotate(connection, rows):
    counts = query(connection, "CALL fernet_rotate_column('t', 'token')")
    assert counts == (rows, 0, 0), counts
    return rows


def rotate_slice(connection, number):
    query(
        connection,
        "CALL fernet_rotate_column('t', 'token', slice => %s, slices => 2)",
        [number],
    )


def rotate_slices(connection, rows):
    thread = threading.Thread(target=rotate_slice, args=(SECOND_SESSION, 2))
    thread.start()
    rotate_slice(connection, 1)
    thread.join()
    return rows


def client_sample(rows):
    return min(rows // 2, 200000)


def orm_sample(rows):
    return min(rows // 40, 3000)


def rotate_in_client(connection, rows):
    """The fastest safe way that a client has: by key, many rows a statement."""
    keys = MultiFernet([Fernet(NEW_KEY), Fernet(OLD_KEY)])
    sample = client_sample(rows)
    last = 0
    with connection.cursor() as cursor:
        while True:
            cursor.execute(
                "SELECT id, token FROM t WHERE id > %s AND id <= %s "
                "ORDER BY id LIMIT %s",
                [last, sample, BATCH_ROWS],
            )
            batch = cursor.fetchall()
            if not batch:
                return sample
            last = batch[-1][0]
            execute_values(
                cursor,
                "UPDATE t SET token = v.token FROM (VALUES %s) AS v (id, token) "
                "WHERE t.id = v.id",
                [(id, keys.rotate(token.encode()).decode()) for id, token in batch],
                page_size=BATCH_ROWS,
            )


def rotate_in_orm(rows):
    """The loop of the usual management command."""
    keys = MultiFernet([Fernet(NEW_KEY), Fernet(OLD_KEY)])
    sample = orm_sample(rows)
    for row in Row.objects.filter(id__lte=sample):
        row.token = keys.rotate(row.token.encode()).decode()
        row.save()
    return sample


def rotate_in_orm_each(connection, rows):
    return rotate_in_orm(rows)


def rotate_in_orm_once(connection, rows):
    with transaction.atomic():
        return rotate_in_orm(rows)


VARIANTS = {
    SAME: update_same,
    NEW: update_new,
    ROTATE: rotate,
    SLICES: rotate_slices,
    CLIENT: rotate_in_client,
    ORM_ONCE: rotate_in_orm_once,
    ORM: rotate_in_orm_each,
}
ON_SERVER = [NEW, ROTATE]
ROTATING = [ROTATE, SLICES, CLIENT, ORM_ONCE, ORM]
SAMPLED = [CLIENT, ORM_ONCE, ORM]


#
# Measuring
#


class Measurement:
    """One run of a variant."""

    def __init__(self, rows, seconds, cpu, wal, table_growth, index_growth):
        self.rate = rows / seconds
        self.cpu = cpu / rows * 1e6
        self.wal = wal / rows
        self.table_growth = table_growth
        self.index_growth = index_growth


def read_state(connection):
    return query(
        connection,
        "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn, "
        "pg_table_size('t'), pg_indexes_size('t')",
    )


def all_time(connection):
    """The seconds that all sessions and this program have computed so far."""
    (pids,) = query(
        connection,
        "SELECT array_agg(pid) FROM pg_stat_activity "
        "WHERE backend_type = 'client backend'",
    )
    return sum(map(cpu_time, pids)) + time.process_time()


def measure(connection, variant, rows):
    wal, table, indexes = read_state(connection)
    cpu = all_time(connection)
    started = time.perf_counter()
    treated = VARIANTS[variant](connection, rows)
    seconds = time.perf_counter() - started
    cpu = all_time(connection) - cpu
    wal_after, table_after, indexes_after = read_state(connection)
    return treated, Measurement(
        treated,
        seconds,
        cpu,
        float(wal_after - wal),
        table_after / table,
        indexes_after / indexes,
    )


def measure_case(connection, variants, case, rows, rounds):
    results = {variant: [] for variant in variants}
    for number, order in in_turn(variants, rounds):
        for variant in order:
            copy_source(connection, *case)
            treated, measurement = measure(connection, variant, rows)
            results[variant].append(measurement)
            if number == 0 and variant in ROTATING:
                wrong = check_rotated(connection, treated)
                if wrong != 0:
                    sys.exit(f"{variant}: {wrong} rows are not as they should be")
    return results


def median(measurements, field):
    return statistics.median(getattr(m, field) for m in measurements)


def ratio(results, field, above, below):
    """The median, over the rounds, of a figure of one variant to another's."""
    return statistics.median(
        getattr(a, field) / getattr(b, field)
        for a, b in zip(results[above], results[below])
    )


#
# Printing
#


def print_case(case, results):
    fillfactor, with_index = case
    indexes = "primary key and a second index" if with_index else "primary key"
    print(f"\nfillfactor {fillfactor}, {indexes}\n")
    print(
        f"  {'':<21}{'rows/s':>9}{'(slowest - fastest)':>24}"
        f"{'CPU us/row':>12}{'WAL B/row':>11}{'table':>8}{'indexes':>9}"
    )
    for variant, measurements in results.items():
        rates = [m.rate for m in measurements]
        spread = f"({min(rates):,.0f} - {max(rates):,.0f})"
        line = (
            f"  {variant:<21}{median(measurements, 'rate'):>9,.0f}{spread:>24}"
            f"{median(measurements, 'cpu'):>12.2f}"
        )
        # A part of the table says nothing about the growth of the whole, and its
        # WAL is mostly the pages that the last checkpoint makes it write.
        if variant not in SAMPLED:
            line += (
                f"{median(measurements, 'wal'):>11,.0f}"
                f"{median(measurements, 'table_growth'):>7.2f}x"
                f"{median(measurements, 'index_growth'):>8.2f}x"
            )
        print(line)
    print()
    for base, target in [(SAME, None), (NEW, 1.25)]:
        if base not in results:
            continue
        time_ratio = ratio(results, "rate", base, ROTATE)
        cpu_ratio = ratio(results, "cpu", ROTATE, base)
        note = f" (CPU {cpu_ratio:.2f})  " + judge(time_ratio, target, "at most")
        print(f"  {'time of rotate / ' + base:<40}{time_ratio:>8.2f}{note}".rstrip())
    for above, below, target in [
        (ROTATE, CLIENT, 10),
        (ROTATE, ORM_ONCE, None),
        (ROTATE, ORM, 100),
        (SLICES, ROTATE, 1.3),
    ]:
        if above not in results or below not in results:
            continue
        name = "rotate" if above == ROTATE else above
        other = "rotate" if below == ROTATE else below
        speed_ratio = ratio(results, "rate", above, below)
        note = "  " + judge(speed_ratio, target, "at least")
        print(f"  {f'speed of {name} / {other}':<40}{speed_ratio:>8.2f}{note}".rstrip())
    sys.stdout.flush()


def main(rows, rounds, variants):
    connection = connect(NEW_KEY, OLD_KEY)
    make_source(connection, rows)
    print(f"{rows} rows, rounds: {rounds}, batches of {BATCH_ROWS} rows")
    if CLIENT in variants:
        print(
            f"of these {client_sample(rows)} by the client in Python and "
            f"{orm_sample(rows)} by the ORM"
        )
    sys.stdout.flush()
    for case in CASES:
        print_case(case, measure_case(connection, variants, case, rows, rounds))


if __name__ == "__main__":
    main(
        int(sys.argv[1]),
        int(sys.argv[2]),
        ON_SERVER if sys.argv[3] == "server" else list(VARIANTS),
    )
