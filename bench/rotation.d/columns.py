"""Measures the rotation of three columns of a table beside that of one.

usage: columns.py ROWS ROUNDS

On the server that the environment names; bench/rotation starts it.
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

# As in measure.py: tokens of 140 to 184 characters.
PLAINTEXT = "left(md5(id::text) || md5((id + {n})::text), 32 + mod(id, 33)::int)"
COLUMNS = ["a", "b", "c"]

ONE = "one column"
TABLE = "three, fernet_rotate_table"
CALLS = "three, three calls"
STATEMENTS = {
    ONE: ["CALL fernet_rotate_column('t', 'a')"],
    TABLE: ["CALL fernet_rotate_table('t', '{a, b, c}')"],
    CALLS: [f"CALL fernet_rotate_column('t', '{name}')" for name in COLUMNS],
}


def plaintext(number):
    return PLAINTEXT.format(n=number)


def make_source(connection, rows):
    tokens = ", ".join(
        f"fernet_encrypt({plaintext(n)}) AS {name}" for n, name in enumerate(COLUMNS)
    )
    execute(
        connection,
        "CREATE EXTENSION IF NOT EXISTS pg_fernet",
        f"SET fernet.key = '{OLD_KEY}'",
        "CREATE TABLE three AS SELECT id, 'integration ' || id AS name, "
        f"{tokens} FROM generate_series(1, {rows}) AS id",
        "RESET fernet.key",
        "VACUUM ANALYZE three",
    )


def copy_source(connection):
    execute(
        connection,
        "DROP TABLE IF EXISTS t",
        "CREATE TABLE t AS SELECT * FROM three ORDER BY id",
        "ALTER TABLE t ADD PRIMARY KEY (id)",
        "VACUUM ANALYZE t",
        "CHECKPOINT",
    )


def check_rotated(connection, names):
    """Says how many rows are not what they should be."""
    wrong = " OR ".join(
        f"fernet_key_index({name}) IS DISTINCT FROM {1 if name in names else 2} OR "
        f"fernet_decrypt({name}) IS DISTINCT FROM {plaintext(n)}"
        for n, name in enumerate(COLUMNS)
    )
    return query(connection, f"SELECT count(*) FROM t WHERE {wrong}")[0]


def measure(connection, variant):
    """The seconds, the seconds of the processor, and how often as large the
    table is then."""
    (before,) = query(connection, "SELECT pg_table_size('t')")
    cpu = session_time(connection)
    started = time.perf_counter()
    for statement in STATEMENTS[variant]:
        counts = query(connection, statement)
        assert counts[1:] == (0, 0), counts
    seconds = time.perf_counter() - started
    cpu = session_time(connection) - cpu
    (after,) = query(connection, "SELECT pg_table_size('t')")
    return seconds, cpu, after / before


def main(rows, rounds):
    connection = connect(NEW_KEY, OLD_KEY)
    make_source(connection, rows)
    results = {variant: [] for variant in STATEMENTS}
    for number, order in in_turn(STATEMENTS, rounds):
        for variant in order:
            copy_source(connection)
            results[variant].append(measure(connection, variant))
            if number == 0:
                names = COLUMNS[:1] if variant == ONE else COLUMNS
                wrong = check_rotated(connection, names)
                if wrong != 0:
                    sys.exit(f"{variant}: {wrong} rows are not as they should be")
    print(f"\nthree columns of tokens, {rows} rows, rounds: {rounds}\n")
    print(f"  {'':<28}{'seconds':>9}{'CPU us/row':>12}{'table':>8}")
    for variant, runs in results.items():
        seconds, cpu, growth = map(statistics.median, zip(*runs))
        print(f"  {variant:<28}{seconds:>9.2f}{cpu / rows * 1e6:>12.2f}{growth:>7.2f}x")
    print()
    for above, target in [(TABLE, 1.4), (CALLS, None)]:
        for index, what in enumerate(["time", "CPU"]):
            ratio = statistics.median(
                a[index] / b[index]
                for a, b in zip(results[above], results[ONE])
                if b[index] > 0
            )
            note = "  " + judge(ratio, target, "at most")
            print(f"  {f'{what} of {above} / {ONE}':<48}{ratio:>8.2f}{note}".rstrip())


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
