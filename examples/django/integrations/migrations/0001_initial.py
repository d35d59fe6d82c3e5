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
        migrations.CreateModel(
            name="Contact",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "email",
                    fernet_fields.fields.FernetTextField(
                        blind_index="email_index", index_context="contact.email"
                    ),
                ),
                ("email_index", models.BinaryField(editable=False, null=True, unique=True)),
            ],
        ),
        # Keeps the blind index, whoever writes.
        migrations.RunSQL(
            """
            CREATE TRIGGER keep_index BEFORE INSERT OR UPDATE ON integrations_contact
                FOR EACH ROW EXECUTE FUNCTION
                fernet_blind_index_trigger('email', 'email_index', 'contact.email')
            """,
            "DROP TRIGGER keep_index ON integrations_contact",
        ),
    ]
