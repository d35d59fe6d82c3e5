-- Two tables of OpenMetadata 1.8.
CREATE TABLE dbservice_entity (
    id varchar(36) GENERATED ALWAYS AS (json ->> 'id') STORED NOT NULL,
    name varchar(256) GENERATED ALWAYS AS (json ->> 'name') STORED NOT NULL,
    serviceType varchar(256) GENERATED ALWAYS AS (json ->> 'serviceType') STORED NOT NULL,
    json jsonb NOT NULL,
    updatedAt bigint GENERATED ALWAYS AS ((json ->> 'updatedAt')::bigint) STORED NOT NULL,
    updatedBy varchar(256) GENERATED ALWAYS AS (json ->> 'updatedBy') STORED NOT NULL,
    deleted boolean GENERATED ALWAYS AS ((json ->> 'deleted')::boolean) STORED,
    nameHash varchar(256) NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (nameHash)
);

CREATE TABLE entity_extension (
    id varchar(36) NOT NULL,
    extension varchar(256) NOT NULL,
    jsonSchema varchar(256) NOT NULL,
    json jsonb NOT NULL,
    PRIMARY KEY (id, extension)
);
