"""Measures what a blind index costs and saves. See bench/sql --help."""

import argparse
import statistics

from measuring import NEW_KEY, OLD_KEY, connect, execute, in_turn, judge, query, table, timed

FIND = "SELECT id FROM users WHERE "
BY_INDEX = FIND + "email_index = ANY (fernet_blind_indexes(%s, 'users.email'))"
BY_SCAN = FIND + "fernet_decrypt(email) = %s"
# Lookups that are measured as one: a single one is too short.
LOOKUPS = 200


def email(number):
    """40 bytes."""
    return f"user{number:024d}@example.com"


def fill(connection, rows):
    execute(connection, "DROP TABLE IF EXISTS users")
    with connection.cursor() as cursor:
        cursor.execute(
            """CREATE TABLE users AS SELECT i AS id, v AS plaintext, fernet_encrypt(v) AS email,
                   fernet_blind_index(v, 'users.email') AS email_index
               FROM generate_series(1, %s) AS i,
                   LATERAL (SELECT 'user' || lpad(i::text, 24, '0') || '@example.com') AS _ (v)""",
            (rows,),
        )
    execute(connection, "CREATE UNIQUE INDEX ON users (email_index)", "VACUUM ANALYZE users")


def per_call(connection, rows, rounds):
    """Nanoseconds of a call, net of a loop over the same rows."""
    calls = {
        "nothing": "count(octet_length(plaintext)), count(octet_length(email))",
        "fernet_verify": "count(fernet_verify(email)), count(octet_length(plaintext))",
        "fernet_blind_index": "count(fernet_blind_index(plaintext, 'users.email')), count(octet_length(email))",
    }
    ratios, times = [], {name: [] for name in calls}
    for _, order in in_turn(list(calls), rounds):
        taken = {name: timed(connection, f"SELECT {calls[name]} FROM users")[0] for name in order}
        net = {name: (taken[name] - taken["nothing"]) * 1e9 / rows for name in calls}
        ratios.append(net["fernet_blind_index"] / max(net["fernet_verify"], 1e-9))
        for name in calls:
            times[name].append(net[name])
    return {name: statistics.median(times[name]) for name in calls}, statistics.median(ratios)


def lookup_seconds(connection, rows):
    """Seconds of a lookup by the index, and by decrypting."""
    found = 0
    seconds = 0.0
    for number in range(LOOKUPS):
        wanted = 1 + number * 7919 % rows
        taken, row = timed(connection, BY_INDEX, (email(wanted),))
        seconds += taken
        found += row == (wanted,)
    scan, row = timed(connection, BY_SCAN, (email(rows // 2),))
    if found != LOOKUPS or row != (rows // 2,):
        raise SystemExit("a lookup found another row")
    return seconds / LOOKUPS, scan


def job_seconds(connection, call, rows):
    """Seconds of a job that writes every row once, on a table without dead rows."""
    execute(connection, "VACUUM users", "CHECKPOINT")
    seconds, counts = timed(connection, call)
    if tuple(counts) != (rows, 0, 0):
        raise SystemExit(f"{call} did not write every row")
    return seconds


def renewal(rows, rounds):
    """Rows per second of a rotation and of a renewal of the indexes, and the ratio of their times."""
    keys = [f"{NEW_KEY},{OLD_KEY}", f"{OLD_KEY},{NEW_KEY}"]
    jobs = {
        "rotation": "CALL fernet_rotate_column('users', 'email')",
        "renewal": "CALL fernet_index_column('users', 'email', 'email_index', 'users.email')",
    }
    ratios, times = [], {name: [] for name in jobs}
    for number, order in in_turn(list(jobs), rounds):
        # Each round has the other key first, so both jobs have every row to write.
        connection = connect(*keys[(number + 1) % 2].split(","))
        query(connection, "SELECT set_config('fernet.index_key', %s, false)", (keys[number % 2],))
        taken = {name: job_seconds(connection, jobs[name], rows) for name in order}
        connection.close()
        ratios.append(taken["renewal"] / taken["rotation"])
        for name in jobs:
            times[name].append(rows / taken[name])
    return {name: statistics.median(times[name]) for name in jobs}, statistics.median(ratios)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--largest", type=int)  # for the other parts
    options = parser.parse_args()
    connection = connect(NEW_KEY)
    execute(connection, "SET client_min_messages = warning", "CREATE EXTENSION IF NOT EXISTS pg_fernet")
    query(connection, "SELECT set_config('fernet.index_key', %s, false)", (OLD_KEY,))
    fill(connection, options.rows)
    plan = query(connection, "EXPLAIN (FORMAT json) " + BY_INDEX, (email(1),))[0][0]["Plan"]
    if plan["Node Type"] not in ("Index Scan", "Bitmap Heap Scan"):
        raise SystemExit("no index scan")
    times, ratio = per_call(connection, options.rows, options.rounds)
    lookups = [lookup_seconds(connection, options.rows) for _ in range(options.rounds)]
    by_index = statistics.median(one for one, _ in lookups)
    by_scan = statistics.median(scan for _, scan in lookups)
    connection.close()
    speed, renewal_ratio = renewal(options.rows, options.rounds)
    table(
        ["blind index", "figure", "target"],
        [
            ["a call of fernet_blind_index at 40 bytes", f"{times['fernet_blind_index']:.0f} ns", ""],
            ["a call of fernet_verify", f"{times['fernet_verify']:.0f} ns", ""],
            ["the ratio", f"{ratio:.2f}", judge(ratio, 1.2, "at most")],
            [f"a lookup among {options.rows} rows, by the index", f"{by_index * 1e6:.0f} us", ""],
            ["the same by decrypting every row", f"{by_scan * 1e3:.0f} ms", ""],
            ["times faster", f"{by_scan / by_index:.0f}", ""],
            [f"a rotation of {options.rows} rows", f"{speed['rotation']:.0f} rows/s", ""],
            ["a renewal of their blind indexes", f"{speed['renewal']:.0f} rows/s", ""],
            ["the ratio of the times", f"{renewal_ratio:.2f}", judge(renewal_ratio, 1.3, "at most")],
        ],
    )


main()
