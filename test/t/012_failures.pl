# Calls that fail, again and again in one session: every error of the extension,
# every function that can raise one, and the functions that accept garbage
# without an error. PL/pgSQL catches the errors, or they end a statement of the
# client. The memory of the session does not grow, OpenSSL's error queue is
# empty, no lock and no slot for a key stays in use, and the next good call
# works. FERNET_LONG=1 repeats each 100,000 times instead of 3,000.

use strict;
use warnings;

use FaultTest;
use FernetTest qw(:DEFAULT same);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# A leak of the smallest piece of memory, 32 bytes, in each call is 3 MB in the long
# form and 192 kB in the short one. Beside that there is some noise.
my $repeats = is_long() ? 100_000 : 3_000;
# In kB. What fernet_doctor reads is in memory only after some hundred calls: 212 kB,
# or 280 with PostgreSQL 18, whether it is called 300 times or 6,000.
my %allowed = (contexts => 64, RssAnon => 512, VmData => 256);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
session_preload_libraries = 'pg_fernet'
shared_preload_libraries = 'pg_fernet'
log_statement = none
log_min_messages = log
log_min_error_statement = panic
autovacuum = off
CONF
$node->start;
create_fault_functions($node);

my ($old, $new, $other) = (new_key(), new_key(), new_key());
my $both = "-c fernet.key=$new,$old";

# A partition, a view, a generated column, a wrong type, a table whose trigger
# refuses every row, one whose rows are no tokens, one under a foreign key; one that
# encrypts what is written to it, and one whose triggers are mistakes.
my $setup = connect_to($node, options => $both);
value_of($setup, $_) foreach split /;\n\n/, <<"SQL";
CREATE EXTENSION pg_fernet;

CREATE TABLE parted (token text) PARTITION BY HASH (token);

CREATE VIEW viewed AS SELECT 'x'::text AS token;

CREATE TABLE odd (id integer, made text GENERATED ALWAYS AS ('x') STORED);

CREATE TABLE garbage AS SELECT 'xoxb-no-token' AS token FROM generate_series(1, 3);

CREATE TABLE guarded AS SELECT 1 AS id, ''::text AS token;

CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
	AS \$\$ BEGIN RAISE EXCEPTION 'no update of this table'; END \$\$;

CREATE TABLE encrypting (token text, short varchar(10));

CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON encrypting FOR EACH ROW
	EXECUTE FUNCTION fernet_encrypt_trigger('token', 'short');

CREATE TABLE searched (email text, email_index bytea);

CREATE TRIGGER search BEFORE INSERT ON searched FOR EACH ROW
	EXECUTE FUNCTION fernet_blind_index_trigger('email', 'email_index', 'user.email');

CREATE TABLE mistaken (token text, n integer);

CREATE TRIGGER no_column BEFORE INSERT ON mistaken FOR EACH ROW
	WHEN (NEW.n = 1) EXECUTE FUNCTION fernet_encrypt_trigger('nothing');

CREATE TRIGGER no_text BEFORE INSERT ON mistaken FOR EACH ROW
	WHEN (NEW.n = 2) EXECUTE FUNCTION fernet_encrypt_trigger('n');

CREATE TRIGGER too_late AFTER INSERT ON mistaken FOR EACH ROW
	WHEN (NEW.n = 3) EXECUTE FUNCTION fernet_encrypt_trigger('token');

SELECT set_config('fernet.key', '$other', false)
SQL
my $foreign = value_of($setup, q(SELECT fernet_encrypt('not yours')));
value_of($setup, "SELECT set_config('fernet.key', '$old', false)");
my $old_token = value_of($setup, q(SELECT fernet_encrypt('of the past')));
value_of($setup, 'RESET fernet.key');
my $token = value_of($setup, q(SELECT fernet_encrypt('a plaintext')));
my $early =
  value_of($setup, q(SELECT fernet_encrypt('a plaintext', '2020-01-01 UTC')));
