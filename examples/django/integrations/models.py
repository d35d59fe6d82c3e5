from django.db import models

from fernet_fields.fields import FernetTextField


class Integration(models.Model):
    name = models.CharField(max_length=100, unique=True)
    api_token = FernetTextField(null=True)
