-- The table of Keystone 22 (OpenStack Zed); those before and after are the same.
CREATE TABLE credential (
    id varchar(64) PRIMARY KEY,
    user_id varchar(64) NOT NULL,
    project_id varchar(64),
    type varchar(255) NOT NULL,
    extra text,
    key_hash varchar(64) NOT NULL,
    encrypted_blob text NOT NULL
);
