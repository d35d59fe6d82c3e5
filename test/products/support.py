"""What the products under test/products share.

The product.py of each has these names:

    BEFORE, AFTER      the product's settings before the rotation, and after it,
                       when the old key is gone; in whatever form it has them
    NOT_ENCRYPTED      the places that hold plaintexts or nothing
    write(connection)  stores values as the product does, and returns them by
                       place
    read(connection, settings)
                       reads all places as the product does; UNREADABLE stands
                       for what it cannot decrypt
    shell_environment(folder)
                       what is in the environment of whoever follows the page; key
                       files go into the folder

and, where there is a need:

    DURING             the settings with both keys, where the product takes several
    DERIVED_IN_SQL     pairs of a statement and the key that it must return: the
                       one that the product derives in Python
    check_after(connection)
                       ends the test where the product would not go on
"""

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from psycopg2.extras import execute_values

OLD_KEY = "this-is-test-key-1-do-not-use-it-anywhere-A="
NEW_KEY = "this-is-test-key-2-do-not-use-it-anywhere-A="
OTHER_KEY = "this-is-test-key-3-do-not-use-it-anywhere-A="


class Unreadable:
    def __repr__(self):
        return "UNREADABLE"


UNREADABLE = Unreadable()


def execute(connection, statement, arguments=()):
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments)


def insert_many(connection, statement, rows):
    """INSERT ... VALUES %s, for many rows at once."""
    with connection.cursor() as cursor:
        execute_values(cursor, statement, rows, page_size=len(rows))


def query(connection, statement, arguments=()):
    """All rows of what a statement returns."""
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments)
        return cursor.fetchall()


def multi_fernet(keys):
    return MultiFernet([Fernet(key) for key in keys])


def decrypted(decrypt, *arguments):
    """What decrypt returns, or UNREADABLE when no key opens the token."""
    try:
        return decrypt(*arguments)
    except InvalidToken:
        return UNREADABLE
