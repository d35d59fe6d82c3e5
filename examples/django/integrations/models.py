from django.db import models

from fernet_fields.fields import FernetTextField


class Integration(models.Model):
    name = models.CharField(max_length=100, unique=True)
    api_token = FernetTextField(null=True)


class Contact(models.Model):
    email = FernetTextField(blind_index="email_index", index_context="contact.email")
    # A trigger writes it: see the migration.
    email_index = models.BinaryField(null=True, editable=False, unique=True)
