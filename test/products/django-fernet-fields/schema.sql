-- What Django makes of a model with an EncryptedTextField, an
-- EncryptedIntegerField and an EncryptedDateField of django-fernet-fields 0.6.
CREATE TABLE shop_customer (
    id serial PRIMARY KEY,
    name varchar(100) NOT NULL,
    card_number bytea NOT NULL,
    credit_limit bytea,
    born bytea
);
