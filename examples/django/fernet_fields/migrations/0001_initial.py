from django.db import migrations


class Migration(migrations.Migration):
    dependencies = []
    operations = [
        migrations.RunSQL(
            "CREATE EXTENSION IF NOT EXISTS pg_fernet",
            # Others may use it.
            migrations.RunSQL.noop,
        ),
        # Of this type are the columns: a plaintext that somebody forgot to encrypt
        # is refused, and not shown in the error.
        migrations.RunSQL(
            "CREATE DOMAIN fernet_token AS text CHECK (fernet_is_token(VALUE))",
            "DROP DOMAIN fernet_token",
        ),
    ]
