-- An application that nobody has described, with tokens in many forms.
CREATE TABLE integration (
    id int PRIMARY KEY,
    config jsonb NOT NULL,
    backup_codes text[],
    search tsvector
);

CREATE TABLE account (
    id int PRIMARY KEY,
    webhook text
);

CREATE SCHEMA archive;
CREATE TABLE archive.integration (
    archived_at timestamptz NOT NULL DEFAULT now(),
    id int,
    config jsonb
);
