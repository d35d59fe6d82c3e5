--
-- Everything else that follows an UPDATE: indexes, foreign keys, publications
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
LOAD 'pg_fernet';
\set old 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set keys 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=,a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
CREATE SCHEMA regress_fernet_indexes;
SET search_path = regress_fernet_indexes, public;

-- an index of each kind finds every new value, and no old one
SET fernet.key = :'old';
CREATE TABLE indexed (id integer, token text, other integer) WITH (fillfactor = 50);
CREATE TABLE original AS SELECT i AS id, fernet_encrypt('secret ' || i) AS token, i AS other FROM generate_series(1, 500) AS i;
CREATE PROCEDURE with_index(kind text, definition text, condition text) LANGUAGE plpgsql AS $$
DECLARE
	rotated bigint;
	unchanged bigint;
	failed bigint;
	found_new bigint;
	found_old bigint;
BEGIN
	TRUNCATE indexed;
	INSERT INTO indexed SELECT * FROM original;
	EXECUTE format('CREATE %s an_index ON indexed %s', kind, definition);
	CALL fernet_rotate_column('indexed', 'token', 100, rotated => rotated, unchanged => unchanged, failed => failed);
	CREATE TEMPORARY TABLE rotated_rows ON COMMIT DROP AS SELECT * FROM indexed;
	SET LOCAL enable_seqscan = off;
	SET LOCAL jit = off;
	EXECUTE format('SELECT count(*) FROM rotated_rows AS r WHERE EXISTS (SELECT FROM indexed AS i WHERE %s)', condition) INTO found_new;
	EXECUTE format('SELECT count(*) FROM original AS r WHERE EXISTS (SELECT FROM indexed AS i WHERE %s)', condition) INTO found_old;
	DROP INDEX an_index;
	COMMIT;
	RAISE WARNING '% %: rotated %, found % new, % old', kind, definition, rotated, found_new, found_old;
END
$$;
SET fernet.key = :'keys';
CALL with_index('INDEX', '(token)', 'i.token = r.token');
CALL with_index('UNIQUE INDEX', '(token)', 'i.token = r.token');
CALL with_index('INDEX', '(right(token, 30))', 'right(i.token, 30) = right(r.token, 30)');
CALL with_index('INDEX', '(token) WHERE fernet_is_token(token) AND id % 2 = 0', 'i.token = r.token AND fernet_is_token(i.token) AND i.id % 2 = 0');
CALL with_index('INDEX', '(id) INCLUDE (token)', 'i.id = r.id AND i.token = r.token');
CALL with_index('INDEX', 'USING hash (token)', 'i.token = r.token');
CALL with_index('INDEX', 'USING brin (token) WITH (pages_per_range = 1)', 'i.token = r.token');
-- on other columns, where the row may stay on its page: both find the row
CALL with_index('INDEX', '(other)', 'i.other = r.other');
CALL with_index('INDEX', 'USING brin (other)', 'i.other = r.other');
-- constraints with an index, checked at once or at the end of the batch
TRUNCATE indexed;
INSERT INTO indexed SELECT * FROM original;
ALTER TABLE indexed ADD PRIMARY KEY (id), ADD CONSTRAINT late UNIQUE (token) DEFERRABLE INITIALLY DEFERRED,
	ADD CONSTRAINT apart EXCLUDE USING hash (token WITH =);
CALL fernet_rotate_column('indexed', 'token', batch_rows => 100);
SELECT count(*), count(DISTINCT token) AS "distinct", count(*) FILTER (WHERE fernet_decrypt(token) = 'secret ' || id) AS right FROM indexed;

-- foreign keys: rows of a table that others refer to, and a token that others refer
-- to and follow
SET fernet.key = :'old';
CREATE TABLE account (id integer PRIMARY KEY, token text UNIQUE);
CREATE TABLE login (account integer REFERENCES account, token text REFERENCES account (token) ON UPDATE CASCADE, secret text);
INSERT INTO account SELECT i, fernet_encrypt('secret ' || i) FROM generate_series(1, 3) AS i;
INSERT INTO login SELECT id, token, fernet_encrypt('login ' || id) FROM account;
SET fernet.key = :'keys';
CALL fernet_rotate_column('account', 'token');
CALL fernet_rotate_column('login', 'secret');
SELECT id, fernet_decrypt(a.token), a.token = l.token AS same, fernet_key_index(l.token) AS token, fernet_key_index(secret) AS secret
FROM account AS a JOIN login AS l ON account = id ORDER BY id;
DROP TABLE account, login;

-- a published table whose rows a subscriber could not find
CREATE TABLE published (id integer, token text);
SET fernet.key = :'old';
INSERT INTO published VALUES (1, fernet_encrypt('secret'));
SET fernet.key = :'keys';
SET client_min_messages = error;
CREATE PUBLICATION regress_fernet_publication FOR TABLE published;
SET client_min_messages = warning;
CALL fernet_rotate_column('published', 'token');
\echo :SQLSTATE
ALTER TABLE published REPLICA IDENTITY FULL;
CALL fernet_rotate_column('published', 'token');

SET search_path TO DEFAULT;
DROP SCHEMA regress_fernet_indexes CASCADE;
DROP PUBLICATION regress_fernet_publication;
