# What a rotation and its gate say of the old key: only what was proved, of keys
# by their fingerprints, and with every transaction counted that could still
# bring an old value, prepared ones too.

use strict;
use warnings FATAL => 'all';

use FernetTest qw(session start_session finish_session);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = PostgreSQL::Test::Cluster->new('proof');
$node->init;
$node->append_conf('postgresql.conf', 'max_prepared_transactions = 5');
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION pg_fernet');

my ($new, $old) = map { $node->safe_psql('postgres', 'SELECT fernet_generate_key()') } 1 .. 2;
my $old_only = "-c fernet.key=$old";
my $new_only = "-c fernet.key=$new";
my $both = "-c fernet.key=$new,$old";
my $swapped = "-c fernet.key=$old,$new";

sub fingerprint
{
	my ($key) = @_;
	my ($out) = session($node, 'SELECT fingerprint FROM fernet_keys()', options => "-c fernet.key=$key");
	chomp $out;
	return $out;
}
my ($new_print, $old_print) = (fingerprint($new), fingerprint($old));
isnt($new_print, $old_print, 'two keys, two fingerprints');

sub told
{
	my ($sql, $options) = @_;
	my ($out, $err) = session($node, $sql, options => $options);
	return $err;
}

session($node, <<'SQL', options => $old_only);
CREATE TABLE t (id integer, token text);
INSERT INTO t SELECT i, fernet_encrypt('secret ' || i) FROM generate_series(1, 20) AS i;
CREATE TABLE nothing (token text);
INSERT INTO nothing VALUES (NULL);
SQL
my $rotate = "CALL fernet_rotate_column('t', 'token')";
my $claim = qr/not needed/;

# with the old key alone, or first, nothing is said of any other key
my $err = told($rotate, $old_only);
like($err, qr/Key $old_print decrypts 20 tokens, the first key\./, 'a single key: what it decrypts');
unlike($err, $claim, 'a single key: no claim');
$err = told($rotate, $swapped);
like($err, qr/Key $old_print decrypts 20 tokens, the first key\. Key $new_print decrypts 0 tokens and is not needed/,
	'in the wrong order, the claim is about the other key, by its fingerprint');
$err = told("CALL fernet_rotate_column('nothing', 'token')", $both);
unlike($err, $claim, 'no token: no claim');
$err = told("CALL fernet_rotate_column('t', 'token', dry_run => true)", $both);
like($err, qr/re-encrypt "public"."t"."token" with key $new_print/, 'the start names the new key');
unlike($err, $claim, 'a dry run: no claim');
$err = told("CALL fernet_rotate_column('t', 'token', slice => 1, slices => 2)", $both);
unlike($err, $claim, 'a slice: no claim');

# a prepared transaction with an old value, named when it is waited for in vain
$node->safe_psql('postgres', "BEGIN; INSERT INTO t SELECT id + 100, token FROM t WHERE id <= 3; PREPARE TRANSACTION 'a \"copy\"'");
$err = told("SET lock_timeout = '100ms'; $rotate", $both);
like($err, qr/ERROR:  55006: open transactions may still write old values to "public"."t"."token"/, 'a prepared transaction is waited for');
like($err, qr/prepared transaction 'a "copy"'/, 'and named');
unlike($err, $claim, 'and no claim is made');
$err = told("SET lock_timeout = '100ms'; SELECT fernet_assert_rotated('t', 'token')", $both);
like($err, qr/ERROR:  55006: .*\n.*prepared transaction 'a "copy"'/, 'the gate waits for it as well');
$err = told("SET lock_timeout = '100ms'; SELECT fernet_assert_database_rotated()", $both);
like($err, qr/ERROR:  55006: .*\n.*prepared transaction 'a "copy"'/, 'and the gate for the database');
$node->safe_psql('postgres', "COMMIT PREPARED 'a \"copy\"'");
# ... but not one of another database
$node->safe_psql('postgres', 'CREATE DATABASE elsewhere');
$node->safe_psql('elsewhere', "BEGIN; CREATE TABLE x (id integer); PREPARE TRANSACTION 'elsewhere'");
$node->safe_psql('postgres', 'CREATE SCHEMA quiet');
is(told("SET lock_timeout = '100ms'; SELECT fernet_assert_database_rotated('{quiet}', allow_empty => true)", $both),
	'', 'a prepared transaction of another database is not waited for');
$node->safe_psql('elsewhere', "ROLLBACK PREPARED 'elsewhere'");

# an open one by its process
my $writer = $node->background_psql('postgres');
my $pid = $writer->query('SELECT pg_backend_pid()');
$writer->query('BEGIN; DELETE FROM t WHERE id = 20;');
$err = told("SET lock_timeout = '100ms'; SELECT fernet_assert_rotated('t', 'token')", $both);
like($err, qr/ERROR:  55006: .*\n.*process $pid\b/, 'an open transaction is named by its process');
$writer->query('ROLLBACK');
ok($writer->quit, 'the writer ends');

