from django.core import checks
from django.db import models


class FernetTextField(models.TextField):
    """A text of any length, which the table holds as a Fernet token.

    The database encrypts what is written and decrypts what is selected. An
    attribute is the plaintext; defer() and only() save the decryption.

    A search for a plaintext finds nothing, since the same text has another token
    each time. So filter(secret="x") is an error; there is secret__isnull alone.

    In update(), an expression is taken as it is: FernetEncrypt("plain"), or
    F("secret") for the same token. A plaintext from there, as from anywhere else,
    is refused by the type of the column.
    """

    def db_type(self, connection):
        # A domain over text: migration 0001_initial makes it.
        return "fernet_token"

    def cast_db_type(self, connection):
        return "text"

    def rel_db_type(self, connection):
        return "fernet_token"

    # Django calls this wherever it writes a value.
    def get_placeholder(self, value, compiler, connection):
        if hasattr(value, "as_sql"):
            return "%s"
        return "fernet_encrypt(%s::text)"

    # Django calls this where the column is in the list of a SELECT, and nowhere
    # else: in WHERE, ORDER BY or a function the column is the token.
    def select_format(self, compiler, sql, params):
        return f"fernet_decrypt({sql})", params

    def get_lookup(self, lookup_name):
        return super().get_lookup(lookup_name) if lookup_name == "isnull" else None

    def check(self, **kwargs):
        errors = super().check(**kwargs)
        if self.unique or self.db_index:
            errors.append(
                checks.Error(
                    "FernetTextField cannot be indexed, unique or a primary key.",
                    hint="The same text has another token each time.",
                    obj=self,
                    id="fernet_fields.E001",
                )
            )
        return errors
