"""FernetText: a column of text that the database encrypts and decrypts."""

from typing import Any

from sqlalchemy import Text, cast, func, type_coerce
from sqlalchemy.sql import operators
from sqlalchemy.types import TypeDecorator


class FernetText(TypeDecorator):
    """Text in Python, a Fernet token in the table.

    Values go through fernet_encrypt() on their way in and through fernet_decrypt()
    on their way out. The session needs its key: see database.py.
    """

    impl = Text
    cache_ok = True

    def bind_expression(self, bindparam: Any) -> Any:
        # The cast picks fernet_encrypt(text): there is one for bytea, too.
        return func.fernet_encrypt(cast(type_coerce(bindparam, Text), Text))

    def column_expression(self, column: Any) -> Any:
        return func.fernet_decrypt(column)

    class comparator_factory(TypeDecorator.Comparator):
        """Allows the comparison with NULL and no other.

        The same plaintext gives another token each time. A search for one would
        find nothing, and an order would be random, without a word.
        """

        def operate(self, op: Any, *other: Any, **kwargs: Any) -> Any:
            if op in (operators.is_, operators.is_not) or (
                op in (operators.eq, operators.ne) and other == (None,)
            ):
                return super().operate(op, *other, **kwargs)
            raise TypeError(
                "an encrypted column can be compared with NULL only: "
                "search by another column"
            )