$err = told($rotate, $both);
like($err, qr/Key $new_print decrypts 2\d tokens, the first key\. Key $old_print decrypts 0 tokens and is not needed for this column any more\./,
	'a proof is told with both fingerprints');
unlike($err, qr/\Q$new\E|\Q$old\E/, 'and without a key');

# the gate
is(told("SELECT fernet_assert_rotated('t', 'token')", $new_only), '', 'the gate is silent');
is(told("SELECT fernet_assert_rotated('t', 'token', fingerprint => '$new_print')", $both), '', 'with the right fingerprint too');
$err = told("SELECT fernet_assert_rotated('t', 'token', fingerprint => '$old_print')", $both);
like($err, qr/ERROR:  PF007: the first key of "fernet.key" is not the expected one\nDETAIL:  Its fingerprint is $new_print\./,
	'another first key than the expected one');
like(told("SELECT fernet_assert_rotated('nothing', 'token')", $both), qr/ERROR:  PF007: no token was found in/, 'an empty column proves nothing');
is(told("SELECT fernet_assert_rotated('nothing', 'token', allow_empty => true)", $both), '', 'unless that is what is expected');
like(told("SELECT fernet_assert_rotated('t', 'token')", $old_only), qr/ERROR:  PF007: 2\d of 2\d values/, 'a key that decrypts nothing');
like(told("SELECT fernet_assert_rotated('t', 'token', on_unknown => 'leave', allow_empty => true)", $old_only), qr/^NOTICE: .*2\d values in "public"."t"."token" are or hold a token that no key/, 'tokens of others may be left, and are counted');
like(told("SELECT fernet_assert_rotated('t', 'token', on_unknown => 'other')", $both), qr/ERROR:  22023: "on_unknown" must be "fail", "leave" or "plaintext"/, 'an unknown word');
like(told("SELECT fernet_assert_rotated('t', 'token', allow_empty => NULL)", $both), qr/ERROR:  22004: "allow_empty" must not be null/, 'NULL');


# An old value may hop from one transaction to the next while a proof waits: the
# first brings it and ends, the second copies it, and it is deleted again before
# the reading, when the second has not ended yet. The proof must have seen it.
# That is how a soak found a value after a key was called dispensable.
my %hops = (
	'deleted' => [ 'DELETE FROM hop WHERE id = 11' ],
	'renewed' => [ 'UPDATE hop SET token = (SELECT token FROM hop WHERE id = 2) WHERE id = 11' ],
	'vacuumed' => [ 'DELETE FROM hop WHERE id = 11', 'VACUUM hop' ]);
foreach my $how (sort keys %hops)
{
	# The other pairs take the same ways.
	foreach my $what ($how eq 'renewed' ? 'gate' : 'job')
	{
		session($node, <<'SQL', options => $old_only);
DROP TABLE IF EXISTS hop, kept;
CREATE TABLE hop AS SELECT i AS id, fernet_encrypt('secret') AS token FROM generate_series(1, 4) AS i;
CREATE TABLE kept AS SELECT * FROM hop WHERE id = 1;
SQL
		session($node, "CALL fernet_rotate_column('hop', 'token')", options => $both) if $what eq 'gate';
		my ($first, $keeper, $second) = map { $node->background_psql('postgres') } 1 .. 3;
		$first->query('BEGIN; INSERT INTO hop SELECT 11, token FROM kept;');
		$keeper->query('BEGIN; DELETE FROM hop WHERE id = 4;');
		my $call = $what eq 'job' ? "CALL fernet_rotate_column('hop', 'token')" : "SELECT fernet_assert_rotated('hop', 'token')";
		my $proof = start_session($node, $call, options => $both, name => 'proof');
		my $waits = "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'proof' AND wait_event = 'Extension'";
		$node->poll_query_until('postgres', $waits) or BAIL_OUT('the proof does not wait');
		$first->query('COMMIT;');
		$second->query('BEGIN; INSERT INTO hop SELECT 21, token FROM hop WHERE id = 11;');
		$node->safe_psql('postgres', $_) foreach @{ $hops{$how} };
		$keeper->query('COMMIT;');
		# Long enough for a proof that does not wait for the second.
		usleep(300_000);
		$second->query('COMMIT;');
		my (undef, $told) = finish_session($proof);
		$_->quit foreach $first, $keeper, $second;
		my ($left) = session($node, 'SELECT count(fernet_key_index(token)) FROM hop', options => $old_only);
		if ($what eq 'job')
		{
			like($told, $claim, "$how, job: the claim is made");
			is($left, '0', "$how, job: and true");
		}
		else
		{
			like($told, qr/ERROR:  PF007: /, "$how, gate: it finds the copy");
		}
	}
}
# The gate for the database sees it too, though the value hops on while it waits
# again: a proof that only reads twice would pass.
{
	session($node, <<'SQL', options => $old_only);
DROP TABLE hop, kept;
CREATE TABLE hop AS SELECT i AS id, fernet_encrypt('secret') AS token FROM generate_series(1, 4) AS i;
CREATE TABLE kept AS SELECT * FROM hop WHERE id = 1;
SQL
	session($node, "CALL fernet_rotate_column('hop', 'token')", options => $both);
	my $gate = q(SELECT fernet_assert_database_rotated(except_places => '{public.kept}'));
	is(told($gate, $both), q(NOTICE:  00000: nothing is proved about public.kept),
		'the gate for the database passes');
	my %open = map { $_ => $node->background_psql('postgres') } qw(first second third keeper next);
	$open{first}->query('BEGIN; INSERT INTO hop SELECT 11, token FROM kept;');
	$open{keeper}->query('BEGIN; DELETE FROM hop WHERE id = 4;');
	my $proof = start_session($node, $gate, options => $both, name => 'proof');
	$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'proof' AND wait_event = 'Extension'")
	  or BAIL_OUT('the gate does not wait');
	my $hop = sub {
		my ($from, $to, $id, $keeper) = @_;
		$open{$from}->query('COMMIT;');
		$open{$to}->query("BEGIN; INSERT INTO hop SELECT $id + 10, token FROM hop WHERE id = $id;");
		$node->safe_psql('postgres', "UPDATE hop SET token = (SELECT token FROM hop WHERE id = 2) WHERE id = $id");
		$open{$keeper}->query('COMMIT;');
		# Long enough for a reading that does not wait for the next one.
		usleep(300_000);
	};
	$open{next}->query('BEGIN; DELETE FROM hop WHERE id = 3;');
	$hop->('first', 'second', 11, 'keeper');
	$hop->('second', 'third', 21, 'next');
	$open{third}->query('COMMIT;');
	my (undef, $told) = finish_session($proof);
	$_->quit foreach values %open;
	like($told, qr/ERROR:  PF007: .*\n.*public\.hop\.token/, 'it finds what has come and gone');
}

