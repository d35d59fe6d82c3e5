"""Makes the tables, and removes those that it has made before."""

from pathlib import Path

from sqlalchemy.engine import Engine

MARK = "made by the example of pg_fernet"


def create(engine: Engine) -> None:
    """Starts anew. A schema of that name that is somebody else's is an error."""
    with engine.begin() as connection:
        drop_own = f"""
            DO $$ BEGIN
              IF obj_description(to_regnamespace('integrations'), 'pg_namespace')
                 = '{MARK}' THEN
                DROP SCHEMA integrations CASCADE;
              END IF;
            END $$"""
        connection.exec_driver_sql(drop_own)
        connection.exec_driver_sql(Path(__file__).with_name("schema.sql").read_text())
        connection.exec_driver_sql(f"COMMENT ON SCHEMA integrations IS '{MARK}'")
