"""pg_fernet's functions, for annotate(), update() and filter().

With psycopg2, and with psycopg 3 unless OPTIONS has "server_side_binding", a
plaintext is a part of the statement's text: see README.md.
"""

from django.db.models import BooleanField, Func, IntegerField, TextField
from django.db.models.functions import Cast


class FernetEncrypt(Func):
    """The token of a text: update(secret=FernetEncrypt("plain"))."""

    function = "fernet_encrypt"
    arity = 1
    output_field = TextField()

    def __init__(self, expression, **extra):
        # The function exists for text and for bytea.
        super().__init__(Cast(expression, TextField()), **extra)


class FernetDecrypt(Func):
    """The text of a token: annotate(secret_text=FernetDecrypt("secret"))."""

    function = "fernet_decrypt"
    arity = 1
    output_field = TextField()


class FernetTryDecrypt(FernetDecrypt):
    """The same, but NULL for a value that is not a token or that no key decrypts."""

    function = "fernet_try_decrypt"


class FernetKeyIndex(Func):
    """The position of the key that decrypts a token, from 1; NULL for none."""

    function = "fernet_key_index"
    arity = 1
    output_field = IntegerField()


class FernetVerify(Func):
    """Whether a key decrypts a token: filter(FernetVerify("secret"))."""

    function = "fernet_verify"
    arity = 1
    output_field = BooleanField()
