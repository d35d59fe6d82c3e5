# Out of memory, at every place: each allocation of pg_fernet, of libcrypto and
# of the server fails in turn, in a session that calls its first function and in
# one that has called all of them; then the mapping, locking and marking of the
# pages that hold the keys, the random generator, and the limits of the
# operating system. Each call ends with a clean error or with the right answer,
# nothing half-written is left, and the same call succeeds in the same session
# afterwards. test/fault/shim.c makes calls fail. FERNET_LONG=1 tries every
# place in the cold session, and every way of failing.

use strict;
use warnings;

use FaultTest;
use FernetTest qw(:DEFAULT same);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
# Errors are expected and not logged; crashes and the like are still logged.
$node->append_conf('postgresql.conf', <<'CONF');
session_preload_libraries = 'pg_fernet'
shared_preload_libraries = 'pg_fernet'
log_statement = none
log_min_messages = log
log_min_error_statement = panic
restart_after_crash = off
autovacuum = off
CONF
{
	local $ENV{LD_PRELOAD} = build_library('shim');
	$node->start;
}
create_fault_functions($node);
$node->safe_psql('postgres', 'CREATE EXTENSION pg_fernet');

# ---------------------------------------------------------------------------
# A table, and what is in it

my ($old, $new, $other) = (new_key(), new_key(), new_key());
my $both = "-c fernet.key=$new,$old";
my $rows = 20;

my $watcher = connect_to($node, options => $both);
value_of($watcher, $_) foreach
  'CREATE TABLE secret (id integer, token text)',
  'CREATE TABLE original (id integer, token text)',
  "SELECT set_config('fernet.key', '$old', false)",
  "INSERT INTO original SELECT i, fernet_encrypt('plaintext ' || i)
	FROM generate_series(1, $rows) AS i",
  "SELECT set_config('fernet.key', '$other', false)";
my $foreign = value_of($watcher, "SELECT fernet_encrypt('not yours')");
value_of($watcher, 'RESET fernet.key');
my $token = value_of($watcher, "SELECT fernet_encrypt('a plaintext')");
my $old_token = value_of($watcher, 'SELECT token FROM original WHERE id = 1');

sub fill_table
{
	value_of($watcher, $_)
	  foreach 'TRUNCATE secret', 'INSERT INTO secret SELECT * FROM original';
	return;
}
fill_table();

# damaged_rows counts rows that changed, with whichever key they are encrypted.
sub damaged_rows
{
	return value_of($watcher, <<"SQL");
SELECT $rows - count(*) FILTER (
	WHERE fernet_try_decrypt(s.token) = 'plaintext ' || id)
	+ abs(count(*) - $rows)
FROM original AS o FULL JOIN secret AS s USING (id)
SQL
}

# ---------------------------------------------------------------------------
# The calls: [the expected value, the statement]. Each returns one value, always
# the same.

my $fingerprints =
  value_of($watcher, 'SELECT string_agg(fingerprint, $$,$$) FROM fernet_keys()');
