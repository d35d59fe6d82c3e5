# A backend's memory does not grow with its work: a million tokens encrypted and
# decrypted, in one statement and in a loop, a hundred thousand failures, and a
# new key for each of twenty thousand transactions. The memory of the process
# and of PostgreSQL's memory contexts may grow by at most 256 kB after a
# warm-up: a leak of the smallest piece of memory for each call or transaction
# is more.

use strict;
use warnings;

use FernetTest qw(:DEFAULT same session);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs /proc/self/status with RssAnon'
  unless slurp('/proc/self/status') =~ /^RssAnon:/m;

my $allowed = 256;    # kB
my $calls = 1_000_000;
my $failures = 100_000;
my $transactions = 20_000;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
log_statement = none
session_preload_libraries = 'pg_fernet'
CONF
$node->start;

# Samples of both, taken during the work: memory that is freed only at the end
# of the statement is a leak until then.
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_fernet;
CREATE UNLOGGED TABLE sample (work text, step integer, process integer, contexts integer);

CREATE FUNCTION sample(work text, step integer) RETURNS integer
	LANGUAGE plpgsql AS $$
DECLARE
	process integer := substring(pg_read_file('/proc/self/status')
		FROM 'RssAnon:\s+(\d+)');
	contexts integer := sum(total_bytes) / 1024 FROM pg_backend_memory_contexts;
BEGIN
	INSERT INTO sample VALUES (work, step, process, contexts);
	RETURN 0;
END $$;
SQL

# measure runs $sql in a new session and tests the samples that $sql takes with
# the name $work. The first two are the warm-up.
sub measure
{
	my ($work, $sql, $key) = @_;
	my $other = new_key();
	my ($out, $err) =
	  session($node, <<"SQL", options => "-c fernet.key=$key");
SELECT set_config('test.token', fernet_encrypt('a plaintext'), false) \\g /dev/null
SET fernet.key = '$other';
SELECT set_config('test.wrong', fernet_encrypt('a plaintext'), false) \\g /dev/null
RESET fernet.key;
$sql
SQL
	same($err, '', "$work: works");
	($out) = session($node, <<"SQL");
SELECT count(*), max(process) - min(process), max(contexts) - min(contexts),
	bool_and(process > 0 AND contexts > 0)
	FROM sample WHERE work = '$work' AND step > 2;
SQL
	my ($samples, $process, $contexts, $sane) = split /\|/, $out;
	same("$samples $sane", '8 t', "$work: there are samples of its memory");
	ok($process <= $allowed, "$work: the process grows by $process kB");
	return ok($contexts <= $allowed,
		"$work: its memory contexts grow by $contexts kB");
}

# in_statement is a statement that calls $call $count times and takes ten
# samples. The set is made row by row, not stored.
sub in_statement
{
	my ($work, $call, $count) = @_;
	my $step = $count / 10;
	return <<"SQL";
SELECT count($call), count(CASE WHEN i % $step = 0
		THEN sample('$work', i / $step) END)
	FROM (SELECT generate_series(1, $count) AS i) AS numbers \\g /dev/null
SQL
}

# in_loop is the same with a statement of PL/pgSQL.
sub in_loop
{
	my ($work, $statement, $count, $at_end) = @_;
	my $step = $count / 10;
	$at_end //= '';
	return <<"SQL";
DO \$\$
DECLARE
	token text := current_setting('test.token');
	wrong text := current_setting('test.wrong');
	result text;
BEGIN
	FOR i IN 1 .. $count LOOP
		$statement
		IF i % $step = 0 THEN
			PERFORM sample('$work', i / $step);
		END IF;
		$at_end
	END LOOP;
END \$\$;
SQL
}

# failing is a statement of PL/pgSQL that catches the error it must get.
sub failing
{
	my ($call, $sqlstate) = @_;
	return <<"SQL";
BEGIN
	result := $call;
	RAISE 'no error';
EXCEPTION WHEN SQLSTATE '$sqlstate' THEN
	NULL;
END;
SQL
}

sub test_in_statement
{
	my ($work, $call, $count) = @_;
	return measure($work, in_statement($work, $call, $count), new_key());
}

sub test_in_loop
{
	my ($work, $statement, $count, $at_end) = @_;
	return measure($work, in_loop($work, $statement, $count, $at_end),
		new_key());
}

test_in_statement('fernet_encrypt in a statement',
	"fernet_encrypt('a plaintext')", $calls);
test_in_statement('fernet_decrypt in a statement',
	"fernet_decrypt(current_setting('test.token'))", $calls);
test_in_loop('fernet_encrypt in a loop',
	"result := fernet_encrypt('a plaintext');", $calls);
test_in_loop('fernet_decrypt in a loop',
	'result := fernet_decrypt(token);', $calls);