my $no_text = value_of($setup, q(SELECT fernet_encrypt('\xff00'::bytea)));
value_of($setup, $_)
  foreach "UPDATE guarded SET token = '$old_token'",
  "CREATE TABLE strange AS
	SELECT '$foreign' AS token FROM generate_series(1, 3)",
  'CREATE TRIGGER refuse BEFORE UPDATE ON guarded FOR EACH ROW
	EXECUTE FUNCTION refuse()';

# The token with the timestamp 2^64 - 1 and its key, of sql/errors.sql.
my $endless_key = 'a2V5IEEgb2YgcGdfZmVybmV0IHJlZ3Jlc3MgdGVzdHM=';
my $endless =
  'gP__________AAECAwQFBgcICQoLDA0OD0AggWCYATtLAWeYjflMJyPoZfErvWAGik5wOhrrf_aJoa6csSDQP5ypqcHmzTK5_w==';
$setup->disconnect;

# ---------------------------------------------------------------------------
# What fails: [SQLSTATE, expression of SQL, %how]

sub set_key
{
	return "set_config('fernet.key', '$_[0]', " . ($_[1] // 'false') . ')';
}

(my $standard = $new) =~ tr{-_}{+/};
$standard = '+' . substr($standard, 1);
my @failing = (
	# Without a key
	map({ [ 'PF001', $_, key => '' ] }
		q(fernet_encrypt('x')), q(fernet_encrypt('x'::bytea)),
		"fernet_decrypt('$token')", "fernet_decrypt_bytea('$token')",
		"fernet_try_decrypt('$token')", "fernet_verify('$token')",
		"fernet_rotate('$token')", "fernet_rotate_value('$token'::text)",
		"fernet_timestamp('$token')",
		"fernet_key_index('$token')",
		"fernet_decrypt_json(to_jsonb('$token'::text), '\$')",
		q(fernet_assert_rotated('garbage', 'token')),
		q(fernet_assert_database_rotated()),
		q(fernet_rotate_batch('garbage', 'token'))),
	# Without an index key
	map({ [ 'PF001', $_ ] } q(fernet_blind_index('x', 'user.email')),
		q(fernet_blind_index('x'::bytea, 'user.email')),
		q(fernet_blind_indexes('x', 'user.email')),
		q(fernet_assert_indexed('searched', 'email', 'email_index', 'user.email'))),
	[ '22023', q(fernet_assert_indexed('searched', 'email', 'email_index', 'user.email', 7)) ],
	[ 'PF001', q(INSERT INTO searched VALUES ('x')), is_statement => 1 ],
	[
		'PF001', q(INSERT INTO encrypting VALUES ('plain')),
		key => '', is_statement => 1
	],
	# Malformed keys: each of its own kind
	map({ [ 'PF002', set_key($_) ] }
		'hunter2', "$new,", ",$new", "$new,$new", $standard,
		substr($new, 0, 42) . '!', substr($new, 0, 42) . '9',
		unpack('H*', substr($new, 0, 32)), '********',
		"$new,nonsense,$old", join(',', map { new_key() } 1 .. 65)),
	[ 'PF002', set_key('hunter2', 'true') ],
	# Not tokens
	map({ [ 'PF003', "fernet_decrypt('$_')" ] }
		'xoxb-no-token', '', "$token=", substr($token, 0, 50) . '!',
		substr($token, 0, 40), substr($token, 0, 97), 'AAAA',
		substr($token, 4)),
	map({ [ 'PF003', "$_('xoxb-no-token')" ] }
		qw(fernet_decrypt_bytea fernet_rotate fernet_timestamp)),
	[ 'PF003', q(fernet_decrypt('\xff00'::bytea)) ],
	[ 'PF003', q(fernet_decrypt_json('["xoxb-no-token"]', '$[*]')) ],
	# Tokens that no key decrypts
	map({ [ 'PF004', "$_('$foreign')" ] }
		qw(fernet_decrypt fernet_decrypt_bytea fernet_rotate fernet_timestamp)),
	[ 'PF004', "fernet_decrypt_json(to_jsonb('$foreign'::text), '\$')" ],
	# Inside of values
	[ 'PF003', "fernet_rotate_value(jsonb_build_array('" . substr($token, 0, 80) . "'))" ],
	[ 'PF004', "fernet_rotate_value(ARRAY['$token', '$foreign'])" ],
	[ '0A000', "fernet_rotate_value(to_tsvector('simple', '$token'))" ],
	# Of the wrong age
	[ 'PF005', "fernet_decrypt('$early', '1 hour')" ],
	[ 'PF005', "fernet_decrypt('$early', '1 hour', '2019-01-01')" ],
	[ 'PF005', "fernet_decrypt_bytea('$early', '1 hour')" ],
	# A key that the server would store, and an unknown setting
	[ 'PF006', "ALTER ROLE CURRENT_USER SET fernet.key = '$new'", is_statement => 1 ],
	[ 'PF006', "ALTER DATABASE postgres SET fernet.key = '$new'", is_statement => 1 ],
	[
		'PF006',
		"CREATE FUNCTION f() RETURNS void LANGUAGE sql SET fernet.key = '$new' AS ''",
		is_statement => 1
	],
	[ '42704', "SET fernet.kye = '$new'", is_statement => 1 ],
	# Rotation and census
	[ 'PF007', q(fernet_assert_rotated('garbage', 'token')) ],
	[ 'PF007', q(fernet_assert_rotated('strange', 'token', 'leave')) ],
	map({
			my $function = $_;
			(
				[ '42809', "fernet_$function('viewed', 'token')" ],
				[ '42703', "fernet_$function('garbage', 'nothing')" ],
				[ '42809', "fernet_$function('odd', 'id')" ],
				[ '42P01', "fernet_$function(1::regclass, 'token')" ],
			)
		} qw(census assert_rotated rotate_batch)),
	[ '428C9', q(fernet_rotate_batch('odd', 'made')) ],
	[ '42809', q(fernet_rotate_batch('parted', 'token')) ],
	[ '22023', q(fernet_rotate_batch('garbage', 'token', -1)) ],
	[ '22023', q(fernet_rotate_batch('garbage', 'token', 0, 0)) ],
	[ '22023', q(fernet_assert_rotated('garbage', 'token', 'encrypt')) ],
	[ '22023', q(fernet_assert_rotated('garbage', 'token', 'maybe')) ],
	[ '22023', q((SELECT count(*) FROM fernet_find_tokens(sample_percent => -1))) ],
	map({ [ '2D000', "CALL fernet_$_", is_statement => 1 ] }
		q(rotate_column('garbage', 'token')),
		q(rotate_table('garbage', '{token}')),
		q(decrypt_column('garbage', 'token', true)),
		q(index_column('searched', 'email', 'email_index', 'user.email'))),
	# Text, time and size
	[ '22021', "fernet_decrypt('$no_text')" ],
	[ '22021', "fernet_try_decrypt('$no_text')" ],
	[ '22023', "fernet_decrypt('$token', '-1 hour')" ],
	[ '22023', "fernet_decrypt('$token', '1 hour', 'infinity')" ],
	[ '22023', q(fernet_encrypt('x', '1969-12-31')) ],
	[ '22023', q(fernet_encrypt('x'::bytea, 'infinity')) ],
	[ '22008', "fernet_timestamp('$endless')", key => $endless_key ],
	# Derived keys
	map({ [ '22023', "fernet_key_from_$_" ] }
		q(hkdf('', 'salt', 'info')), q(pbkdf2(''::bytea, 'salt', 1)), q(sha256('')),
		q(pbkdf2('secret', 'salt', 0)), q(pbkdf2('secret', 'salt', 10000001))),
	# What the trigger refuses
	map({ [ $_->[0], "INSERT INTO $_->[1]", is_statement => 1 ] }
		[ 'PF003', "encrypting VALUES ('" . substr($token, 0, 80) . "')" ],
		[ '22001', q(encrypting (short) VALUES ('plain')) ],
		[ '42703', 'mistaken (n) VALUES (1)' ],
		[ '42809', 'mistaken (n) VALUES (2)' ],
		[ '39P01', 'mistaken (n) VALUES (3)' ]),
);

# Functions that accept garbage without an error, with the answer of each.
my @answering = (
	map({ [ undef, "$_('xoxb-no-token')" ], [ undef, "$_('$foreign')" ],
			[ undef, "$_('\\xff00'::bytea)" ] }
		qw(fernet_try_decrypt fernet_try_decrypt_bytea fernet_key_index)),
	[ undef, "fernet_try_decrypt('$early', '1 s')" ],
	map({ [ 'false', "fernet_verify('$_')" ] }
		'xoxb-no-token', $foreign, substr($token, 0, 40)),
	[ 'empty', q((fernet_inspect('')).status) ],
	map({ [ 'malformed', "(fernet_inspect('$_')).status" ] }
		'xoxb-no-token', substr($token, 0, 60), "\"$token\"", $new),
	[ 'unknown key', "(fernet_inspect('$foreign')).status" ],
	[ 'plaintext', q((SELECT max(status) FROM fernet_census('garbage', 'token'))) ],
	[ 'unknown key', q((SELECT max(status) FROM fernet_census('strange', 'token'))) ],
	# The rows that cannot be rotated are counted. A trigger's error is caught.
	[ 3, q((fernet_rotate_batch('garbage', 'token')).failed), share => 0.1 ],
	[ 3, q((fernet_rotate_batch('strange', 'token')).failed), share => 0.1 ],
	[ 1, q((fernet_rotate_batch('guarded', 'token')).failed), share => 0.1 ],
	[ 'true', "fernet_is_token('$token')" ],
	[ 'false', q(fernet_is_token('xoxb-no-token')) ],
	map({ [ 44, "length(fernet_$_)" ] }
		'generate_key()', q(key_from_hkdf('secret', 'salt', 'info')),
		q(key_from_pbkdf2('secret', 'salt', 2)), q(key_from_sha256('secret'))),
	[ 2, '(SELECT count(*) FROM fernet_keys())' ],
	[ 0, '(SELECT count(*) FROM fernet_index_keys())' ],
	[ 0, '(SELECT count(*) FROM fernet_ledger_rows())' ],
	[ 1, '(SELECT count(*) FROM fernet_stat() WHERE roleid IS NULL)' ],
	[ '', 'fernet_stat_reset()' ],
	# It computes a fingerprint, encrypts and decrypts, and reads files.
	[ 'true', '(SELECT count(*) > 5 FROM fernet_doctor())', share => 0.05 ],
);

# ---------------------------------------------------------------------------
# In PL/pgSQL

# growth says by how much memory has grown between two times, as "name: kB", if
# that is more than allowed.
sub growth
{
	my ($before, $after) = @_;
	return join ', ', map { "$_: " . ($after->{$_} - $before->{$_}) }
	  grep { $after->{$_} - $before->{$_} > $allowed{$_} } sort keys %allowed;
}

# label is a call without its tokens and keys.
sub label
{
	my ($text) = @_;
	$text =~ s/[A-Za-z0-9_+\/-]{40,}=*/<...>/g;
	return length $text > 90 ? substr($text, 0, 90) . '...' : $text;
}

# test_after tests that the session has kept nothing and still works.
sub test_after
{
	my ($connection, $name) = @_;
	my $held = held_after($connection);
	value_of($connection, 'RESET fernet.key');
	my $works = value_of($connection, "SELECT fernet_decrypt('$token')"
		  . q( || fernet_decrypt(fernet_encrypt(' again'))));
	return same("$held|$works", '|a plaintext again',
		"$name: nothing stays behind, the next call works");
}

# test_repeated repeats the statement of PL/pgSQL $statement in one session.
my %largest = map { $_ => 0 } keys %allowed;
sub test_repeated
{
	my ($name, $statement, %how) = @_;
	my $connection = connect_to($node, options => $both);
	value_of($connection, "SELECT " . set_key($how{key})) if defined $how{key};
	my $count = int($repeats * ($how{share} // 1));
	my $loop = sub {
		my ($times) = @_;
		return outcome($connection, <<"SQL");
DO \$do\$
DECLARE
	result text;
BEGIN
	FOR i IN 1 .. $times LOOP
		$statement
	END LOOP;
END \$do\$
SQL
	};
	# The first time, caches are filled.
	$loop->(200);
	my $before = memory_of($connection);
	$before = memory_of($connection);
	my ($state, undef, $message) = $loop->($count);
	my $after = memory_of($connection);
	foreach my $field (keys %allowed)
	{
		my $grown = $after->{$field} - $before->{$field};
		$largest{$field} = $grown if $grown > $largest{$field};
	}
	same($message, '', "$name: $count times, always the same");
	is(growth($before, $after), '', "$name: memory stays flat");
	test_after($connection, $name);
	$connection->disconnect;
	return;
}

foreach my $case (@failing)
{
	my ($state, $call, %how) = @$case;
	my $statement = $how{is_statement} ? "EXECUTE \$x\$$call\$x\$" : "result := $call";
	test_repeated("$state " . label($call), <<"SQL", %how);
BEGIN
	$statement;
	RAISE SQLSTATE 'XX999' USING MESSAGE = 'no error';
EXCEPTION WHEN SQLSTATE '$state' THEN
	NULL;
END;
SQL
}
foreach my $case (@answering)
{
	my ($answer, $call, %how) = @$case;
	my $right = defined $answer ? "'$answer'" : 'NULL';
	test_repeated('no error, ' . label($call), <<"SQL", %how);
result := $call;
IF result IS DISTINCT FROM $right THEN
	RAISE SQLSTATE 'XX999' USING MESSAGE = 'another answer';
END IF;
SQL
}

# The trigger that works; the row is rolled back.
test_repeated('no error, INSERT with the trigger', <<"SQL", share => 0.5);
BEGIN
	INSERT INTO encrypting VALUES ('plain') RETURNING fernet_decrypt(token) INTO result;
	RAISE SQLSTATE 'XX998';
EXCEPTION WHEN SQLSTATE 'XX998' THEN
	IF result IS DISTINCT FROM 'plain' THEN
		RAISE SQLSTATE 'XX999' USING MESSAGE = 'another answer';
	END IF;
END;
SQL

# The same with the audit log.
test_repeated('with the audit log', <<"SQL", share => 0.1);
SET LOCAL fernet.log = 'all';
BEGIN
	result := fernet_decrypt('$foreign');
	RAISE SQLSTATE 'XX999' USING MESSAGE = 'no error';
EXCEPTION WHEN SQLSTATE 'PF004' THEN
	NULL;
END;
SQL

# ---------------------------------------------------------------------------
# As statements of a client, those that cannot be caught in PL/pgSQL with them

my @statements = (
	(map { [ $_->[0], ($_->[2] // '') eq 'is_statement' ? $_->[1] : "SELECT $_->[1]" ] }
		grep { $_->[0] ne '2D000' && ($_->[2] // '') ne 'key' } @failing),
	map({ [ $_->[0], "CALL fernet_$_->[1]" ] }
		[ 'PF007', q(rotate_column('garbage', 'token')) ],
		[ 'PF007', q(rotate_column('strange', 'token')) ],
		[ 'PF007', q(rotate_column('guarded', 'token')) ],
		[ '42809', q(rotate_column('viewed', 'token')) ],
		[ '42703', q(rotate_column('garbage', 'nothing')) ],
		[ '42P01', q(rotate_column(1::regclass, 'token')) ],
		[ '42P01', q(rotate_table(1::regclass, '{token}')) ],
		[ '42703', q(rotate_table('garbage', '{nothing}')) ],
		[ '42809', q(rotate_column('odd', 'id')) ],
		[ '428C9', q(rotate_column('odd', 'made')) ],
		[ '22023', q(rotate_column('garbage', 'token', 0)) ],
		[ '22023', q(rotate_column('garbage', 'token', pause => '-1 s')) ],
		[ '22023', q(rotate_column('garbage', 'token', slice => 2)) ],
		[ '22023', q(rotate_column('garbage', 'token', on_plaintext => 'x')) ],
		[ 'PF001', q(index_column('searched', 'email', 'email_index', 'user.email')) ],
		[ '22023', q(index_column('searched', 'email', 'email_index', 'user.email', 7)) ],
		[ '22023', q(decrypt_column('garbage', 'token')) ],
		[ 'PF007', q(decrypt_column('strange', 'token', true)) ]));
# A token of more than 1 GB is refused before it is made. One call is enough.
push @statements, [ '54000', q(SELECT fernet_encrypt(repeat('x', 806000000))) ]
  if is_long();

sub test_statements
{
	my ($name, %attributes) = @_;
	my $connection = connect_to($node, options => $both);
	$connection->{$_} = $attributes{$_} foreach keys %attributes;
	my @wrong;
	my $round = sub {
		foreach my $case (@statements)
		{
			my ($state, undef, $message) = outcome($connection, $case->[1]);
			push @wrong, "$case->[0] expected, $state: $message"
			  if $state ne $case->[0];
		}
	};
	my $rounds = is_long() ? 500 : 10;
	$round->();
	@statements = grep { $_->[0] ne '54000' } @statements;
	$round->() foreach 1 .. 4;
	my $before = memory_of($connection);
	$before = memory_of($connection);
	$round->() foreach 1 .. $rounds;
	my $after = memory_of($connection);
	is(scalar @wrong, 0,
		"$name: $rounds times " . scalar(@statements) . ' statements, always the same')
	  or diag(label($wrong[0]));
	is(growth($before, $after), '', "$name: memory stays flat");
	test_after($connection, $name);
	$connection->disconnect;
	return;
}
test_statements('simple protocol');
test_statements('extended protocol', pg_server_prepare => 1, pg_switch_prepared => 1);

# ---------------------------------------------------------------------------
# Slots for keys

# depth is how many savepoints a session can have that set a key each.
sub depth
{
	my ($connection) = @_;
	my $depth = 0;
	value_of($connection, 'BEGIN');
	while ($depth < 1000)
	{
		value_of($connection, 'SAVEPOINT s');
		my ($state) = outcome($connection, 'SELECT ' . set_key(new_key()));
		last if $state eq '54000';
		die $state if $state ne '';
		$depth++;
	}
	value_of($connection, 'ROLLBACK');
	return $depth;
}

{
	my $connection = connect_to($node);
	my $fresh = depth($connection);
	cmp_ok($fresh, '>=', 60, "$fresh keys fit in savepoints of a transaction");
	# Malformed after good ones, in each way that a savepoint can end.
	foreach my $end ('ROLLBACK TO s', 'RELEASE s', 'SAVEPOINT s')
	{
		value_of($connection, 'BEGIN');
		foreach my $i (1 .. 3 * $fresh)
		{
			value_of($connection, 'SAVEPOINT s');
			value_of($connection, 'SELECT ' . set_key(new_key()))
			  if $end ne 'SAVEPOINT s';
			my ($state) = outcome($connection, 'SELECT ' . set_key("$new,$i"));
			die $state if $state ne 'PF002';
			value_of($connection, 'ROLLBACK TO s');
			value_of($connection, $end);
		}
		value_of($connection, 'COMMIT');
		is(depth($connection), $fresh, "after failures and $end, as many fit again");
	}
	is(value_of($connection, 'SELECT count(*) FROM fernet_keys()'),
		'0', 'and no key is left');
}

# No function of the extension is missing above.
{
	my $called = join "\n", 'fernet_encrypt_trigger()', 'fernet_blind_index_trigger()',
	  map { "$_->[1](" } @failing, @answering, @statements;
	my $connection = connect_to($node);
	my $functions = value_of($connection, <<'SQL');
SELECT string_agg(DISTINCT p.proname, ' ')
FROM pg_proc AS p
JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
WHERE e.extname = 'pg_fernet' AND p.prolang <> (SELECT oid FROM pg_language WHERE lanname = 'sql')
SQL
	is(join(' ', grep { $called !~ /\b\Q$_\E\(/ } split / /, $functions),
		'', 'each function of the extension has failed or answered');
}

note 'the largest growth, in kB: '
  . join(', ', map { "$_ $largest{$_}" } sort keys %largest);
$node->stop;
no_crash($node);
done_testing();