my ($first) = split /,/, $fingerprints;
my %calls = (
	'fernet_encrypt(text)' =>
	  [ 'y', q(SELECT fernet_decrypt(fernet_encrypt('y'))) ],
	'fernet_encrypt(bytea)' => [
		'00ff', q(SELECT encode(fernet_decrypt_bytea(
			fernet_encrypt('\x00ff'::bytea)), 'hex'))
	],
	'fernet_encrypt of a large value' => [
		200_000,
		q(SELECT length(fernet_decrypt(fernet_encrypt(repeat('z', 200000)))))
	],
	fernet_decrypt => [ 'a plaintext', "SELECT fernet_decrypt('$token')" ],
	'fernet_decrypt under the second key' =>
	  [ 'plaintext 1', "SELECT fernet_decrypt('$old_token')" ],
	fernet_try_decrypt =>
	  [ 'a plaintext', "SELECT fernet_try_decrypt('$token')" ],
	'fernet_try_decrypt of a foreign token' =>
	  [ undef, "SELECT fernet_try_decrypt('$foreign')" ],
	fernet_verify => [ 1, "SELECT fernet_verify('$old_token')" ],
	fernet_rotate =>
	  [ 1, "SELECT fernet_key_index(fernet_rotate('$old_token'))" ],
	fernet_timestamp =>
	  [ 1, "SELECT fernet_timestamp('$token') IS NOT NULL" ],
	fernet_key_index => [ 2, "SELECT fernet_key_index('$old_token')" ],
	fernet_is_token => [ 1, "SELECT fernet_is_token('$token')" ],
	fernet_inspect => [
		"secondary|2|11",
		"SELECT concat_ws('|', status, key_index, payload_bytes)
			FROM fernet_inspect('$old_token')"
	],
	'fernet_inspect of a foreign token' => [
		'unknown key',
		"SELECT concat_ws('|', status, key_index, payload_bytes)
			FROM fernet_inspect('$foreign')"
	],
	fernet_generate_key => [ 44, 'SELECT length(fernet_generate_key())' ],
	fernet_keys => [
		$fingerprints,
		'SELECT string_agg(fingerprint, $$,$$ ORDER BY key_index) FROM fernet_keys()'
	],
	fernet_census => [
		"secondary|2|$rows",
		q(SELECT string_agg(concat_ws('|', status, key_index, tokens), ';')
			FROM fernet_census('original', 'token'))
	],
	fernet_doctor => [
		1,
		"SELECT count(*) > 10 AND (bool_or(detail LIKE '%$first%')
				OR bool_or(item = 'key' AND status = 'warn'))
			FROM fernet_doctor()"
	],
	fernet_stat => [ 1, 'SELECT sum(encrypted) > 0 FROM fernet_stat()' ],
	'set_config' => [
		'********',
		"SELECT set_config('fernet.key', '$new,$old', false)"
	],
	'fernet_rotate_batch' => [
		"$rows|0",
		q(SELECT concat_ws('|', rotated, failed)
			FROM fernet_rotate_batch('secret', 'token'))
	],
	fernet_rotate_column =>
	  [ $rows, q(CALL fernet_rotate_column('secret', 'token')) ],
);
my %writes = map { $_ => 1 } qw(fernet_rotate_batch fernet_rotate_column);
my %fails = (
	'fernet_decrypt of a foreign token' =>
	  [ 'PF004', "SELECT fernet_decrypt('$foreign')" ],
	'fernet_assert_rotated' =>
	  [ 'PF007', q(SELECT fernet_assert_rotated('original', 'token')) ],
);

# The errors of a call when the server or libcrypto has no memory. 2201B:
# PostgreSQL raises it for a regular expression when it has no memory.
my %clean = map { $_ => 1 } qw(53200 XX000 2201B);
my $words = qr/out\ of\ memory
	|could\ not\ complete\ the\ cryptographic\ operation
	|could\ not\ generate\ random\ bytes/x;

# ---------------------------------------------------------------------------
# Failing by turn

my $both_keys = "SELECT set_config('fernet.key', '$new,$old', false)";

