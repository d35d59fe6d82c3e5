"""Measures the functions beside their alternatives. See bench/sql --help."""

import argparse
import base64
import pathlib
import statistics
import subprocess
import sys
import threading
import time

from cryptography.fernet import Fernet
from measuring import NEW_KEY, OLD_KEY, connect, execute, in_turn, judge, query, table, timed

FOLDER = pathlib.Path(__file__).parent
HEX_KEY = base64.urlsafe_b64decode(NEW_KEY).hex()
KEY = f"'\\x{HEX_KEY}'::bytea"
AES_KEY = f"'\\x{HEX_KEY[32:]}'::bytea"

# The tables: how many bytes a plaintext has, and which part of the rows. "old" is
# "small" again with tokens under the other key in the same place, since to get
# at another column of a row, and into the cache, takes time of its own.
SIZES = {"small": (40, 1), "part": (40, 0.05), "medium": (1024, 0.05), "large": (1 << 20, 0.00001)}

# What is called, on which table; and what is subtracted.
PLAIN, TOKEN = "trivial(v)", "trivial(token)"
VARIANTS = {
    "fernet_encrypt": ("small", "fernet_encrypt(v)", PLAIN),
    "fernet_encrypt(bytea)": ("small", "fernet_encrypt(b)", PLAIN),
    "fernet_decrypt": ("small", "fernet_decrypt(token)", TOKEN),
    "fernet_decrypt_bytea": ("small", "fernet_decrypt_bytea(token)", TOKEN),
    "fernet_try_decrypt": ("small", "fernet_try_decrypt(token)", TOKEN),
    "fernet_verify": ("small", "fernet_verify(token)", TOKEN),
    "fernet_key_index": ("small", "fernet_key_index(token)", TOKEN),
    "fernet_timestamp": ("small", "fernet_timestamp(token)", TOKEN),
    "fernet_is_token": ("small", "fernet_is_token(token)", TOKEN),
    "fernet_rotate": ("old", "fernet_rotate(token)", TOKEN),
    "fernet_rotate, nothing to do": ("small", "fernet_rotate(token)", TOKEN),
    "fernet_inspect": ("part", "fernet_inspect(token)", TOKEN),
    "md5": ("small", "md5(v)", PLAIN),
    "pgcrypto encrypt_iv": (
        "part",
        f"encrypt_iv(b, {AES_KEY}, gen_random_bytes(16), 'aes-cbc')",
        PLAIN,
    ),
    "pgcrypto decrypt": ("part", f"decrypt(c, {AES_KEY}, 'aes-cbc')", TOKEN),
    "composed encrypt": ("part", f"composed_encrypt(v, {KEY})", PLAIN),
    "composed decrypt": ("part", f"composed_decrypt(token, {KEY})", TOKEN),
    "1 KiB: fernet_encrypt": ("medium", "fernet_encrypt(v)", PLAIN),
    "1 KiB: fernet_decrypt": ("medium", "fernet_decrypt(token)", TOKEN),
    "1 KiB: composed encrypt": ("medium", f"composed_encrypt(v, {KEY})", PLAIN),
    "1 KiB: composed decrypt": ("medium", f"composed_decrypt(token, {KEY})", TOKEN),
    "1 MiB: fernet_encrypt": ("large", "fernet_encrypt(v)", PLAIN),
    "1 MiB: fernet_decrypt": ("large", "fernet_decrypt(token)", TOKEN),
    "1 MiB: composed encrypt": ("large", f"composed_encrypt(v, {KEY})", PLAIN),
    "1 MiB: composed decrypt": ("large", f"composed_decrypt(token, {KEY})", TOKEN),
}
CLIENTS = ["Python client, encrypt", "Python client, decrypt", "fernet-go, encrypt", "fernet-go, decrypt"]
TWO_SESSIONS = ["fernet_encrypt", "fernet_decrypt", "md5"]

# What several keys cost is a few nanoseconds, less than what the machine's speed
# changes from one second to the next. So it has tables of its own, which take
# hundredths of a second each, all three in turn: who opens their tokens.
KEY_TABLES = {
    "under_1st": "the 1st of 2 keys",
    "under_2nd": "the 2nd of 2 keys",
    "under_both": "2 keys in turn",
}
KEY_ROWS = 0.02
KEY_PASSES = 41

