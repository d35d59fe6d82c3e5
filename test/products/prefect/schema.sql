-- Two tables of Prefect 3, without their foreign keys.
CREATE TABLE block_document (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    name varchar NOT NULL,
    data jsonb NOT NULL DEFAULT '{}',
    is_anonymous boolean NOT NULL DEFAULT false,
    block_type_name varchar,
    block_type_id uuid NOT NULL,
    block_schema_id uuid NOT NULL
);
CREATE UNIQUE INDEX uq_block__type_id_name ON block_document (block_type_id, name);

CREATE TABLE configuration (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    key varchar NOT NULL UNIQUE,
    value jsonb NOT NULL DEFAULT '{}'
);
