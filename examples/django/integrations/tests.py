"""The life of a key. Keys that everybody knows; yours come from elsewhere."""

import io
from contextlib import contextmanager
from unittest import skipUnless

from cryptography.fernet import Fernet
from django.core.exceptions import FieldError, ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import Error, IntegrityError, connection, models, transaction
from django.db.models import F, Value
from django.test import TransactionTestCase
from django.test.utils import isolate_apps

import fernet_fields
from fernet_fields.fields import FernetTextField
from fernet_fields.functions import (
    FernetDecrypt,
    FernetEncrypt,
    FernetKeyIndex,
    FernetTryDecrypt,
    FernetVerify,
)

from .models import Contact, Integration

OLD_KEY = "this-is-test-key-1-do-not-use-it-anywhere-A="
NEW_KEY = "this-is-test-key-2-do-not-use-it-anywhere-A="
BOTH_KEYS = f"{NEW_KEY},{OLD_KEY}"

psycopg3 = connection.Database.__name__ == "psycopg"


@contextmanager
def process_with(keys, index_keys=""):
    """The block is another process of the application, whose settings have these keys."""
    options = connection.settings_dict["OPTIONS"]
    connection.settings_dict["OPTIONS"] = {
        **{name: value for name, value in options.items() if name != "options"},
        **fernet_fields.connection_options(keys, index_keys),
    }
    connection.close()
    try:
        yield
    finally:
        connection.settings_dict["OPTIONS"] = options
        connection.close()


