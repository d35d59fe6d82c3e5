"""Measures fernet_find_tokens over columns without tokens, beside a query that
reads them. See bench/sql --help."""

import argparse
import statistics

from measuring import NEW_KEY, OLD_KEY, connect, execute, in_turn, judge, query, table, timed

WORDS = "the token of customer integration was renewed by somebody yesterday at noon"

# Each table by its name: what a column holds, from the number n of the row, and
# what reads it, with the same work of decompression.
TABLES = {
    "prose": (
        "(SELECT string_agg((string_to_array(%(words)s, ' '))[1 + (n * 7 + k * k) %% 12], ' ')"
        " FROM generate_series(1, 40) AS k)",
        "count(length(v))",
    ),
    "identifiers": ("md5(n::text)::uuid::text", "count(length(v))"),
    "hashes": ("encode(sha256(n::text::bytea), 'hex')", "count(length(v))"),
    "documents": (
        "jsonb_build_object('id', n, 'name', 'customer ' || n, 'email', 'user' || n || '@a.example',"
        " 'tags', ARRAY['alpha', 'beta'], 'address', jsonb_build_object('street', 'Long street ' || n,"
        " 'key', md5(n::text)::uuid), 'note', 'nothing to see here, move along')",
        "count(pg_column_size(v::text))",
    ),
    "out of line": (
        "(SELECT string_agg(md5((n * 100 + k)::text), ' ') FROM generate_series(1, 120) AS k)",
        "count(length(v))",
    ),
    "large documents": (
        "(SELECT jsonb_agg(jsonb_build_object('key', md5((n * 100 + k)::text), 'number', k))"
        " FROM generate_series(1, 60) AS k)",
        "count(pg_column_size(v::text))",
    ),
}
FEWER = {"out of line": 20, "large documents": 20}
TARGET = 2


def measure(connection, rows, rounds):
    lines = []
    for name, (value, read) in TABLES.items():
        count = max(rows // FEWER.get(name, 1), 100)
        execute(connection, "DROP TABLE IF EXISTS searched")
        with connection.cursor() as cursor:
            cursor.execute(
                f"CREATE TABLE searched AS SELECT n, {value} AS v"
                " FROM generate_series(1, %(count)s) AS n",
                {"words": WORDS, "count": count},
            )
        execute(connection, "VACUUM ANALYZE searched")
        statements = {
            "read": f"SELECT {read} FROM searched",
            "find": "SELECT count(*) FROM fernet_find_tokens(relations => '{searched}')",
        }
        if query(connection, statements["find"]) != (0,):
            raise SystemExit(f"tokens were found in {name}")
        ratios = []
        seconds = {way: [] for way in statements}
        for _, order in in_turn(statements, rounds):
            for way in order:
                seconds[way].append(timed(connection, statements[way])[0])
            ratios.append(seconds["find"][-1] / seconds["read"][-1])
        ratio = statistics.median(ratios)
        lines.append(
            [
                f"{name}, {count} rows",
                f"{statistics.median(seconds['read']) * 1000:.0f}",
                f"{statistics.median(seconds['find']) * 1000:.0f}",
                f"{ratio:.2f}",
                judge(ratio, TARGET, "at most"),
            ]
        )
    table(["find", "read, ms", "find, ms", "ratio", "target"], lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--largest", type=int)
    options = parser.parse_args()
    connection = connect(NEW_KEY, OLD_KEY)
    execute(connection, "CREATE EXTENSION IF NOT EXISTS pg_fernet")
    # The quick one would win by using all processors.
    execute(connection, "SET max_parallel_workers_per_gather = 0")
    measure(connection, min(options.rows, 200000), options.rounds)


if __name__ == "__main__":
    main()
