-- Two tables of Sentry 25, without their foreign keys.
CREATE TABLE sentry_integration (
    id bigserial PRIMARY KEY,
    provider varchar(64) NOT NULL,
    external_id varchar(64) NOT NULL,
    name varchar(200) NOT NULL,
    metadata jsonb NOT NULL,
    status integer NOT NULL DEFAULT 0,
    date_added timestamptz DEFAULT now(),
    date_updated timestamptz DEFAULT now(),
    UNIQUE (provider, external_id)
);

CREATE TABLE sentry_identity (
    id bigserial PRIMARY KEY,
    idp_id bigint NOT NULL,
    user_id bigint NOT NULL,
    external_id text NOT NULL,
    data jsonb NOT NULL,
    status integer NOT NULL DEFAULT 0,
    scopes text[] NOT NULL DEFAULT '{}',
    date_verified timestamptz NOT NULL DEFAULT now(),
    date_added timestamptz NOT NULL DEFAULT now(),
    UNIQUE (idp_id, external_id),
    UNIQUE (idp_id, user_id)
);
