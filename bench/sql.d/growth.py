"""Measures how the cost grows with the size of the values, the number of keys
and the sessions. See bench/sql --help."""

import argparse
import base64
import os
import statistics
import threading
import time

from measuring import NEW_KEY, connect, execute, in_turn, query, table, timed

SIZES = [16, 64, 256, 1024, 4096, 16384, 65536, 1048576]
KEY_COUNTS = [1, 2, 5, 16, 64]
SESSION_COUNTS = [1, 2, 4]


def other_key():
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def make_table(connection, name, size, count):
    execute(connection, f"DROP TABLE IF EXISTS {name}")
    with connection.cursor() as cursor:
        cursor.execute(
            f"""CREATE TABLE {name} AS SELECT i, v, fernet_encrypt(v) AS token
                FROM (SELECT i, repeat('x', %s) AS v FROM generate_series(1, %s) AS i) AS _""",
            (size, count),
        )
    execute(connection, f"VACUUM ANALYZE {name}")


def rate(connection, call, name, count, baseline):
    """Values a second, net."""
    base = timed(connection, f"SELECT count(trivial({baseline})) FROM {name}")[0]
    seconds = timed(connection, f"SELECT count({call}) FROM {name}")[0]
    return count / max(seconds - base, 1e-9)


def median_rates(variants, rounds, measure):
    results = {variant: [] for variant in variants}
    for _, order in in_turn(variants, rounds):
        for variant in order:
            results[variant].append(measure(variant))
    return {variant: statistics.median(rates) for variant, rates in results.items()}


def by_size(connection, rows, rounds):
    counts = {}
    for size in SIZES:
        counts[size] = max(4, min(rows, (rows * 64) // size))
        make_table(connection, f"size_{size}", size, counts[size])
    variants = [(size, call, column) for size in SIZES for call, column in [("encrypt", "v"), ("decrypt", "token")]]
    rates = median_rates(
        variants,
        rounds,
        lambda variant: rate(
            connection,
            f"fernet_{variant[1]}({variant[2]})",
            f"size_{variant[0]}",
            counts[variant[0]],
            variant[2],
        ),
    )
    table(
        ["bytes", "encrypted a second", "MB/s", "decrypted a second", "MB/s"],
        [
            [f"{size}"]
            + [
                cell
                for call, column in [("encrypt", "v"), ("decrypt", "token")]
                for cell in [
                    f"{rates[size, call, column]:.0f}",
                    f"{rates[size, call, column] * size / 1e6:.0f}",
                ]
            ]
            for size in SIZES
        ],
    )


def by_keys(rows, rounds):
    """Tokens under the last key, each after one of the same or another key."""
    last, before_last = NEW_KEY, other_key()
    others = [other_key() for _ in range(max(KEY_COUNTS))]
    make_table(connect(last), "by_keys", 40, rows)
    execute(
        connect(before_last),
        "CREATE TABLE by_keys_in_turn AS SELECT i, CASE i % 2 WHEN 0 THEN token ELSE fernet_encrypt(v) END AS token FROM by_keys ORDER BY i",
        "VACUUM ANALYZE by_keys_in_turn",
    )
    sessions = {}
    for count in KEY_COUNTS:
        sessions[count] = connect(*[*others[: max(0, count - 2)], before_last, last][-count:])
    variants = [
        (count, name) for count in KEY_COUNTS for name in ["by_keys", "by_keys_in_turn"] if count > 1 or name == "by_keys"
    ]
    rates = median_rates(
        variants,
        rounds,
        lambda variant: rate(sessions[variant[0]], "fernet_decrypt(token)", variant[1], rows, "token"),
    )
    table(
        ["keys", "decrypted a second, all under the last", "the last two in turn"],
        [
            [
                str(count),
                f"{rates[count, 'by_keys']:.0f}",
                f"{rates[count, 'by_keys_in_turn']:.0f}" if count > 1 else "",
            ]
            for count in KEY_COUNTS
        ],
    )


def by_sessions(rows, rounds):
    sessions = [connect(NEW_KEY) for _ in range(max(SESSION_COUNTS))]

    def measure(variant):
        count, call = variant
        threads = [
            threading.Thread(target=query, args=(session, f"SELECT count({call}) FROM by_keys"))
            for session in sessions[:count]
        ]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return count * rows / (time.perf_counter() - started)

    calls = ["fernet_encrypt(v)", "fernet_decrypt(token)"]
    rates = median_rates([(count, call) for count in SESSION_COUNTS for call in calls], rounds, measure)
    table(
        ["sessions", "encrypted a second", "decrypted a second"],
        [[str(count), *(f"{rates[count, call]:.0f}" for call in calls)] for count in SESSION_COUNTS],
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--largest", type=int)
    options = parser.parse_args()
    rows = max(1000, options.rows // 5)

    connection = connect(NEW_KEY)
    execute(
        connection,
        "SET client_min_messages = warning",
        "CREATE EXTENSION IF NOT EXISTS pg_fernet",
        "CREATE OR REPLACE FUNCTION trivial(text) RETURNS text AS 'trivial' LANGUAGE c STRICT",
    )
    by_size(connection, rows, options.rounds)
    by_keys(rows, options.rounds)
    by_sessions(rows, options.rounds)


main()
