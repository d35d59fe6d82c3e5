# A rotation beside an application: batches bounded by what they do, hot and
# locked rows, deadlocks, triggers that raise what they like, damaged values,
# standbys that lag, and autovacuum. FERNET_LONG=1 tries more SQLSTATEs, and
# watches how far the table grows.

use strict;
use warnings FATAL => 'all';

use FernetTest qw(session start_session finish_session);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('courtesy');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', <<'CONF');
autovacuum_naptime = 1s
# Far longer than a batch waits for a lock, however busy this machine is.
deadlock_timeout = 5s
fsync = off
track_commit_timestamp = on
archive_mode = on
archive_command = 'true'
CONF
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION pg_fernet');

my ($new, $old) = map { $node->safe_psql('postgres', 'SELECT fernet_generate_key()') } 1 .. 2;
my $old_only = "-c fernet.key=$old";
my $both = "-c fernet.key=$new,$old";

sub with_old
{
	my ($sql) = @_;
	my (undef, $err) = session($node, $sql, options => $old_only);
	is($err, '', 'filled') or die;
	return;
}

sub rotate
{
	my ($table, %how) = @_;
	my $more = $how{more} // '';
	my $before = $how{before} // '';
	my ($out, $err) = session($node, "$before; CALL fernet_rotate_column('$table', 'token'$more)", options => $both);
	return ($out, $err);
}

# What the largest transaction of a job did to the rows that it has rotated.
# Subtransactions have the time of the transaction that they belong to.
sub largest_transaction
{
	my ($table, $measure) = @_;
	my ($out, $err) = session($node, <<"SQL", options => $both);
SELECT max(n) FROM (
	SELECT $measure AS n FROM $table WHERE fernet_key_index(token) = 1 GROUP BY pg_xact_commit_timestamp(xmin)) AS t
SQL
	die "$table: no transaction to measure" if $err ne '' || $out eq '';
	return $out;
}

# --- batches are bounded by what they write, wherever the rows are
with_old(<<'SQL');
CREATE TABLE sparse (id integer, token text) WITH (autovacuum_enabled = off);
INSERT INTO sparse SELECT i, CASE WHEN i % 2000 = 0 THEN fernet_encrypt('x') END FROM generate_series(1, 20000) AS i;
INSERT INTO sparse SELECT i, fernet_encrypt('x') FROM generate_series(1, 5000) AS i;
VACUUM ANALYZE sparse;
CREATE TABLE indexed AS SELECT id, token FROM sparse WHERE id % 5 = 0;
CREATE INDEX ON indexed (token);
CREATE TABLE large (id integer, token text) WITH (autovacuum_enabled = off);
ALTER TABLE large ALTER token SET STORAGE EXTERNAL;
INSERT INTO large SELECT i, fernet_encrypt(repeat('x', 200000)) FROM generate_series(1, 50) AS i;
CREATE TABLE noted (id integer, token text);
INSERT INTO noted SELECT i, fernet_encrypt('x') FROM generate_series(1, 100) AS i;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER n AFTER UPDATE ON noted FOR EACH ROW EXECUTE FUNCTION note();
SQL
my ($out, $err) = rotate('sparse', more => ', batch_rows => 500');
is($out, '5010|0|0', 'sparse, then dense: all rotated');
cmp_ok(largest_transaction('sparse', 'count(*)'), '<=', 500, 'no transaction wrote more than batch_rows');
($out, $err) = rotate('indexed', more => ', batch_rows => 100');
is($out, '1010|0|0', 'an index on the tokens: all rotated');
cmp_ok(largest_transaction('indexed', 'count(*)'), '<=', 100, 'no transaction wrote more than batch_rows');
($out, $err) = rotate('large');
is($out, '50|0|0', 'large values: all rotated');
cmp_ok(largest_transaction('large', 'sum(length(token))'), '<=', 9 * 1024 * 1024, 'a transaction writes about 8 MB at the most');
($out, $err) = rotate('noted');
is($out, '100|0|0', 'an AFTER trigger: all rotated');
cmp_ok(
	$node->safe_psql('postgres', 'SELECT count(*) FROM noted GROUP BY pg_xact_commit_timestamp(xmin) ORDER BY pg_xact_commit_timestamp(xmin) LIMIT 1'),
	'<=', 32, 'the first transaction finds out how long it takes with a few rows');

