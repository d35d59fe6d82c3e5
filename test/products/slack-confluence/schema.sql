-- The tables of a platform that keeps credentials of Slack and Confluence.
CREATE TABLE slack_connections (
    id serial PRIMARY KEY,
    team_id varchar(32) NOT NULL UNIQUE,
    bot_token_encrypted text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE confluence_connections (
    id serial PRIMARY KEY,
    site varchar(255) NOT NULL UNIQUE,
    access_token_encrypted text NOT NULL,
    refresh_token_encrypted text,
    expires_at timestamptz
);
