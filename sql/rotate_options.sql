--
-- How much is done at once and by whom: batch_rows, slice and slices, pause, dry_run
-- and fernet_rotate_batch
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_fernet;
LOAD 'pg_fernet';
\set old 'a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
\set keys 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=,a2V5IEIgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM='
CREATE SCHEMA regress_fernet_options;
SET search_path = regress_fernet_options, public;
-- two wide rows a page, so that 700 pages are three stripes of the slices
SET fernet.key = :'old';
CREATE TABLE wide (id integer, filler text, token text) WITH (autovacuum_enabled = false);
ALTER TABLE wide ALTER filler SET STORAGE PLAIN;
INSERT INTO wide SELECT i, repeat('x', 3500), fernet_encrypt('secret ' || i) FROM generate_series(1, 1400) AS i;
CREATE VIEW by_key AS SELECT fernet_key_index(token) AS key, count(*) FROM wide GROUP BY 1 ORDER BY 1;
SET fernet.key = :'keys';

-- a dry run counts and writes nothing, also what would fail: each has its warning,
-- but there is no error
SELECT md5(string_agg(ctid || token, ',' ORDER BY ctid)) AS before FROM wide \gset
CALL fernet_rotate_column('wide', 'token', dry_run => true);
INSERT INTO wide VALUES (0, '', 'a plaintext');
CALL fernet_rotate_column('wide', 'token', dry_run => true);
CALL fernet_rotate_column('wide', 'token', dry_run => true, on_plaintext => 'leave');
CALL fernet_rotate_column('wide', 'token', dry_run => true, on_plaintext => 'encrypt');
DELETE FROM wide WHERE id = 0;
SELECT md5(string_agg(ctid || token, ',' ORDER BY ctid)) = :'before' AS same FROM wide;

-- slices have no page in common, and together all; there may be more of them than
-- stripes
CREATE PROCEDURE rotate_slices(slices integer, VARIADIC which integer[]) LANGUAGE plpgsql AS $$
DECLARE rotated bigint; unchanged bigint; failed bigint;
BEGIN
	FOR i IN 1 .. cardinality(which) LOOP
		CALL fernet_rotate_column('wide', 'token', slice => which[i], slices => slices, rotated => rotated, unchanged => unchanged, failed => failed);
		RAISE WARNING 'slice % of %: rotated %, failed %', which[i], slices, rotated, failed;
	END LOOP;
END
$$;
CALL rotate_slices(3, 2);
-- the rows of the others were left alone
SELECT * FROM by_key;
SELECT min(id), max(id) FROM wide WHERE fernet_key_index(token) = 1;
CALL rotate_slices(3, 1, 3);
SELECT * FROM by_key;
CALL rotate_slices(1024, 4, 1024);
-- impossible ones
CALL fernet_rotate_column('wide', 'token', slice => 0);
CALL fernet_rotate_column('wide', 'token', slice => 2);
CALL fernet_rotate_column('wide', 'token', slice => 4, slices => 3);
CALL fernet_rotate_column('wide', 'token', slices => 0);
CALL fernet_rotate_column('wide', 'token', slices => 1025);
CALL fernet_decrypt_column('wide', 'token', true, slice => 2);

-- batches of any size
SET fernet.key = :'old';
TRUNCATE wide;
INSERT INTO wide SELECT i, NULL, fernet_encrypt('secret ' || i) FROM generate_series(1, 500) AS i;
SET fernet.key = :'keys';
CALL fernet_rotate_column('wide', 'token', batch_rows => 1);
CALL fernet_rotate_column('wide', 'token', batch_rows => 2147483647);
SELECT * FROM by_key;
CALL fernet_rotate_column('wide', 'token', batch_rows => 0);
CALL fernet_decrypt_column('wide', 'token', true, batch_rows => 0);

