from django.db import migrations, models

import fernet_fields.fields


class Migration(migrations.Migration):
    # makemigrations does not know that the type of the column comes from there.
    dependencies = [("fernet_fields", "0001_initial")]
    operations = [
        migrations.CreateModel(
            name="Integration",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=100, unique=True)),
                ("api_token", fernet_fields.fields.FernetTextField(null=True)),
            ],
        ),
    ]
