from django.core import checks
from django.db import models
from django.db.models.lookups import Exact


class FernetTextField(models.TextField):
    """A text of any length, which the table holds as a Fernet token.

    The database encrypts what is written and decrypts what is selected. An
    attribute is the plaintext; defer() and only() save the decryption.

    A search for a plaintext finds nothing, since the same text has another token
    each time. So filter(secret="x") is an error; there is secret__isnull alone. But
    with blind_index, the name of a BinaryField of the same model that holds blind
    indexes in the context index_context, filter(secret="x") finds the row by that.

    In update(), an expression is taken as it is: FernetEncrypt("plain"), or
    F("secret") for the same token. A plaintext from there, as from anywhere else,
    is refused by the type of the column.
    """

    def __init__(self, *args, blind_index=None, index_context=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.blind_index = blind_index
        self.index_context = index_context

    def deconstruct(self):
        name, path, args, kwargs = super().deconstruct()
        if self.blind_index:
            kwargs.update(blind_index=self.blind_index, index_context=self.index_context)
        return name, path, args, kwargs

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
        if lookup_name == "exact" and self.blind_index:
            return HasPlaintext
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


class HasPlaintext(Exact):
    """filter(secret="x"): the blind index of the column is one of those of the text.

    There is one for each index key, so that rows are found while a key is replaced.
    """

    prepare_rhs = False

    def as_sql(self, compiler, connection):
        field = self.lhs.target
        index = field.model._meta.get_field(field.blind_index).column
        column = f"{compiler.quote_name_unless_alias(self.lhs.alias)}.{connection.ops.quote_name(index)}"
        return (
            f"{column} = ANY (fernet_blind_indexes(%s::text, %s::text))",
            [self.rhs, field.index_context],
        )
