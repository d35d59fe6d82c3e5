-- The columns of Langflow 1.5 in the three tables that hold tokens, without the
-- foreign keys.
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
