-- The two tables of Redash 10 that hold tokens, without their foreign keys.
CREATE TABLE data_sources (
    id serial PRIMARY KEY,
    org_id integer,
    name varchar(255) NOT NULL,
    type varchar(255) NOT NULL,
    encrypted_options bytea NOT NULL,
    queue_name varchar(255) NOT NULL DEFAULT 'queries',
    scheduled_queue_name varchar(255) NOT NULL DEFAULT 'scheduled_queries',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX data_sources_org_id_name ON data_sources (org_id, name);

CREATE TABLE notification_destinations (
    id serial PRIMARY KEY,
    org_id integer,
    user_id integer NOT NULL,
    name varchar(255) NOT NULL,
    type varchar(255) NOT NULL,
    encrypted_options bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX notification_destinations_org_id_name
    ON notification_destinations (org_id, name);
