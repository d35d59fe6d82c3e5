"""Measures what a key for one transaction costs, as behind a pooler of
connections. See bench/sql --help."""

import argparse
import os
import pathlib
import re
import statistics
import subprocess
import tempfile

from measuring import NEW_KEY, OLD_KEY, connect, execute, in_turn, judge, query, table

# Transactions of one variant in a round: about half a second.
TRANSACTIONS = 3000
WITHOUT_KEY = "no key, md5()"
ONE, FIRST, LAST = "one key", "five keys, a token of the first", "five keys, a token of the last"
TARGETS = {ONE: 1.1, FIRST: 1.3, LAST: None}

SCRIPT = """BEGIN;
SELECT set_config('{setting}', :value, true);
SELECT {call};
COMMIT;
"""


def five_keys(connection, first, last):
    """A list of five keys that begins and ends with these."""
    others = [query(connection, "SELECT fernet_generate_key()")[0] for _ in range(3)]
    return ",".join([first, *others, last])


def make_variants(connection):
    """By name: the setting, its value, and what is called."""
    token = query(connection, "SELECT fernet_encrypt(repeat('x', 40))")[0]
    decrypt = f"fernet_decrypt('{token}')"
    return {
        WITHOUT_KEY: ("application_name", NEW_KEY, f"md5('{token}')"),
        ONE: ("fernet.key", NEW_KEY, decrypt),
        FIRST: ("fernet.key", five_keys(connection, NEW_KEY, OLD_KEY), decrypt),
        LAST: ("fernet.key", five_keys(connection, OLD_KEY, NEW_KEY), decrypt),
    }


def latency(pgbench, script, value, transactions):
    """Milliseconds of a transaction; the value goes as a parameter."""
    told = subprocess.run(
        [pgbench, "--no-vacuum", "--protocol=extended", "-t", str(transactions), "-D", f"value={value}", "-f", script],
        check=True, capture_output=True, text=True,
    ).stdout
    if f"number of transactions actually processed: {transactions}/{transactions}" not in told:
        raise SystemExit("a transaction has failed")
    return float(re.search(r"latency average = ([0-9.]+) ms", told)[1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--largest", type=int)  # likewise
    options = parser.parse_args()
    connection = connect(NEW_KEY)
    execute(connection, "SET client_min_messages = warning", "CREATE EXTENSION IF NOT EXISTS pg_fernet")
    execute(connection, "ALTER DATABASE " + connection.info.dbname + " SET session_preload_libraries = 'pg_fernet'")
    variants = make_variants(connection)
    connection.close()
    pgbench = pathlib.Path(os.environ["FERNET_BIN"]) / "pgbench"
    transactions = min(TRANSACTIONS, options.rows // 10)
    times = {name: [] for name in variants}
    with tempfile.TemporaryDirectory() as folder:
        scripts = {}
        for number, (name, (setting, _, call)) in enumerate(variants.items()):
            scripts[name] = pathlib.Path(folder) / f"{number}.sql"
            scripts[name].write_text(SCRIPT.format(setting=setting, call=call))
        for _, order in in_turn(list(variants), options.rounds):
            for name in order:
                times[name].append(latency(pgbench, scripts[name], variants[name][1], transactions))
    rows = []
    for name in variants:
        ratio = statistics.median(one / base for one, base in zip(times[name], times[WITHOUT_KEY]))
        rows.append([
            name, f"{statistics.median(times[name]) * 1000:.0f} us", f"{ratio:.2f}",
            judge(ratio, TARGETS.get(name), "at most"),
        ])
    table(["a transaction that sets", "latency", "ratio", "target"], rows)


main()