# Above, below, target: how many times as long `above` takes.
RATIOS = [
    ("composed encrypt", "fernet_encrypt", 15, "at least"),
    ("pgcrypto encrypt_iv", "fernet_encrypt(bytea)", 4, "at least"),
    ("composed decrypt", "fernet_decrypt", 10, "at least"),
    ("pgcrypto decrypt", "fernet_decrypt_bytea", 1.7, "at least"),
    ("fernet_encrypt", "md5", 0.85, "at most"),
    ("fernet_decrypt", "md5", 0.85, "at most"),
    ("1 KiB: composed encrypt", "1 KiB: fernet_encrypt", 15, "at least"),
    ("1 KiB: composed decrypt", "1 KiB: fernet_decrypt", 15, "at least"),
    ("Python client, encrypt", "fernet_encrypt", 25, "at least"),
    ("Python client, decrypt", "fernet_decrypt", 25, "at least"),
    ("fernet-go, encrypt", "fernet_encrypt", 3, "at least"),
    ("fernet-go, decrypt", "fernet_decrypt", 3, "at least"),
    ("1 MiB: composed encrypt", "1 MiB: fernet_encrypt", 10, "at least"),
    ("1 MiB: composed decrypt", "1 MiB: fernet_decrypt", 10, "at least"),
]


def make_tables(connection, rows):
    execute(connection, (FOLDER / "peers.sql").read_text(encoding="utf-8"))
    for name, (size, share) in SIZES.items():
        count = max(4, int(rows * share))
        with connection.cursor() as cursor:
            cursor.execute(
                f"""CREATE TABLE {name} AS
                    SELECT i, v, b, fernet_encrypt(v) AS token, NULL::text AS old_token,
                        encrypt(b, {AES_KEY}, 'aes-cbc') AS c
                    FROM (SELECT i, v, convert_to(v, 'UTF8') AS b FROM (
                        SELECT i, rpad(md5(i::text), %s, md5(i::text)) AS v
                        FROM generate_series(1, %s) AS i) AS _) AS _""",
                (size, count),
            )
    with connect(OLD_KEY).cursor() as cursor:
        for name in SIZES:
            cursor.execute(f"UPDATE {name} SET old_token = fernet_encrypt(v)")
            cursor.execute(f"CREATE TABLE sorted AS SELECT * FROM {name} ORDER BY i")
            cursor.execute(f"DROP TABLE {name}")
            cursor.execute(f"ALTER TABLE sorted RENAME TO {name}")
    execute(
        connection,
        "CREATE TABLE old AS SELECT i, v, b, old_token AS token, token AS new_token, c FROM small ORDER BY i",
    )
    key_rows = max(100, int(rows * KEY_ROWS))
    for name, token in zip(KEY_TABLES, ["token", "old_token", "CASE i % 2 WHEN 0 THEN token ELSE old_token END"]):
        execute(
            connection,
            f"CREATE TABLE {name} AS SELECT i, v, {token} AS token FROM small WHERE i <= {key_rows} ORDER BY i",
        )
    for name in [*SIZES, "old", *KEY_TABLES]:
        execute(connection, f"VACUUM ANALYZE {name}")
    execute(connection, "CHECKPOINT")


def check(connection):
    """Each of the ways gives what the others open."""
    for name in SIZES:
        wrong = query(
            connection,
            f"""SELECT count(*) FROM {name} WHERE i <= 100 AND (
                fernet_decrypt(composed_encrypt(v, {KEY})) <> v
                OR composed_decrypt(fernet_encrypt(v), {KEY}) <> v
                OR fernet_decrypt(token) <> v OR fernet_decrypt_bytea(token) <> b
                OR fernet_try_decrypt(token) <> v OR NOT fernet_verify(token)
                OR fernet_decrypt(old_token) <> v
                OR fernet_decrypt(fernet_rotate(old_token)) <> v OR fernet_rotate(token) <> token
                OR fernet_key_index(token) <> 1 OR fernet_key_index(old_token) <> 2
                OR decrypt(c, {AES_KEY}, 'aes-cbc') <> b OR trivial(v) <> v)""",
        )[0]
        if wrong:
            sys.exit(f"{wrong} values are wrong in the table {name}")
    for name in ["old", *KEY_TABLES]:
        wrong = query(connection, f"SELECT count(*) FROM {name} WHERE i <= 100 AND fernet_decrypt(token) <> v")[0]
        if wrong:
            sys.exit(f"{wrong} tokens are wrong in the table {name}")
    value, token = query(connection, "SELECT v, token FROM small LIMIT 1")
    if Fernet(NEW_KEY).decrypt(token.encode()).decode() != value:
        sys.exit("Python does not open our token")


class Baselines:
    """Seconds for a row of each query with the trivial function, in a round."""

    def __init__(self, connection):
        self.connection = connection
        self.seconds = {}

    def of(self, name, call, count):
        if (name, call) not in self.seconds:
            self.seconds[name, call] = timed(self.connection, f"SELECT count({call}) FROM {name}")[0] / count
        return self.seconds[name, call]


def count_rows(connection, name):
    return query(connection, f"SELECT count(*) FROM {name}")[0]