def tokens():
    """What the table holds, by name."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, api_token FROM integrations_integration")
        return dict(cursor.fetchall())


class Case(TransactionTestCase):
    @contextmanager
    def assertFails(self, state):
        with self.assertRaises(Error) as caught, transaction.atomic():
            yield
        self.assertEqual(fernet_fields.sqlstate(caught.exception), state)
        self.assertNotIn("a secret", str(caught.exception))


class BlindIndexTest(Case):
    def test_a_contact_is_found_by_email(self):
        with process_with(OLD_KEY, OLD_KEY):
            Contact.objects.bulk_create(Contact(email=f"{who}@example.com") for who in "abc")
            self.assertEqual(Contact.objects.get(email="b@example.com").email, "b@example.com")
            self.assertFalse(Contact.objects.filter(email="d@example.com").exists())
            self.assertEqual(Contact.objects.exclude(email="a@example.com").count(), 2)
            with self.assertRaises(IntegrityError), transaction.atomic():
                Contact.objects.create(email="a@example.com")
            Contact.objects.filter(email="c@example.com").update(email="d@example.com")
            self.assertEqual(Contact.objects.get(email="d@example.com").email, "d@example.com")
            with self.assertRaises(FieldError):
                Contact.objects.filter(email__startswith="a")
        # While the index key is replaced, rows under the old one are found.
        with process_with(OLD_KEY, BOTH_KEYS):
            self.assertEqual(Contact.objects.get(email="a@example.com").email, "a@example.com")

    def test_a_rotation_needs_no_index_key(self):
        with process_with(OLD_KEY, OLD_KEY):
            Contact.objects.create(email="a@example.com")
        with process_with(BOTH_KEYS):
            call_command("rotate_fernet_keys", stdout=io.StringIO())
        with process_with(NEW_KEY, OLD_KEY):
            self.assertEqual(Contact.objects.get(email="a@example.com").email, "a@example.com")


class FieldTest(Case):
    def setUp(self):
        process = process_with(OLD_KEY)
        process.__enter__()
        self.addCleanup(process.__exit__, None, None, None)

    def test_every_way_to_write(self):
        saved = Integration.objects.create(name="create", api_token="zażółć 🔑 100 %s")
        self.assertEqual(Integration.objects.get(pk=saved.pk).api_token, "zażółć 🔑 100 %s")

        saved.api_token = "saved"
        saved.save()
        Integration.objects.create(name="null")
        Integration.objects.create(name="empty", api_token="")
        Integration.objects.bulk_create(
            Integration(name=f"bulk {n}", api_token=f"secret {n}") for n in range(3)
        )
        Integration.objects.update_or_create(name="bulk 0", defaults={"api_token": "other"})
        Integration.objects.filter(name="bulk 1").update(api_token="updated")
        changed = Integration.objects.get(name="bulk 2")
        changed.api_token = "bulk updated"
        Integration.objects.bulk_update([changed], ["api_token"])

        expected = {
            "create": "saved",
            "null": None,
            "empty": "",
            "bulk 0": "other",
            "bulk 1": "updated",
            "bulk 2": "bulk updated",
        }
        self.assertEqual(dict(Integration.objects.values_list("name", "api_token")), expected)
        # The same tokens, read without the database.
        fernet = Fernet(OLD_KEY)
        outside = {
            name: token and fernet.decrypt(token.encode()).decode()
            for name, token in tokens().items()
        }
        self.assertEqual(outside, expected)

    def test_tokens_of_python_can_be_stored_and_read(self):
        token = Fernet(OLD_KEY).encrypt(b"from Python").decode()
        Integration.objects.create(name="python", api_token=Value(token))
        self.assertEqual(Integration.objects.get().api_token, "from Python")

    def test_expressions(self):
        Integration.objects.create(name="chat", api_token="my API token")
        Integration.objects.create(name="wiki")
        # By the database, from a column or from Python.
        Integration.objects.filter(name="wiki").update(api_token=FernetEncrypt(F("name")))
        query = Integration.objects.annotate(
            text=FernetDecrypt("api_token"),
            text_or_null=FernetTryDecrypt("api_token"),
            key=FernetKeyIndex("api_token"),
        )
        self.assertEqual(
            list(query.order_by("name").values_list("text", "text_or_null", "key")),
            [("my API token", "my API token", 1), ("wiki", "wiki", 1)],
        )
        self.assertEqual(query.get(text="wiki").name, "wiki")
        self.assertEqual(Integration.objects.filter(FernetVerify("api_token")).count(), 2)
        # The token itself, not encrypted a second time.
        before = tokens()
        Integration.objects.update(api_token=F("api_token"))
        self.assertEqual(tokens(), before)

    def test_a_plaintext_does_not_get_past_the_field(self):
        Integration.objects.create(name="chat", api_token="my API token")
        with self.assertFails("23514"):
            Integration.objects.update(api_token=Value("a secret"))
        with self.assertFails("23514"), connection.cursor() as cursor:
            cursor.execute("UPDATE integrations_integration SET api_token = 'a secret'")

    def test_a_search_for_a_plaintext_is_an_error(self):
        for lookup in "api_token", "api_token__contains", "api_token__in":
            with self.assertRaises(FieldError):
                Integration.objects.filter(**{lookup: "x"}).exists()
        self.assertFalse(Integration.objects.filter(api_token__isnull=False).exists())

    @isolate_apps("integrations")
    def test_an_index_is_refused(self):
        class Wrong(models.Model):
            unique = FernetTextField(unique=True)
            indexed = FernetTextField(db_index=True)
            right = FernetTextField()

        errors = [(e.id, e.obj.name) for e in Wrong.check() if e.id.startswith("fernet")]
        self.assertEqual(
            errors, [("fernet_fields.E001", "unique"), ("fernet_fields.E001", "indexed")]
        )


class KeyTest(Case):
    def test_errors(self):
        with process_with(OLD_KEY):
            Integration.objects.create(name="chat", api_token="my API token")
        with process_with(""):
            with self.assertFails(fernet_fields.NO_KEY):
                Integration.objects.create(name="wiki", api_token="a secret")
            with self.assertFails(fernet_fields.NO_KEY):
                Integration.objects.get()
            # Who does not ask for the secret needs no key.
            self.assertEqual(Integration.objects.defer("api_token").get().name, "chat")
        with process_with(NEW_KEY):
            with self.assertFails(fernet_fields.WRONG_KEY):
                Integration.objects.get()
            with self.assertFails(fernet_fields.NOT_A_TOKEN):
                Integration.objects.annotate(x=FernetDecrypt("name")).get(x="")

    @skipUnless(psycopg3, "needs psycopg 3")
    def test_key_of_a_transaction(self):
        with process_with(""):
            with fernet_fields.transaction(OLD_KEY):
                Integration.objects.create(name="chat", api_token="my API token")
                self.assertEqual(Integration.objects.get().api_token, "my API token")
            with self.assertFails(fernet_fields.NO_KEY):
                Integration.objects.get()
            with self.assertRaises(ZeroDivisionError), fernet_fields.transaction(OLD_KEY):
                Integration.objects.create(name="lost", api_token=str(1 / 0))
            with self.assertFails(fernet_fields.NO_KEY):
                Integration.objects.get()

    @skipUnless(not psycopg3, "needs psycopg2")
    def test_key_of_a_transaction_is_refused_without_bind_parameters(self):
        with self.assertRaises(ImproperlyConfigured), fernet_fields.transaction(OLD_KEY):
            self.fail("It would be in the statement.")


class RotationTest(Case):
    def rotate(self, **options):
        output = io.StringIO()
        call_command("rotate_fernet_keys", stdout=output, **options)
        return output.getvalue()

    def test_life_of_a_key(self):
        with process_with(OLD_KEY):
            Integration.objects.bulk_create(
                Integration(name=f"bulk {n}", api_token=f"secret {n}") for n in range(2000)
            )
        # The application is deployed with both keys first.
        with process_with(BOTH_KEYS):
            Integration.objects.create(name="new", api_token="under the new key")
            # Slow and in small batches, for there to be something to see.
            output = self.rotate(every=0.05, batch_rows=100, pause="50 ms")
            self.assertRegex(output, r"(?m)\.api_token: [1-9]\d? %, [1-9]\d* rotated, 00:00:\d\d left$")
            self.assertRegex(output, r"(?m)\.api_token: 2000 rotated, 1 unchanged$")
            self.assertRegex(output, r"(?m)^Every value is encrypted with the first key")
        with process_with(NEW_KEY):
            self.assertEqual(Integration.objects.get(name="bulk 1999").api_token, "secret 1999")
            token = tokens()["bulk 0"].encode()
            self.assertEqual(Fernet(NEW_KEY).decrypt(token), b"secret 0")
        with process_with(OLD_KEY), self.assertFails(fernet_fields.WRONG_KEY):
            Integration.objects.get(name="bulk 0")

    def test_a_value_that_no_key_opens(self):
        with process_with(OLD_KEY):
            Integration.objects.create(name="chat", api_token="my API token")
        with process_with(NEW_KEY), self.assertRaisesRegex(CommandError, fernet_fields.NOT_ROTATED):
            self.rotate()
