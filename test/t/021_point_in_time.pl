# Recovery to a moment in the middle of a rotation, from a base backup and
# archived WAL: between two batches and inside of one. "new,old" decrypts every
# value, the ledger agrees with the table, and a new CALL finishes. The same for
# the adoption of plaintexts, of which none is encrypted twice.

use strict;
use warnings;

use FernetTest qw(:DEFAULT same session secrets_below new_plaintext
  start_session finish_session);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $rows = 4000;
my ($old, $new) = (new_key(), new_key());
my $marker = new_plaintext();
my $both = "-c fernet.key=$new,$old";
my $quiet = "SET client_min_messages = warning;\n";

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(has_archiving => 1, allows_streaming => 1);
$primary->append_conf('postgresql.conf', <<'CONF');
session_preload_libraries = 'pg_fernet'
log_statement = none
autovacuum = off
CONF
$primary->start;

# ask runs $sql on $node with $options. No error is expected.
sub ask
{
	my ($node, $sql, $options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($out, $err) = session($node, $sql, options => $options);
	same($err, '', 'no error') if $err ne '';
	return $out;
}

# A job waits at a gate in the batch of the row in the middle, with that batch
# written and not committed.
ask($primary, <<"SQL", "-c fernet.key=$old");
CREATE EXTENSION pg_fernet;
CREATE TABLE secret (id integer NOT NULL, token text NOT NULL, adopted text NOT NULL);
INSERT INTO secret SELECT i, fernet_encrypt('$marker' || i), 'plain ' || i
	FROM generate_series(1, $rows) AS i;
CREATE FUNCTION pass_gate() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS \$\$
BEGIN
	PERFORM pg_advisory_xact_lock_shared(1);
	RETURN NULL;
END \$\$;
CREATE TRIGGER gate AFTER UPDATE ON secret FOR EACH ROW
	WHEN (OLD.id = $rows / 2) EXECUTE FUNCTION pass_gate();
SQL
$primary->backup('before');

sub wait_for
{
	my ($name, $event) = @_;
	$primary->poll_query_until('postgres', <<"SQL") or die "$name does not wait";
SELECT count(*) = 1 FROM pg_stat_activity
WHERE application_name = '$name' AND wait_event = '$event'
SQL
	return;
}

# stop_in_the_middle runs a job until it waits at the gate, marks that moment
# in the WAL as $name, and lets it end.
sub stop_in_the_middle
{
	my ($name, $call) = @_;
	my $gate = start_session(
		$primary,
		'SELECT pg_advisory_lock(1), pg_sleep(3600)',
		name => 'gate');
	wait_for('gate', 'PgSleep');
	my $job = start_session(
		$primary, $quiet . $call,
		options => $both,
		name => 'job');
	wait_for('job', 'advisory');
	# What the uncommitted batch has written must be in the WAL before that.
	ask($primary, "SELECT pg_create_restore_point('$name')");
	ask($primary,
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gate'"
	);
	finish_session($gate);
	my ($out, $err) = finish_session($job);
	same($err, '', "$name: the job on the primary has no error");
	is($out, "$rows|0|0", "$name: it changes all values");
	return;
}

# A rotation that pauses after each batch is canceled after the first.
my $slow = start_session(
	$primary,
	$quiet . "CALL fernet_rotate_column('secret', 'token', 1000, '1 h')",
	options => $both,
	name => 'slow');
$primary->poll_query_until('postgres',
	'SELECT count(*) = 1 FROM fernet_rotation WHERE rotated > 0')
  or die 'the rotation does not go on';
ask($primary, "SELECT pg_create_restore_point('between')");
ask($primary,
	"SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'slow'");
my ($out, $err) = finish_session($slow);
like($err, qr/^ERROR:  57014: /m, 'between: the rotation is canceled');

# And back, under the old key, for the next.
ask($primary,
	$quiet . "CALL fernet_rotate_column('secret', 'token')",
	"-c fernet.key=$old,$new");
stop_in_the_middle('inside', "CALL fernet_rotate_column('secret', 'token', 500)");
stop_in_the_middle('adoption',
	"CALL fernet_rotate_column('secret', 'adopted', 500, on_plaintext => 'encrypt')"
);
ask($primary, "SELECT pg_create_restore_point('end')");

my $segment = ask($primary, 'SELECT pg_walfile_name(pg_switch_wal())');
$primary->poll_query_until('postgres',
	"SELECT last_archived_wal >= '$segment' FROM pg_stat_archiver")
  or die 'the WAL is not archived';
same(
	join("\n",
		secrets_below([ $old, $new, $marker ], $primary->archive_dir, $primary->backup_dir)),
	'', 'neither archive nor backup holds a key or a plaintext');
ok((grep { m{/[0-9A-F]{24}$} } files_below($primary->archive_dir)),
	'there is WAL in the archive');

# recover returns a server as it was at the moment $name.
sub recover
{
	my ($name) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init_from_backup($primary, 'before', has_restoring => 1, standby => 0);
	$node->append_conf('postgresql.conf', <<"CONF");
recovery_target_name = '$name'
recovery_target_action = promote
archive_mode = off
CONF
	$node->start;
	$node->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()')
	  or die "$name: no end of recovery";
	return $node;
}

# values says how many values there are, how many are right, and how many are
# encrypted with the first key.
sub values_of
{
	my ($node, $options) = @_;
	return split /\|/, ask($node, <<"SQL", $options);
SELECT count(DISTINCT id), count(*) FILTER (WHERE fernet_decrypt(token) = '$marker' || id),
	count(*) FILTER (WHERE fernet_key_index(token) = 1)
FROM secret
SQL
}

my $last_job = <<'SQL';
SELECT columns[1], state, rotated FROM fernet_rotation ORDER BY id DESC LIMIT 1;
SQL

foreach my $name (qw(between inside))
{
	my $node = recover($name);
	my ($all, $right, $rotated) = values_of($node, $both);
	is("$all $right", "$rows $rows", "$name: every value is readable");
	cmp_ok($rotated, '>', 0, "$name: some are rotated");
	cmp_ok($rotated, '<', $rows, "$name: some are not");
	is(
		ask($node, $last_job),
		"token|interrupted|$rotated",
		"$name: the ledger says how many, and that the job is gone");
	same(
		ask(
			$node,
			$quiet . "CALL fernet_rotate_column('secret', 'token')",
			$both),
		join('|', $rows - $rotated, $rotated, 0),
		"$name: a new CALL does the rest");
	($all, $right, $rotated) = values_of($node, "-c fernet.key=$new");
	is("$all $right $rotated", "$rows $rows $rows",
		"$name: now the new key alone opens all");
	$node->stop;
}

my $node = recover('adoption');
my $adopted = <<"SQL";
SELECT count(*) FILTER (WHERE fernet_is_token(adopted)),
	count(*) FILTER (WHERE CASE WHEN fernet_is_token(adopted)
		THEN fernet_decrypt(adopted) ELSE adopted END = 'plain ' || id)
FROM secret;
SQL
my ($tokens, $right) = split /\|/, ask($node, $adopted, $both);
is($right, $rows, 'adoption: each value is a plaintext or a token of it');
cmp_ok($tokens, '>', 0, 'adoption: some are tokens');
cmp_ok($tokens, '<', $rows, 'adoption: some are not');
is(
	ask($node, $last_job),
	"adopted|interrupted|$tokens",
	'adoption: the ledger says how many');
same(
	ask(
		$node,
		$quiet
		  . "CALL fernet_rotate_column('secret', 'adopted', on_plaintext => 'encrypt');\n"
		  . $adopted,
		$both),
	join('|', $rows - $tokens, $tokens, 0) . "\n$rows|$rows",
	'adoption: a new CALL does the rest, and encrypts none twice');
$node->stop;

$node = recover('end');
same(
	ask(
		$node,
		"SELECT fernet_assert_rotated('secret', c) IS NOT NULL"
		  . " FROM unnest(ARRAY['token', 'adopted']) AS c",
		$both),
	"t\nt",
	'end: all is done there, too');
$node->stop;
$primary->stop;
done_testing();
