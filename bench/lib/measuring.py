"""What the benchmarks on a server share: connections, rounds and verdicts."""

import os
import time

import psycopg2

OLD_KEY = "this-is-test-key-1-do-not-use-it-anywhere-A="
NEW_KEY = "this-is-test-key-2-do-not-use-it-anywhere-A="


def connect(*keys):
    """A session with these keys, the first of which encrypts."""
    connection = psycopg2.connect(options=f"-c fernet.key={','.join(keys)}")
    connection.autocommit = True
    return connection


def query(connection, statement, arguments=None):
    """The first row of what a statement returns."""
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments)
        return cursor.fetchone()


def execute(connection, *statements):
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def in_turn(variants, rounds):
    """Yields, for each round, its number and the variants in their order.
    Whatever slows down during a round is not always the same variant's."""
    for number in range(rounds):
        order = list(variants)
        if number % 2 == 1:
            order.reverse()
        yield number, order


def judge(value, target, bound):
    """The words behind a figure that has a target, "at most" or "at least"."""
    if target is None:
        return ""
    met = value <= target if bound == "at most" else value >= target
    return f"{bound} {target:g}: {'met' if met else 'MISSED'}"


def timed(connection, statement, arguments=None):
    """The seconds that a statement takes, with its one row."""
    started = time.perf_counter()
    row = query(connection, statement, arguments)
    return time.perf_counter() - started, row


def cpu_time(pid):
    """The seconds that a process has computed so far. Whatever else runs on the
    machine disturbs them less than the clock."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        # The name, in parentheses, may hold anything.
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def session_time(connection):
    """The seconds that the backend of a session has computed so far."""
    return cpu_time(*query(connection, "SELECT pg_backend_pid()"))


def table(headings, rows):
    """Prints a table of Markdown; numbers are to the right."""
    print("\n| " + " | ".join(headings) + " |")
    print("|---|" + "--:|" * (len(headings) - 1))
    for row in rows:
        print("| " + " | ".join(row) + " |")
