-- The columns of Langflow in the tables that hold tokens, without the foreign
-- keys; of the newer tables those that matter here.
CREATE TABLE "user" (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    username varchar NOT NULL UNIQUE,
    password varchar NOT NULL,
    profile_image varchar,
    is_active boolean NOT NULL DEFAULT true,
    is_superuser boolean NOT NULL DEFAULT false,
    create_at timestamp NOT NULL DEFAULT now(),
    updated_at timestamp NOT NULL DEFAULT now(),
    last_login_at timestamp,
    store_api_key varchar,
    optins json
);

CREATE TABLE variable (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name varchar NOT NULL,
    value varchar,
    type varchar,
    default_fields json,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz,
    user_id uuid NOT NULL
);

CREATE TABLE folder (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name varchar NOT NULL,
    description text,
    parent_id uuid,
    user_id uuid,
    auth_settings json
);

CREATE TABLE apikey (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name varchar,
    api_key varchar NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    user_id uuid NOT NULL
);

CREATE TABLE deployment_provider_account (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name varchar NOT NULL,
    api_key varchar NOT NULL
);

CREATE TABLE connection_secret (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name varchar NOT NULL,
    encrypted_payload text NOT NULL
);

CREATE TABLE trigger (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name varchar NOT NULL,
    signing_secret_encrypted text NOT NULL
);

CREATE TABLE mcp_server (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name varchar NOT NULL,
    config json NOT NULL
);