test_in_loop('malformed tokens',
	failing("fernet_decrypt('no token')", 'PF003'), $failures);
test_in_loop('tokens under another key',
	failing('fernet_decrypt(wrong)', 'PF004'), $failures);
test_in_loop('expired tokens',
	failing("fernet_decrypt(token, '0 s', now() + '1 h')", 'PF005'),
	$failures);
test_in_loop('malformed keys',
	failing("set_config('fernet.key', 'no key', true)", 'PF002'), $failures);
test_in_statement(
	'fernet_try_decrypt',
	"coalesce(fernet_try_decrypt(current_setting('test.wrong')),"
	  . " fernet_try_decrypt('no token'))",
	$failures);

# The other functions, including those that return sets.
test_in_statement('the other functions', <<'SQL', $failures);
concat(fernet_verify(current_setting('test.token')),
	fernet_rotate(current_setting('test.token')),
	fernet_timestamp(current_setting('test.token')),
	fernet_key_index(current_setting('test.wrong')),
	fernet_is_token(current_setting('test.token')),
	fernet_generate_key(), (SELECT max(fingerprint) FROM fernet_keys()))
SQL

my $local = "PERFORM set_config('fernet.key', fernet_generate_key(), true);";
my $use = 'result := fernet_decrypt(fernet_encrypt(token));';
test_in_loop('a key for each transaction',
	"$local $use", $transactions, 'COMMIT;');
test_in_loop(
	'a key for each transaction that is rolled back',
	"$local $use ROLLBACK;",
	$transactions, 'COMMIT;');
test_in_loop('a key for each savepoint', <<"SQL", $transactions);
BEGIN
	$local
	$use
	RAISE SQLSTATE 'XX999';
EXCEPTION WHEN SQLSTATE 'XX999' THEN
	NULL;
END;
SQL
test_in_loop(
	'a key for each statement of one transaction',
	$local =~ s/true/false/r . $use,
	$transactions);

# A batch whose rows are all refused, each after a trigger's condition has read a
# large value. The trigger takes the samples.
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE refused (id integer, big text, token text);
ALTER TABLE refused ALTER big SET STORAGE EXTERNAL;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF OLD.id % 100 = 0 THEN
		PERFORM sample('rows that a trigger refuses', OLD.id / 100);
	END IF;
	RETURN NULL;
END $$;
SQL
my ($old, $new) = (new_key(), new_key());
my (undef, $refusal) = session($node, <<'SQL', options => "-c fernet.key=$old");
INSERT INTO refused SELECT i, repeat('x', 30000), fernet_encrypt('y') FROM generate_series(1, 1000) AS i;
CREATE TRIGGER refuse BEFORE UPDATE ON refused FOR EACH ROW
	WHEN (length(NEW.big || 'x') > 5) EXECUTE FUNCTION refuse();
SQL
same($refusal, '', 'a table whose trigger refuses every row');
(undef, $refusal) = session(
	$node,
	"SET client_min_messages = error;\nCALL fernet_rotate_column('refused', 'token')",
	options => "-c fernet.key=$new,$old");
like($refusal, qr/^ERROR:  PF007: 1000 of 1000 values/, 'every row is refused');
my ($growth) = session($node, <<'SQL');
SELECT max(process) - min(process) FROM sample
WHERE work = 'rows that a trigger refuses' AND step > 2;
SQL
ok($growth <= $allowed, "rows that a trigger refuses: the process grows by $growth kB");

# One call that reads many pages without a value, each a stretch of its own.
my ($peaks, $error) = session($node, <<'SQL', options => "-c fernet.key=$new,$old");
CREATE TABLE sparse (id integer, filler text, token text);
ALTER TABLE sparse ALTER filler SET STORAGE PLAIN;
INSERT INTO sparse SELECT i, repeat('x', 7000), NULL FROM generate_series(1, 2000) AS i;
CREATE INDEX ON sparse (id);
CREATE INDEX ON sparse (token);
CREATE INDEX ON sparse ((id + 1));
SELECT fernet_rotate_batch('sparse', 'token', 1990, 1) \g /dev/null
SELECT substring(pg_read_file('/proc/self/status') FROM 'VmPeak:\s+(\d+)') AS before \gset
SELECT next_position IS NULL, rotated FROM fernet_rotate_batch('sparse', 'token', 0, 1);
SELECT substring(pg_read_file('/proc/self/status') FROM 'VmPeak:\s+(\d+)')::integer - :before;
SQL
same($error, '', 'many pages without a value: works');
my ($end, $grown) = split /\n/, $peaks;
same($end, 't|0', 'many pages without a value: one call reads all of them');
cmp_ok($grown, '<=', 1024, "many pages without a value: the process grows by $grown kB");

done_testing();