# --- a trigger may raise what it likes: it costs its row
with_old(<<'SQL');
CREATE TABLE raising (id integer, token text);
CREATE FUNCTION raising() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN IF NEW.id = 77 THEN RAISE EXCEPTION 'no' USING ERRCODE = TG_ARGV[0]; END IF; RETURN NEW; END $$;
SQL
my @states = qw(AR001 42501 55P03 40P01);
push @states, qw(42P01 40001 0A000 54001 57000 23514) if $ENV{FERNET_LONG};
foreach my $state (@states)
{
	with_old(<<"SQL");
TRUNCATE raising;
INSERT INTO raising SELECT i, fernet_encrypt('x') FROM generate_series(1, 200) AS i;
CREATE OR REPLACE TRIGGER t BEFORE UPDATE ON raising FOR EACH ROW EXECUTE FUNCTION raising('$state');
SQL
	($out, $err) = session($node, <<'SQL', options => $both);
CALL fernet_rotate_column('raising', 'token', batch_rows => 50);
SELECT count(*) FROM raising WHERE fernet_key_index(token) = 1;
SQL
	like($err, qr/PF007: 1 of 200 values/, "$state costs its row");
	like($err, qr/WARNING:  $state: value at ctid \(\d+,\d+\).*\n.*BEFORE trigger refuses the update: t\./, "$state is named");
	is($out, '199', 'all others are rotated');
}
cmp_ok(largest_transaction('raising', 'count(*)'), '<=', 50, 'row by row, too, no transaction wrote more than batch_rows');

# --- a damaged value costs its row
with_old(<<'SQL');
CREATE TABLE damaged (id integer, token text);
ALTER TABLE damaged ALTER token SET STORAGE EXTERNAL;
INSERT INTO damaged SELECT i, fernet_encrypt(repeat('x', 5000)) FROM generate_series(1, 20) AS i;
SQL
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_surgery;
DO $$
DECLARE toast regclass := (SELECT reltoastrelid FROM pg_class WHERE oid = 'damaged'::regclass);
	chunk tid;
BEGIN
	EXECUTE format('SELECT ctid FROM %s WHERE chunk_seq = 1 ORDER BY chunk_id OFFSET 6 LIMIT 1', toast) INTO chunk;
	PERFORM heap_force_kill(toast, ARRAY[chunk]);
END $$;
SQL
($out, $err) = rotate('damaged');
like($err, qr/PF007: 1 of 20 values/, 'a damaged value costs its row');
like($err, qr/WARNING:  XX001: value at ctid \(0,7\).*\n.*damaged/, 'and is named with its ctid');

# --- a row that is locked all the time: waited for alone, and named
with_old(<<'SQL');
CREATE TABLE locked (id integer PRIMARY KEY, token text);
INSERT INTO locked SELECT i, fernet_encrypt('x') FROM generate_series(1, 3000) AS i;
SQL
my $locker = $node->background_psql('postgres');
$locker->query('BEGIN; SELECT id FROM locked WHERE id = 1500 FOR UPDATE');
my $pid = $locker->query('SELECT pg_backend_pid()');
($out, $err) = rotate('locked', before => q(SET lock_timeout = '400ms'));
like($err, qr/PF007: 1 of 3000 values/, 'a locked row: one value is left');
like($err, qr/WARNING:  55P03: value at ctid \(\d+,\d+\).*\n.*The row is locked by process $pid\./, 'the row and who holds it are named');
like($err, qr/Key \w+ decrypts 2999 tokens, the first key\. Key \w+ decrypts 1 tokens\./, 'the closing words count the whole column, and claim nothing');
# the waiting of a rotation ends with the lock
my $rotation = start_session($node, q(CALL fernet_rotate_column('locked', 'token')), options => $both, name => 'waiting rotation');
$node->poll_query_until('postgres',
	q(SELECT true FROM pg_stat_activity WHERE application_name = 'waiting rotation' AND wait_event_type = 'Lock')) or die;