def measure_in_server(connection, variant, baselines, counts):
    name, call, baseline = VARIANTS[variant]
    seconds = timed(connection, f"SELECT count({call}) FROM {name}")[0] / counts[name]
    return (seconds - baselines.of(name, baseline, counts[name])) * 1e9


def measure_keys(connection, passes):
    """Nanoseconds for each pass and table of KEY_TABLES."""
    results = {name: [] for name in KEY_TABLES}
    for _, order in in_turn(list(KEY_TABLES), passes):
        for name in order:
            base = timed(connection, f"SELECT count(trivial(token)) FROM {name}")[0]
            seconds, row = timed(connection, f"SELECT count(fernet_decrypt(token)) FROM {name}")
            results[name].append((seconds - base) / row[0] * 1e9)
    return results


def measure_clients(values):
    """Nanoseconds for each of CLIENTS: the loop alone, and for Python what comes
    from the server and goes back to it, in `values` already."""
    fernet = Fernet(NEW_KEY)
    results = []
    started = time.perf_counter()
    tokens = [fernet.encrypt(value) for value in values]
    results.append((time.perf_counter() - started) / len(values) * 1e9)
    started = time.perf_counter()
    for token in tokens:
        fernet.decrypt(token)
    results.append((time.perf_counter() - started) / len(values) * 1e9)
    go = subprocess.run(
        [FOLDER / "fernet-go", "40", NEW_KEY, str(len(values) * 5)], check=True, capture_output=True, text=True
    )
    return dict(zip(CLIENTS, results + [float(figure) for figure in go.stdout.split()]))


def measure_two_sessions(sessions, variant, count):
    """Values a second, of both together."""
    name, call, _ = VARIANTS[variant]
    threads = [
        threading.Thread(target=query, args=(session, f"SELECT count({call}) FROM {name}")) for session in sessions
    ]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    both = time.perf_counter() - started
    alone = timed(sessions[0], f"SELECT count({call}) FROM {name}")[0]
    return len(sessions) * alone / both


def median_ratio(results, above, below):
    return statistics.median(a / max(b, 1e-9) for a, b in zip(results[above], results[below]))


def figures_table(heading, results):
    table(
        [heading, "ns a value", "least", "most"],
        [
            [name, f"{statistics.median(figures):.0f}", f"{min(figures):.0f}", f"{max(figures):.0f}"]
            for name, figures in results.items()
        ],
    )


def ratio_row(name, ratio, target, bound):
    return [name, f"{ratio:.2f}", judge(ratio, target, bound)]


def report(results, keys, speedups):
    figures_table("", results)
    figures_table("fernet_decrypt, tokens under", {KEY_TABLES[name]: figures for name, figures in keys.items()})
    rows = [
        ratio_row(f"{above} / {below}", median_ratio(results, above, below), target, bound)
        for above, below, target, bound in RATIOS
    ]
    again = median_ratio(keys, "under_2nd", "under_1st")
    # Each of these tokens is under the key that did not open the one before.
    wrong_key = median_ratio(keys, "under_both", "under_1st") - 1
    rows.append(ratio_row("tokens under the 2nd of 2 keys / under the 1st", again, 1.05, "at most"))
    rows.append(ratio_row("a wrong key tried first / fernet_decrypt", wrong_key, 0.65, "at most"))
    table(["time", "ratio", "target"], rows)
    table(
        ["two sessions", "times as many values a second"],
        [[name, f"{statistics.median(figures):.2f}"] for name, figures in speedups.items()],
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--largest", type=int)
    options = parser.parse_args()

    connection = connect(NEW_KEY, OLD_KEY)
    execute(connection, "DROP EXTENSION IF EXISTS pg_fernet CASCADE")
    connection.close()
    connection = connect(NEW_KEY, OLD_KEY)
    make_tables(connection, options.rows)
    check(connection)
    counts = {name: count_rows(connection, name) for name in [*SIZES, "old"]}
    print(f"{counts['small']} rows of 40 bytes, rounds: {options.rounds}")

    sessions = [connection, connect(NEW_KEY, OLD_KEY)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT b FROM part LIMIT 20000")
        values = [bytes(row[0]) for row in cursor.fetchall()]
    results = {name: [] for name in [*VARIANTS, *CLIENTS]}
    speedups = {name: [] for name in TWO_SESSIONS}
    for _, order in in_turn(list(VARIANTS), options.rounds):
        baselines = Baselines(connection)
        for variant in order:
            results[variant].append(measure_in_server(connection, variant, baselines, counts))
        for name, figure in measure_clients(values).items():
            results[name].append(figure)
        for variant in TWO_SESSIONS:
            speedups[variant].append(measure_two_sessions(sessions, variant, counts))
    keys = measure_keys(connection, KEY_PASSES if options.rounds > 1 else 1)
    report(results, keys, speedups)


main()
