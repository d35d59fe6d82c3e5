"""python_drivers.py DRIVER options|bind: gives the key in FERNET_KEY to a session,
and prints the fingerprint that it has. The database is app."""

import asyncio
import os
import sys

key = os.environ["FERNET_KEY"]
FINGERPRINT = "SELECT fingerprint FROM fernet_keys()"


def psycopg_options():
    import psycopg

    conn = psycopg.connect("dbname=app", options=f"-c fernet.key={key}")
    return conn.execute(FINGERPRINT).fetchone()[0]


def psycopg_bind():
    import psycopg

    conn = psycopg.connect("dbname=app")
    conn.execute("SELECT set_config('fernet.key', %s, false)", [key])
    return conn.execute(FINGERPRINT).fetchone()[0]


def psycopg2_options():
    import psycopg2

    conn = psycopg2.connect("dbname=app", options=f"-c fernet.key={key}")
    cursor = conn.cursor()
    cursor.execute(FINGERPRINT)
    return cursor.fetchone()[0]


def psycopg2_bind():
    import psycopg2

    cursor = psycopg2.connect("dbname=app").cursor()
    cursor.execute("SELECT set_config('fernet.key', %s, false)", [key])
    cursor.execute(FINGERPRINT)
    return cursor.fetchone()[0]


def sqlalchemy_psycopg2_options():
    from sqlalchemy import create_engine, text

    url = "postgresql+psycopg2:///app"
    engine = create_engine(url, connect_args={"options": f"-c fernet.key={key}"})
    with engine.connect() as conn:
        return conn.execute(text(FINGERPRINT)).scalar()


def sqlalchemy_psycopg_options():
    from sqlalchemy import create_engine, text

    url = "postgresql+psycopg:///app"
    engine = create_engine(url, connect_args={"options": f"-c fernet.key={key}"})
    with engine.connect() as conn:
        return conn.execute(text(FINGERPRINT)).scalar()


def sqlalchemy_asyncpg_options():
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine

    async def run():
        url = "postgresql+asyncpg:///app"
        engine = create_async_engine(url, connect_args={"server_settings": {"fernet.key": key}})
        async with engine.connect() as conn:
            return (await conn.execute(text(FINGERPRINT))).scalar()

    return asyncio.run(run())


def django_options():
    from django.conf import settings
    from django.db import connection

    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": "app",
                "OPTIONS": {"options": f"-c fernet.key={key}"},
            }
        }
    )
    with connection.cursor() as cursor:
        cursor.execute(FINGERPRINT)
        return cursor.fetchone()[0]


def asyncpg_options():
    import asyncpg

    async def run():
        dsn = "postgresql:///app"
        conn = await asyncpg.connect(dsn, server_settings={"fernet.key": key})
        return await conn.fetchval(FINGERPRINT)

    return asyncio.run(run())


def asyncpg_bind():
    import asyncpg

    async def run():
        conn = await asyncpg.connect("postgresql:///app")
        await conn.execute("SELECT set_config('fernet.key', $1, false)", key)
        return await conn.fetchval(FINGERPRINT)

    return asyncio.run(run())


print(globals()["_".join(sys.argv[1:])]())