$locker->query('COMMIT');
$locker->quit;
($out, $err) = finish_session($rotation);
is($out, '1|2999|0', 'a row that is locked for a while is rotated at its end');

# --- a busy row that is gone when the last reading begins: that reading was no
# proof, so there is another. A lock on a partition without busy rows holds the
# reading up meanwhile.
with_old(<<'SQL');
CREATE TABLE parted (id integer, token text) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (1) TO (10);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (10) TO (20);
INSERT INTO parted SELECT i, fernet_encrypt('x') FROM generate_series(1, 19) AS i;
SQL
$locker = $node->background_psql('postgres');
$locker->query('BEGIN; DELETE FROM parted WHERE id = 5');
$rotation = start_session($node, q(SET lock_timeout = '3s'; CALL fernet_rotate_column('parted', 'token')),
	options => $both, name => 'parted rotation');
my $waits_for = <<'SQL';
SELECT EXISTS (
	SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
	WHERE application_name = 'parted rotation' AND NOT granted AND locktype = '%s')
SQL
$node->poll_query_until('postgres', sprintf($waits_for, 'transactionid')) or die;
my $holder = $node->background_psql('postgres');
$holder->query('BEGIN; LOCK TABLE parted_2 IN ACCESS EXCLUSIVE MODE');
$node->poll_query_until('postgres', sprintf($waits_for, 'relation')) or die;
my $shown = $holder->query('SELECT pass, share, time_left FROM fernet_rotation_progress');
$locker->query('COMMIT');
$holder->query('COMMIT');
is($shown, '3||', 'the last reading is not shown as done');
$locker->quit;
$holder->quit;
($out, $err) = finish_session($rotation);
is($out, '18|0|0', 'a busy row that is gone at last: nothing is left');
like($err, qr/and 2 readings .* is not needed for this column any more/, 'and a second reading proves it');

# --- a row that moves to another page while it is waited for: those between the
# two places are not passed by
with_old(<<'SQL');
CREATE TABLE moving (id integer PRIMARY KEY, token text, filler text);
ALTER TABLE moving ALTER filler SET STORAGE PLAIN;
INSERT INTO moving SELECT i, fernet_encrypt('x'), repeat('x', 2500) FROM generate_series(1, 6) AS i;
SQL
$locker = $node->background_psql('postgres');
$locker->query(q(BEGIN; UPDATE moving SET filler = repeat('x', 6000) WHERE id = 1));
$locker->query('SELECT id FROM moving WHERE id IN (2, 3, 4) FOR UPDATE');
$rotation = start_session($node, q(CALL fernet_rotate_column('moving', 'token')), options => $both, name => 'moving rotation');
# It waits for the first row.
$node->poll_query_until('postgres', <<'SQL') or die;
SELECT EXISTS (
	SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
	WHERE application_name = 'moving rotation' AND locktype = 'tuple' AND page = 0 AND tuple = 1)
SQL
$locker->query('COMMIT');
$locker->quit;
($out, $err) = finish_session($rotation);
is($out, '6|0|0', 'all rows are rotated');
like($err, qr/2 passes/, 'by the first try to wait for them');

# --- an application that still encrypts with the old key: here a trigger
my ($token) = session($node, q(SELECT fernet_encrypt('x', now() + interval '1 hour')), options => $old_only);
with_old(<<"SQL");
CREATE TABLE stubborn (id integer, token text);
INSERT INTO stubborn SELECT i, fernet_encrypt('x') FROM generate_series(1, 10) AS i;
CREATE FUNCTION write_old() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN NEW.token = '$token'; RETURN NEW; END \$\$;
CREATE TRIGGER w BEFORE UPDATE ON stubborn FOR EACH ROW WHEN (OLD.id = 4) EXECUTE FUNCTION write_old();
SQL
($out, $err) = rotate('stubborn');
like($err, qr/PF007: 1 of 10 values/, 'an application that encrypts with the old key: the rotation ends');
my $says_so = qr/Encrypted with an old key since the start of this job: 1\.\nHINT: .*put the new key first/;
like($err, $says_so, 'and says so');
# tokens inside of values, and inside of other tokens
my ($nested) = session($node, "SELECT fernet_encrypt('$token')", options => "-c fernet.key=$new");
my %inside = (
	text => "'v1:$token'",
	jsonb => qq('{"secret": "$token"}'),
	varchar => "'$nested'");
