"""FernetText: a column of text that the database encrypts and decrypts."""

from typing import Any

from sqlalchemy import Text, any_, cast, func, type_coerce
from sqlalchemy.sql import operators
from sqlalchemy.types import TypeDecorator


class FernetText(TypeDecorator):
    """Text in Python, a Fernet token in the table.

    Values go through fernet_encrypt() on their way in and through fernet_decrypt()
    on their way out. The session needs its key: see database.py.

    With the name of a column of blind indexes in the same table, and their context,
    "==" finds a row by its plaintext. The session needs fernet.index_key for that.
    """

    impl = Text
    cache_ok = True

    def __init__(self, index: str | None = None, context: str | None = None) -> None:
        super().__init__()
        self.index = index
        self.context = context

    def bind_expression(self, bindparam: Any) -> Any:
        # The cast picks fernet_encrypt(text): there is one for bytea, too.
        return func.fernet_encrypt(cast(type_coerce(bindparam, Text), Text))

    def column_expression(self, column: Any) -> Any:
        return func.fernet_decrypt(column)

    class comparator_factory(TypeDecorator.Comparator):
        """Allows the comparison with NULL, "==" by a blind index, and no other.

        The same plaintext gives another token each time. A search for one would
        find nothing, and an order would be random, without a word.
        """

        def _has_plaintext(self, plaintext: Any) -> Any:
            # One index for each key of fernet.index_key, so that rows are found while
            # that key is replaced.
            return self.expr.table.c[self.type.index] == any_(
                func.fernet_blind_indexes(
                    cast(type_coerce(plaintext, Text), Text), cast(self.type.context, Text)
                )
            )

        def operate(self, op: Any, *other: Any, **kwargs: Any) -> Any:
            if op in (operators.is_, operators.is_not) or (
                op in (operators.eq, operators.ne) and other == (None,)
            ):
                return super().operate(op, *other, **kwargs)
            if op is operators.eq and self.type.index is not None:
                return self._has_plaintext(other[0])
            raise TypeError(
                "an encrypted column can be compared with NULL only: "
                "search by another column"
            )
