-- The table of JupyterHub 3.0.
CREATE TABLE users (
    id serial PRIMARY KEY,
    name varchar(255) UNIQUE,
    admin boolean,
    created timestamp,
    last_activity timestamp,
    cookie_id varchar(255) NOT NULL UNIQUE,
    state text,
    encrypted_auth_state bytea
);