-- a pause after each batch
TRUNCATE wide;
INSERT INTO wide VALUES (1, '', fernet_encrypt('secret'));
SELECT clock_timestamp() AS start \gset
CALL fernet_rotate_column('wide', 'token', pause => '0.3 s');
SELECT clock_timestamp() - :'start' >= '0.3 s' AS paused;
CALL fernet_rotate_column('wide', 'token', pause => '-1 s');
\echo :SQLSTATE
CALL fernet_rotate_column('wide', 'token', pause => '1 month');
CALL fernet_rotate_column('wide', 'token', pause => '2 days');
CALL fernet_rotate_column('wide', 'token', pause => '1 day -1 s -1 month');
CALL fernet_decrypt_column('wide', 'token', true, pause => '-1 s');
-- a word for plaintexts that there is not
CALL fernet_rotate_column('wide', 'token', on_plaintext => 'Encrypt');
\echo :SQLSTATE

-- fernet_rotate_batch: one batch in the transaction of the caller, until there is no
-- next page
SET fernet.key = :'old';
TRUNCATE wide;
INSERT INTO wide SELECT i, NULL, fernet_encrypt('secret ' || i) FROM generate_series(1, 500) AS i;
RESET fernet.key;
BEGIN;
SET LOCAL fernet.key = :'keys';
SELECT next_position > 0 AS more, rotated BETWEEN 100 AND 300 AS about_200, unchanged, failed FROM fernet_rotate_batch('wide', 'token', 0, 200);
ROLLBACK;
SET fernet.key = :'keys';
SELECT * FROM by_key;
DO $$
DECLARE
	page bigint := 0;
	batch record;
	rotated bigint := 0;
BEGIN
	WHILE page IS NOT NULL LOOP
		SELECT * INTO batch FROM fernet_rotate_batch('wide', 'token', page, 200);
		page := batch.next_position;
		rotated := rotated + batch.rotated;
		COMMIT;
	END LOOP;
	RAISE WARNING 'rotated %', rotated;
END
$$;
SELECT * FROM by_key;
-- again, from behind the end, and of an empty table; what fails is counted and named
SELECT * FROM fernet_rotate_batch('wide', 'token');
SELECT * FROM fernet_rotate_batch('wide', 'token', 4294967294 * 65536);
TRUNCATE wide;
SELECT * FROM fernet_rotate_batch('wide', 'token', 0, 1);
INSERT INTO wide VALUES (1, NULL, 'a plaintext'), (2, NULL, fernet_encrypt('secret'));
SELECT * FROM fernet_rotate_batch('wide', 'token');
-- impossible batches
SELECT * FROM fernet_rotate_batch('wide', 'token', -1);
\echo :SQLSTATE
SELECT * FROM fernet_rotate_batch('wide', 'token', 281474976710656);
SELECT * FROM fernet_rotate_batch('wide', 'token', 0, 0);
TRUNCATE wide;

-- whatever the session's transactions are, and with a key that the first one alone
-- has: it stays for the whole call
SET fernet.key = :'old';
INSERT INTO wide SELECT i, NULL, fernet_encrypt('secret ' || i) FROM generate_series(1, 200) AS i;
SET default_transaction_isolation = serializable;
SET default_transaction_deferrable = on;
SET regress_fernet.keys = :'keys';
DO $$
DECLARE rotated bigint; unchanged bigint; failed bigint;
BEGIN
	PERFORM set_config('fernet.key', current_setting('regress_fernet.keys'), true);
	CALL fernet_rotate_column('wide', 'token', 10, rotated => rotated, unchanged => unchanged, failed => failed);
	RAISE WARNING 'rotated %, unchanged %, failed %', rotated, unchanged, failed;
END
$$;
SELECT fernet_key_index(token) AS by_old_key, count(*) FROM wide GROUP BY 1;
SHOW transaction_isolation;
SET default_transaction_isolation = 'repeatable read';
SET fernet.key = :'keys';
CALL fernet_rotate_column('wide', 'token');
SELECT * FROM by_key;

RESET default_transaction_isolation;
SET search_path TO DEFAULT;
DROP SCHEMA regress_fernet_options CASCADE;