# judge says what is wrong with the result of a call, or nothing.
sub judge
{
	my ($name, $state, $value, $message) = @_;
	my ($right_state, $right) =
	  $fails{$name} ? ($fails{$name}[0], undef) : ('', $calls{$name}[0]);
	return '' if $state eq $right_state && ($value // '') eq ($right // '');
	return "success with another answer ($value)" if $state eq '';
	return "$state $message" unless $clean{$state} && $message =~ $words;
	return '';
}

sub statement
{
	my ($name) = @_;
	return ($calls{$name} // $fails{$name})->[1];
}

# arm and disarm: the failure may hit their own statements.
sub arm
{
	my ($connection, $nth, %how) = @_;
	my ($state, undef, $message) = outcome(
		$connection, 'SELECT fault_arm(?, ?, ?, ?)',
		$how{kind}, $how{callers}, $nth, $how{and_later} // 0);
	die $message if $state ne '' && $state ne '53200';
	return;
}

sub disarm
{
	my ($connection) = @_;
	my ($state, $seen) = outcome($connection, 'SELECT fault_disarm()');
	return $state eq '53200'
	  ? value_of($connection, 'SELECT fault_disarm()')
	  : $seen;
}

# fail_nth makes the call $nth of a kind fail in $connection while it executes
# the calls of @$names one after the other, and adds to %$result what is wrong
# then or afterwards. Returns whether there were so many calls.
sub fail_nth
{
	my ($connection, $names, $nth, $how, $result) = @_;
	my $wrong = sub { $result->{wrong}{"with failure $nth, $_[0]"}++ if $_[1] };
	arm($connection, $nth, %$how);
	my @ends = map { [ $_, outcome($connection, statement($_)) ] } @$names;
	my $seen = disarm($connection) // 0;
	foreach my $end (@ends)
	{
		my ($name, $state) = @$end;
		# A session that could not set a key has none.
		next if $names->[0] eq 'set_config' && $ends[0][1] ne ''
		  && ($state eq 'PF001' || $name eq 'fernet_keys');
		my $problem = judge(@$end);
		$wrong->("$name: $problem", $problem ne '');
		$result->{errors}++ if $clean{$state};
	}
	my $held = held_after($connection);
	$wrong->("it leaves $held", $held ne '');
	my $is_writing = grep { $writes{$_} } @$names;
	$wrong->('rows are damaged', damaged_rows()) if $is_writing;
	fill_table() if $is_writing;
	foreach my $name (@$names)
	{
		my $problem =
		  judge($name, outcome($connection, statement($name)));
		$wrong->("afterwards, $name: $problem", $problem ne '');
	}
	fill_table() if $is_writing;
	$result->{failures}++ if $seen >= $nth;
	return $seen >= $nth;
}

# test_failures tests what fail_nth has found.
my $total = 0;
sub test_failures
{
	my ($name, $result) = @_;
	my @wrong = sort keys %{ $result->{wrong} };
	$total += $result->{failures} // 0;
	ok(!@wrong, sprintf '%s: %d failures, %d errors, and all is well', $name,
		$result->{failures} // 0, $result->{errors} // 0);
	diag($_) foreach @wrong[ 0 .. ($#wrong < 4 ? $#wrong : 4) ];
	return;
}

# fail_by_turn tests the calls of @$names in one session with the first failure,
# the second, and so on until there are no more.
sub fail_by_turn
{
	my ($connection, $names, %how) = @_;
	my $result = {};
	for (my $nth = 1;; $nth += $how{step} // 1)
	{
		last if !fail_nth($connection, $names, $nth, \%how, $result);
	}
	test_failures(
		"$names->[0], $how{kind} by $how{callers}"
		  . ($how{and_later} ? ' from there on' : ''),
		$result);
	return;
}

# A warm session has called everything.
my $warm = connect_to($node, options => $both);
outcome($warm, statement($_)) foreach keys %calls, keys %fails;
fill_table();

foreach my $name (sort keys %calls, sort keys %fails)
{
	# A call of fernet_doctor is slow.
	my %step = $name eq 'fernet_doctor' ? (step => is_long() ? 10 : 20) : ();
	foreach my $and_later (0, 1)
	{
		fail_by_turn(
			$warm, [$name], kind => 'malloc', callers => 'ours',
			and_later => $and_later, %step);
	}
	next if $name eq 'fernet_doctor' && !is_long();
	$step{step} = 1000 if $name eq 'fernet_doctor';
	# One at a time only: the server has no memory to report an error with.
	fail_by_turn($warm, [$name], kind => 'malloc', callers => 'server', %step);
}
# More than 500 with OpenSSL 3.0, of which 3.5 allocates a third less.
cmp_ok($total, '>', 200, "of $total failures in a warm session, no harm came");

# ---------------------------------------------------------------------------
# A session that has done nothing yet: the mapping of the pages, the fetch of
# the algorithms, the preparation of the keys

my @first_calls =
  ('set_config', 'fernet_encrypt(text)', 'fernet_rotate', 'fernet_keys');

sub fail_in_cold_sessions
{
	my (%how) = @_;
	my $result = {};
	for (my $nth = 1;; $nth += $how{step} // 1)
	{
		my $cold = connect_to($node);
		my $failed = fail_nth($cold, \@first_calls, $nth, \%how, $result);
		$cold->disconnect;
		last if !$failed;
	}
	test_failures(
		"a new session, $how{kind} by $how{callers}"
		  . ($how{and_later} ? ' from there on' : ''),
		$result);
	return $result;
}

$total = 0;
foreach my $and_later (0, 1)
{
	fail_in_cold_sessions(
		kind => 'malloc', callers => 'ours', and_later => $and_later,
		step => is_long() ? 1 : 5);
}
fail_in_cold_sessions(
	kind => 'malloc', callers => 'server', step => is_long() ? 1 : 5);
cmp_ok($total, '>', 50, "of $total failures in new sessions, no harm came");
my $mapping = fail_in_cold_sessions(kind => 'mmap', callers => 'ours');
is("$mapping->{failures} $mapping->{errors}",
	'1 1', 'without pages for the keys, setting one is refused');

# The pages are protected as far as possible, and fernet_doctor reports it.
foreach my $kind (qw(mlock madvise))
{
	foreach my $nth (1, 2)
	{
		my $cold = connect_to($node);
		arm($cold, $nth, kind => $kind, callers => 'ours');
		value_of($cold, $both_keys);
		my $seen = disarm($cold);
		next if $seen < $nth;
		is( value_of(
				$cold,
				q(SELECT fernet_decrypt(fernet_encrypt('y')) || ' ' || status
					FROM fernet_doctor() WHERE item = 'key memory')),
			'y warn',
			"$kind fails: it works, and fernet_doctor warns");
	}
}

# The same when the operating system allows no memory to be locked.
{
	my $cold = connect_to($node);
	value_of($cold, q(SELECT fault_limit('memlock', 0)));
	value_of($cold, $both_keys);
	is( value_of(
			$cold,
			q(SELECT fernet_decrypt(fernet_encrypt('y')) || ' ' || status
				FROM fernet_doctor() WHERE item = 'key memory')),
		'y warn',
		'RLIMIT_MEMLOCK is 0: it works, and fernet_doctor warns');
}

# ---------------------------------------------------------------------------
# No random bytes

foreach my $case (
	[ fernet_generate_key => 'SELECT fernet_generate_key()' ],
	[
		fernet_encrypt =>
		  q(SELECT count(fernet_encrypt('y')) FROM generate_series(1, 600))
	],
	[
		fernet_rotate => "SELECT count(fernet_rotate('$old_token'))
			FROM generate_series(1, 600)"
	],
	[
		fernet_rotate_batch =>
		  q(SELECT count(fernet_rotate_batch('secret', 'token'))
			FROM generate_series(1, 2))
	],
	[
		fernet_rotate_column =>
		  q(CALL fernet_rotate_column('secret', 'token'))
	])
{
	my ($name, $sql) = @$case;
	my $cold = connect_to($node, options => $both);
	arm($cold, 1, kind => 'random', callers => 'ours', and_later => 1);
	my ($state, undef, $message) = outcome($cold, $sql);
	cmp_ok(disarm($cold), '>', 0, "$name asks for random bytes");
	is($state, 'XX000', "$name: without them it is an error");
	like($message, qr/could not generate random bytes/, "$name: which says so");
	is(held_after($cold), '', "$name: it leaves nothing behind");
	is(damaged_rows(), '0', "$name: no row is damaged");
	is((outcome($cold, $sql))[0], '', "$name: afterwards it works");
	fill_table();
	$cold->disconnect;
}

# ---------------------------------------------------------------------------
# A large value where the process may not grow

my $megabytes = is_long() ? 200 : 50;
my $large = connect_to($node, options => $both);
value_of($large, 'SELECT fernet_encrypt($$y$$)');
my $plaintext = "repeat('0123456789', $megabytes * 100000)";
foreach my $case (
	[ fernet_encrypt => "SELECT length(fernet_encrypt($plaintext))" ],
	[
		'fernet_decrypt' =>
		  "SELECT md5(fernet_decrypt(token)) FROM large"
	],
	[
		'fernet_rotate' => 'SELECT fernet_key_index(fernet_rotate(token)) FROM large'
	])
{
	my ($name, $sql) = @$case;
	if ($name eq 'fernet_decrypt')
	{
		value_of($large, $_)
		  foreach "SELECT set_config('fernet.key', '$old', false)",
		  "CREATE TABLE large AS SELECT fernet_encrypt($plaintext) AS token",
		  'RESET fernet.key';
	}
	# Each call's need is between these two limits.
	my $errors = 0;
	foreach my $share (0.2, 0.6, 1, 1.3, 1.8, 2.4, 3.2, 4, 5, 6)
	{
		my ($now) =
		  slurp("/proc/$large->{pg_pid}/status") =~ /^VmSize:\s+(\d+)/m;
		value_of($large, 'SELECT fault_limit(?, ?)', 'as',
			int($now * 1024 + $share * $megabytes * 1_000_000));
		my ($state, undef, $message) = outcome($large, $sql);
		$errors += $state eq '53200';
		is($message, '', "$name: no other error")
		  if $state ne '' && $state ne '53200';
		value_of($large, q(SELECT fault_limit('as', -1)));
	}
	cmp_ok($errors, '>', 0,
		"$name of $megabytes MB: out of memory under $errors of 10 limits");
	my ($state, $value) = outcome($large, $sql);
	my %right = (
		fernet_decrypt => value_of($large, "SELECT md5($plaintext)"),
		fernet_rotate => 1);
	ok($state eq '' && (!defined $right{$name} || $value eq $right{$name}),
		"$name of $megabytes MB: without a limit it works");
	is(held_after($large), '', "$name of $megabytes MB leaves nothing behind");
}

is(value_of($watcher, 'SELECT count(*) FROM original
	WHERE fernet_decrypt(token) = $$plaintext $$ || id'),
	$rows, 'a session that saw no failure still works');
$node->stop;
no_crash($node);
done_testing();