# Two proofs do not wait for each other, though each is a statement with an old
# snapshot. But one that other code calls is waited for: this code may write an
# old value when it has ended, be it read before or be it read afterwards, with
# the snapshot of the statement.
session($node, <<'SQL', options => $old_only);
CREATE TABLE source (id integer, token text);
CREATE FUNCTION asks() RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
	PERFORM fernet_assert_rotated('nothing', 'token', allow_empty => true);
	RETURN 1;
END $$;
CREATE FUNCTION reads() RETURNS text STABLE LANGUAGE sql AS 'SELECT token FROM source WHERE id = 1';
CREATE FUNCTION brings(n integer, value text) RETURNS void LANGUAGE sql AS 'INSERT INTO source VALUES (n, value)';
CREATE FUNCTION reads_first() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	value text := reads();
BEGIN
	PERFORM brings(asks(), value);
END $$;
SQL
foreach my $how ('reads_first()', 'brings(asks(), reads())')
{
	session($node, "TRUNCATE source; INSERT INTO source SELECT i, fernet_encrypt('secret') FROM generate_series(1, 3) AS i", options => $old_only);
	my $keeper = $node->background_psql('postgres');
	$keeper->query('BEGIN; DELETE FROM nothing;');
	my $caller = start_session($node, "SELECT $how", options => $both, name => 'caller');
	$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'caller' AND wait_event = 'Extension'")
	  or BAIL_OUT('the gate does not wait');
	my $job = start_session($node, "CALL fernet_rotate_column('source', 'token')", options => $both, name => 'proof');
	$node->poll_query_until('postgres', "SELECT count(*) > 0 FROM fernet_rotation WHERE relation LIKE '%source' AND state IN ('waiting', 'done') AND started > (SELECT backend_start FROM pg_stat_activity WHERE application_name = 'caller')")
	  or BAIL_OUT('the rotation does not end');
	$keeper->query('ROLLBACK;');
	$keeper->quit;
	my (undef, $caller_told) = finish_session($caller);
	is($caller_told, '', "$how: the gate passes, and its caller goes on");
	my (undef, $told) = finish_session($job);
	like($told, $claim, "$how: the rotation makes its claim");
	is((session($node, 'SELECT count(fernet_key_index(token)) FROM source', options => $old_only))[0], '0', "$how: and it is true");
}

# A table that is rewritten meanwhile does not show what has been in it.
my $keeper = $node->background_psql('postgres');
$keeper->query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM nothing;');
my $proof = start_session($node, $rotate, options => $both, name => 'proof');
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'proof' AND wait_event = 'Extension'")
  or BAIL_OUT('the proof does not wait');
$node->safe_psql('postgres', 'ALTER TABLE t ADD COLUMN added double precision DEFAULT random()');
$keeper->query('COMMIT;');
$keeper->quit;
(undef, $err) = finish_session($proof);
like($err, $claim, 'after a rewrite, another proof is made');

$node->stop;

done_testing();