foreach my $type (sort keys %inside)
{
	with_old(<<"SQL");
DROP TABLE stubborn;
CREATE TABLE stubborn (id integer, token $type);
INSERT INTO stubborn VALUES (4, $inside{$type}), (5, NULL);
CREATE OR REPLACE FUNCTION write_old() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN NEW.token = $inside{$type}; RETURN NEW; END \$\$;
CREATE TRIGGER w BEFORE UPDATE ON stubborn FOR EACH ROW EXECUTE FUNCTION write_old();
SQL
	($out, $err) = rotate('stubborn');
	like($err, $says_so, "$type: of a token inside of the value, too");
}

# --- hot rows: updated all the time by several clients
with_old(<<'SQL');
CREATE TABLE hot (id integer PRIMARY KEY, token text, n integer DEFAULT 0);
INSERT INTO hot SELECT i, fernet_encrypt('x') FROM generate_series(1, 10) AS i;
SQL
my $script = $node->basedir . '/hot.sql';
append_to_file($script, "UPDATE hot SET n = n + 1 WHERE id = 5;\n");
my $bench = IPC::Run::start(
	[ 'pgbench', '-n', '-c', '4', '-T', '60', '-f', $script, '-h', $node->host, '-p', $node->port, 'postgres' ],
	'>', \my $bench_out, '2>', \my $bench_err);
$node->poll_query_until('postgres', 'SELECT n > 50 FROM hot WHERE id = 5') or die;
# More than once: the row moves from page to page.
foreach (1 .. ($ENV{FERNET_LONG} ? 5 : 2))
{
	($out, $err) = rotate('hot');
	is($out, '10|0|0', 'a hot row is rotated');
	with_old('UPDATE hot SET token = fernet_encrypt(id::text)');
}
$bench->signal('INT');
$bench->finish;

# --- deadlocks: a trigger locks a summary row, the application both, in the
# other order; neither dies
with_old(<<'SQL');
CREATE TABLE summary (id integer PRIMARY KEY, n integer);
INSERT INTO summary VALUES (1, 0);
CREATE TABLE detail (id integer PRIMARY KEY, token text);
INSERT INTO detail SELECT i, fernet_encrypt('x') FROM generate_series(1, 300) AS i;
CREATE FUNCTION summarise() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN UPDATE summary SET n = n + 1; RETURN NEW; END $$;
CREATE TRIGGER s BEFORE UPDATE ON detail FOR EACH ROW EXECUTE FUNCTION summarise();
SQL
my $crossing = $node->basedir . '/crossing.sql';
append_to_file($crossing, <<'SQL');
\set id random(1, 300)
BEGIN;
UPDATE summary SET n = n + 1;
UPDATE detail SET token = token WHERE id = :id;
COMMIT;
SQL
$bench = IPC::Run::start(
	[ 'pgbench', '-n', '-c', '2', '-T', '60', '-f', $crossing, '-h', $node->host, '-p', $node->port, 'postgres' ],
	'>', \$bench_out, '2>', \$bench_err);
$node->poll_query_until('postgres', 'SELECT n > 20 FROM summary') or die;
($out, $err) = rotate('detail');
like($out, qr/^300\|0\|0$/, 'the rotation ends beside transactions that lock in the other order');
$bench->signal('INT');
$bench->finish;
unlike($bench_err, qr/deadlock/, 'the application saw no deadlock');

