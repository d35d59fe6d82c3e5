# A backend's memory does not grow with the work it does: a million tokens made
# and opened, in one statement and in a loop, failures by the hundred thousand,
# and a fresh key for each of twenty thousand transactions. What the operating
# system counts for the process and what PostgreSQL counts for its memory
# contexts may grow by no more than 256 kB after a warm-up: a leak of the
# smallest piece of memory for each call or transaction is more.

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

# Samples of both, taken while the work goes on: what is freed with the
# statement is a leak while it lasts.
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

# measure runs $sql, which takes its samples under the name of $work, in a
# session of its own and tests what they say. The first two are the warm-up.
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

# The others, those that return sets included.
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

done_testing();
