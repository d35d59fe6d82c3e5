"""Measures what tokens inside of values cost.

usage: measure.py ROWS ROUNDS

On the server that the environment names; bench/documents starts it.
"""

import statistics
import sys
import time

from measuring import (
    NEW_KEY,
    OLD_KEY,
    connect,
    execute,
    in_turn,
    judge,
    query,
    session_time,
)

BATCH_ROWS = 5000

# The type of the column, and a value that holds the token `t` of the row `id`.
SOURCES = {
    "document": (
        "jsonb",
        "jsonb_build_object('id', id, 'name', 'connection ' || id, "
        "'url', 'https://host' || id || '.example/api/v2', 'enabled', true, "
        "'retries', 3, 'tags', jsonb_build_array('a', 'b', 'c'), "
        "'credentials', jsonb_build_object('user', 'u' || id, 'token', t))",
    ),
    "prefix": ("text", "'v1:' || t"),
    "small": ("text", "t"),
    "large": ("text", "t"),
}

# Ciphertexts of 96 and of 112 bytes: the second may hold a token.
PLAINTEXTS = {
    "small": "rpad(md5(id::text), 95, md5((id + 1)::text))",
    "large": "rpad(md5(id::text), 111, md5((id + 1)::text))",
}
PLAINTEXT = "left(md5(id::text) || md5((id + 1)::text), 40)"

JSONB_SET = "UPDATE, jsonb_set"
DOCUMENT = "rotation, jsonb"
PREFIX = "rotation, text with a prefix"
SMALL = "rotation, plaintexts of 95 bytes"
LARGE = "rotation, plaintexts of 111 bytes"

CHANGE_STRING = (
    "jsonb_set(v, '{credentials,token}', "
    "to_jsonb(reverse(v #>> '{credentials,token}')))"
)

# The source of each variant, and what it sets the column to, or None to rotate.
VARIANTS = {
    JSONB_SET: ("document", CHANGE_STRING),
    DOCUMENT: ("document", None),
    PREFIX: ("prefix", None),
    SMALL: ("small", None),
    LARGE: ("large", None),
}

# The token in a value of each source
TOKEN = {
    "document": "v #>> '{credentials,token}'",
    "prefix": "substr(v, 4)",
    "small": "v",
    "large": "v",
}


def plaintext_of(source):
    return PLAINTEXTS.get(source, PLAINTEXT)


def make_source(connection, source, rows):
    """Makes the table that is copied for each measurement, under the old key."""
    column_type, value = SOURCES[source]
    execute(
        connection,
        f"CREATE TABLE {source} (id bigint, v {column_type})",
        f"SET fernet.key = '{OLD_KEY}'",
        f"INSERT INTO {source} SELECT id, {value} FROM (SELECT id, "
        f"fernet_encrypt({plaintext_of(source)}) AS t "
        f"FROM generate_series(1, {rows}) AS id) AS tokens",
        "RESET fernet.key",
    )


def copy_source(connection, source):
    execute(
        connection,
        "DROP TABLE IF EXISTS t",
        f"CREATE TABLE t (LIKE {source})",
        f"INSERT INTO t SELECT * FROM {source} ORDER BY id",
        "ALTER TABLE t ADD PRIMARY KEY (id)",
        "VACUUM ANALYZE t",
        "CHECKPOINT",
    )


def update_in_batches(connection, value):
    pages, per_page = query(
        connection,
        "SELECT relpages, reltuples / relpages FROM pg_class WHERE relname = 't'",
    )
    step = max(int(BATCH_ROWS / per_page), 1)
    with connection.cursor() as cursor:
        for page in range(0, pages, step):
            cursor.execute(
                f"UPDATE t SET v = {value} WHERE ctid >= '({page},0)' "
                f"AND ctid < '({min(page + step, pages)},0)'"
            )


def rotate(connection, rows):
    counts = query(connection, "CALL fernet_rotate_column('t', 'v')")
    assert counts == (rows, 0, 0), counts


def check_rotated(connection, source, rows):
    """Ends the benchmark unless every token is right."""
    token = TOKEN[source]
    (right,) = query(
        connection,
        f"SELECT count(*) FROM t WHERE fernet_key_index({token}) = 1 "
        f"AND fernet_decrypt({token}) = {plaintext_of(source)}",
    )
    if right != rows:
        sys.exit(f"{source}: {rows - right} rows are not as they should be")


def measure(connection, variant, rows):
    """The microseconds for a row, by the clock and of the processor."""
    value = VARIANTS[variant][1]
    cpu = session_time(connection)
    started = time.perf_counter()
    if value is None:
        rotate(connection, rows)
    else:
        update_in_batches(connection, value)
    seconds = time.perf_counter() - started
    return seconds / rows * 1e6, (session_time(connection) - cpu) / rows * 1e6


def ratio(results, above, below, which):
    return statistics.median(
        a[which] / max(b[which], 1e-9) for a, b in zip(results[above], results[below])
    )


def print_results(results):
    print(f"\n  {'':<36}{'us/row':>9}{'CPU us/row':>13}")
    for variant, runs in results.items():
        clock, cpu = (statistics.median(run[i] for run in runs) for i in (0, 1))
        print(f"  {variant:<36}{clock:>9.2f}{cpu:>13.2f}")
    print(f"\n  {'':<52}{'clock':>7}{'CPU':>7}")
    for above, below, target in (
        (DOCUMENT, JSONB_SET, 1.5),
        (LARGE, SMALL, 1.2),
        (PREFIX, SMALL, None),
    ):
        clock, cpu = (ratio(results, above, below, i) for i in (0, 1))
        names = f"{above} / {below}"
        print(
            f"  {names:<66}{clock:>6.2f}{cpu:>6.2f}  {judge(cpu, target, 'at most')}"
        )


def main():
    rows, rounds = int(sys.argv[1]), int(sys.argv[2])
    connection = connect(NEW_KEY, OLD_KEY)
    execute(connection, "CREATE EXTENSION pg_fernet")
    execute(connection, "SET client_min_messages = warning")
    for source in SOURCES:
        make_source(connection, source, rows)
    results = {variant: [] for variant in VARIANTS}
    for number, order in in_turn(VARIANTS, rounds):
        for variant in order:
            source = VARIANTS[variant][0]
            copy_source(connection, source)
            results[variant].append(measure(connection, variant, rows))
            if number == 0 and VARIANTS[variant][1] is None:
                check_rotated(connection, source, rows)
    print_results(results)


if __name__ == "__main__":
    main()
