import threading

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, Error, connections, router

from ... import sqlstate
from ...fields import FernetTextField


class Command(BaseCommand):
    help = (
        "Re-encrypts every FernetTextField with the first key of the connection, while the "
        "application runs. Call it again if it was interrupted."
    )

    def add_arguments(self, parser):
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS)
        parser.add_argument("--batch-rows", type=int, default=5000, help="rows between two commits")
        parser.add_argument("--pause", default="0", help="after each batch, as in '50 ms'")
        parser.add_argument("--every", type=float, default=5, help="seconds between two reports")

    def handle(self, *, database, batch_rows, pause, every, **options):
        connection = connections[database]
        for table, column in columns(database):
            try:
                with Progress(self.stdout, database, f"{table}.{column}", every):
                    with connection.cursor() as cursor:
                        # The procedure commits after each batch: Django is in autocommit here.
                        cursor.execute(
                            "CALL fernet_rotate_column(%s::text::regclass, %s::text,"
                            " batch_rows => %s::int, pause => %s::interval)",
                            [connection.ops.quote_name(table), column, batch_rows, pause],
                        )
                        rotated, unchanged, failed = cursor.fetchone()
                        cursor.execute(
                            "SELECT fernet_assert_rotated(%s::text::regclass, %s::text, allow_empty => true)",
                            [connection.ops.quote_name(table), column],
                        )
            except Error as error:
                raise CommandError(f"{table}.{column}: {sqlstate(error)}: {error}") from error
            self.stdout.write(f"{table}.{column}: {rotated} rotated, {unchanged} unchanged")
        self.stdout.write("Every value is encrypted with the first key: the other keys can be dropped.")


def columns(database):
    """Yield table and column of the fields, each once."""
    seen = set()
    for model in apps.get_models(include_auto_created=True):
        if not router.allow_migrate_model(database, model):
            continue
        for field in model._meta.local_concrete_fields:
            place = model._meta.db_table, field.column
            if isinstance(field, FernetTextField) and place not in seen:
                seen.add(place)
                yield place


class Progress(threading.Thread):
    """Reports the progress of the caller's connection while the block runs."""

    def __init__(self, stdout, database, label, every):
        super().__init__(daemon=True)
        self.stdout, self.database, self.label, self.every = stdout, database, label, every
        self.done = threading.Event()
        with connections[database].cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            (self.pid,) = cursor.fetchone()

    def __enter__(self):
        self.start()

    def __exit__(self, *exception):
        self.done.set()
        self.join()

    def run(self):
        # Django gives each thread a connection of its own.
        watcher = connections[self.database]
        try:
            while not self.done.wait(self.every):
                self.report(watcher)
        except Error as error:
            self.stdout.write(f"{self.label}: the progress is unknown: {error}")
        finally:
            watcher.close()

    def report(self, watcher):
        with watcher.cursor() as cursor:
            cursor.execute(
                "SELECT round(100 * share), rotated, time_left::interval(0)::text"
                " FROM fernet_rotation_progress WHERE pid = %s",
                [self.pid],
            )
            for percent, rotated, left in cursor.fetchall():
                self.stdout.write(
                    f"{self.label}: {percent or 0:.0f} %, {rotated} rotated, "
                    f"{left or 'unknown time'} left"
                )