# --- autovacuum works beside a rotation
my $rows = $ENV{FERNET_LONG} ? 20000 : 5000;
with_old(<<"SQL");
CREATE TABLE vacuumed (id integer, token text) WITH (fillfactor = 100, autovacuum_vacuum_threshold = 50, autovacuum_vacuum_scale_factor = 0.02);
INSERT INTO vacuumed SELECT i, fernet_encrypt('x') FROM generate_series(1, $rows) AS i;
SQL
my $size = $node->safe_psql('postgres', q(SELECT pg_relation_size('vacuumed')));
# Longer than any machine needs to start autovacuum, if nobody cancels it.
my $pause = $ENV{FERNET_LONG} ? '300ms' : '20s';
$rotation = start_session($node, "CALL fernet_rotate_column('vacuumed', 'token', batch_rows => 500, pause => '$pause')",
	options => $both, name => 'vacuumed rotation');
ok($node->poll_query_until('postgres', q(SELECT autovacuum_count > 0 FROM pg_stat_user_tables WHERE relname = 'vacuumed')),
	'autovacuum has worked');
is($node->safe_psql('postgres', q(SELECT state FROM fernet_rotation WHERE relation = 'public.vacuumed')), 'running',
	'while the rotation ran');
if ($ENV{FERNET_LONG})
{
	($out, $err) = finish_session($rotation);
	is($out, "$rows|0|0", 'and the rotation ended');
	cmp_ok($node->safe_psql('postgres', q(SELECT pg_relation_size('vacuumed'))), '<', 1.3 * $size, 'the table has not grown by much');
}
else
{
	$node->safe_psql('postgres', q(SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'vacuumed rotation'));
	(undef, $err) = finish_session($rotation);
	like($err, qr/57014/, 'and the rotation was still under way');
}

# --- max_lag
$node->safe_psql('postgres', 'CREATE ROLE blind LOGIN; CREATE TABLE blind_table (token text); ALTER TABLE blind_table OWNER TO blind');
($out, $err) = session($node, q(CALL fernet_rotate_column('blind_table', 'token', max_lag => '1 s')), options => $both, user => 'blind');
like($err, qr/42501: permission denied to see the replay lag/, 'max_lag needs a role that sees the lag');
$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('replica');
$standby->init_from_backup($node, 'b', has_streaming => 1);
# The replica says how far it is only when WAL comes, and no other process uses
# transaction ids.
$standby->append_conf('postgresql.conf', "wal_receiver_status_interval = '1h'");
$node->append_conf('postgresql.conf', 'autovacuum = off');
$node->reload;
$standby->start;
$node->wait_for_catchup($standby);
with_old(<<'SQL');
CREATE TABLE lagging (id integer, token text);
INSERT INTO lagging SELECT i, fernet_encrypt('x') FROM generate_series(1, 5000) AS i;
SQL
$node->wait_for_catchup($standby);
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
$rotation = start_session($node,
	q(CALL fernet_rotate_column('lagging', 'token', batch_rows => 100, pause => '20ms', max_lag => '200ms')),
	options => $both);
ok($node->poll_query_until('postgres', q(SELECT state = 'waiting' FROM fernet_rotation WHERE relation = 'public.lagging')),
	'the rotation waits for a standby whose replay is paused');
my $id = $node->safe_psql('postgres', 'SELECT pg_snapshot_xmax(pg_current_snapshot())');
ok($node->poll_query_until('postgres', "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint > $id + 1"),
	'and writes WAL meanwhile, so that the standby answers');
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
($out, $err) = finish_session($rotation);
is($out, '5000|0|0', 'and goes on when it is resumed');
like($err, qr/waiting for a standby/, 'the client was told');
$standby->stop;

# --- an archiver that fails is told, for WAL piles up then
unlike($err, qr/archiver/, 'no word of an archiver that works');
$node->append_conf('postgresql.conf', "archive_command = 'false'");
$node->reload;
$node->safe_psql('postgres', 'SELECT pg_switch_wal()');
$node->poll_query_until('postgres', 'SELECT failed_count > 0 FROM pg_stat_archiver') or die;
session($node, q(UPDATE lagging SET token = fernet_encrypt('x') WHERE id < 10), options => $old_only);
($out, $err) = rotate('lagging');
is($out, '9|4991|0', 'rotated');
like($err, qr/WARNING:  01000: the WAL archiver fails/, 'an archiver that fails is told');
$node->stop('immediate');

done_testing();
