# Fifty sessions at once, each with keys of its own, each doing a random mix of
# what changes a key or could confuse two: SET and SET LOCAL, savepoints,
# exceptions in PL/pgSQL, prepared statements and cursors that outlive a change,
# plans that are invalidated, parallel query, DISCARD ALL, and jobs on columns.
# Each client keeps a model of which keys its session has at any moment, and of
# every value it may read: each answer must agree with it. FERNET_LONG=1 goes on
# for five minutes, otherwise it is ten seconds.

use strict;
use warnings;

use FaultTest;
use FernetTest qw(:DEFAULT same server_logs);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use POSIX       ();

my $seed = random_seed();
my $sessions = 50;
my $duration = is_long() ? 300 : 10;    # seconds

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
session_preload_libraries = 'pg_fernet'
shared_preload_libraries = 'pg_fernet'
max_connections = 80
max_worker_processes = 40
max_parallel_workers = 40
log_statement = none
log_min_messages = log
log_min_error_statement = panic
CONF
$node->start;
my $watcher = connect_to($node);
# PostgreSQL 16 has given this setting another name.
my $force_parallel = value_of($watcher, q(SELECT name FROM pg_settings
	WHERE name IN ('force_parallel_mode', 'debug_parallel_query')));
value_of($watcher, $_) foreach split /;\n\n/, <<'SQL';
CREATE EXTENSION pg_fernet;

CREATE TABLE shared (id integer PRIMARY KEY, filler text);

INSERT INTO shared SELECT i, 'x' FROM generate_series(1, 200) AS i;

CREATE FUNCTION decrypt_in_block(key text, token text) RETURNS text LANGUAGE plpgsql
AS $$
DECLARE
	result text;
BEGIN
	BEGIN
		PERFORM set_config('fernet.key', key, true);
		result := coalesce(fernet_try_decrypt(token), 'none');
		RAISE SQLSTATE 'XX999' USING MESSAGE = result;
	EXCEPTION WHEN SQLSTATE 'XX999' THEN
		RETURN SQLERRM;
	END;
END
$$;

CREATE FUNCTION without_key() RETURNS bigint LANGUAGE sql VOLATILE
	SET fernet.key = '' AS 'SELECT count(*) FROM fernet_keys()'
SQL
$watcher->disconnect;

# ---------------------------------------------------------------------------
# One client

# The keys of a client, by number, and a token of each, whose plaintext names
# client and key. A value of fernet.key is a list of these numbers, as "1,0";
# the empty list means no key.
package Client;

use FaultTest;
use FernetTest;

sub new
{
	my ($class, $node, $number) = @_;
	my $self = bless {
		node => $node, number => $number, checks => 0, wrong => [],
		keys => [ map { new_key() } 1 .. 4 ],
	}, $class;
	$self->{options} = '-c fernet.key=' . $self->text_of('0,1');
	# The model: what the session would have after a COMMIT, what it has now, and
	# both as they were at BEGIN and at each savepoint.
	$self->{reset} = '0,1';
	$self->reconnect;
	foreach my $key (0 .. $#{ $self->{keys} })
	{
		$self->set_key($key, 0);
		$self->{tokens}[$key] =
		  $self->ask('SELECT fernet_encrypt(?)', $self->plaintext($key));
		$self->{fingerprints}[$key] = $self->ask('SELECT fingerprint FROM fernet_keys()');
	}
	$self->run('RESET fernet.key');
	$self->{now} = $self->{after} = '0,1';
	return $self;
}

sub reconnect
{
	my ($self) = @_;
	$self->{connection}->disconnect if defined $self->{connection};
	$self->{connection} =
	  connect_to($self->{node}, options => $self->{options});
	$self->{now} = $self->{after} = $self->{reset};
	$self->{outer} = [];
	$self->{prepared} = {};
	$self->{cursors} = {};
	return;
}

sub plaintext
{
	my ($self, $key) = @_;
	return "client $self->{number} key $key";
}

sub text_of
{
	my ($self, $list) = @_;
	return join ',', map { $self->{keys}[$_] } split /,/, $list;
}

sub complain
{
	my ($self, $what) = @_;
	$what =~ s/[A-Za-z0-9_\/+=-]{40,}/<withheld>/g;
	push @{ $self->{wrong} }, $what;
	return;
}

# run executes what must succeed; ask returns its value.
sub run
{
	my ($self, $sql, @parameters) = @_;
	my ($state, $value, $message) =
	  outcome($self->{connection}, $sql, @parameters);
	$self->complain("$self->{doing}: $sql gives $state $message") if $state ne '';
	return $value;
}

sub ask
{
	return run(@_);
}

# expect tests one answer, or the SQLSTATE in its place.
sub expect
{
	my ($self, $what, $right, $sql, @parameters) = @_;
	my ($state, $value) = outcome($self->{connection}, $sql, @parameters);
	my $got = $state ne '' ? $state : $value // 'NULL';
	$self->{checks}++;
	$self->complain("$self->{doing}: $what is $got, not $right, with the keys "
		  . "($self->{now})") if $got ne $right;
	return $state eq '' && $got eq $right;
}

sub in_block
{
	my ($self) = @_;
	return scalar @{ $self->{outer} };
}

sub any_list
{
	my ($self) = @_;
	my @lists = ('0', '1', '2', '3', '0,1', '1,0', '2,0,3', '3,2,1,0', '');
	return $lists[ rand @lists ];
}

# opens says what the current keys should return for the token of $key.
sub opens
{
	my ($self, $key) = @_;
	return scalar grep { $_ == $key } split /,/, $self->{now};
}

# set_key sets the key, also in the model.
sub set_key
{
	my ($self, $list, $is_local) = @_;
	my $text = $self->text_of($list);
	my $way = int rand 3;
	if ($way == 0 && $list ne '')
	{
		$self->run(sprintf "SET %s fernet.key = '%s'", $is_local ? 'LOCAL' : '', $text);
	}
	else
	{
		$self->run('SELECT set_config($$fernet.key$$, ?, ?)', $text, $is_local ? 1 : 0);
	}
	# A local value ends with its transaction, which may be the statement.
	return if $is_local && !$self->in_block;
	$self->{now} = $list;
	$self->{after} = $list if !$is_local;
	return;
}

# check_keys compares the whole list; check_token a token, in one of many ways.
sub check_keys
{
	my ($self) = @_;
	$self->expect(
		'the list of keys',
		join(',', map { $self->{fingerprints}[$_] } split /,/, $self->{now}),
		q(SELECT coalesce(string_agg(fingerprint, ',' ORDER BY key_index), '')
			FROM fernet_keys()));
	return;
}

sub check_token
{
	my ($self) = @_;
	my $key = int rand 4;
	my $token = $self->{tokens}[$key];
	my $opens = $self->opens($key);
	my $plaintext = $self->plaintext($key);
	if ($self->{now} eq '')
	{
		return if $self->in_block;    # the error would end it
		$self->expect('no key', 'PF001', 'SELECT fernet_try_decrypt(?)', $token);
		return;
	}
	my @ways = (
		sub {
			$self->expect('try_decrypt', $opens ? $plaintext : 'NULL',
				'SELECT fernet_try_decrypt(?)', $token);
		},
		sub {
			return if !$opens && $self->in_block;
			$self->expect('decrypt', $opens ? $plaintext : 'PF004',
				'SELECT fernet_decrypt(?)', $token);
		},
		sub {
			$self->expect('verify', $opens ? 1 : 0, 'SELECT fernet_verify(?)', $token);
		},
		sub {
			my ($first) = split /,/, $self->{now};
			my $made = $self->ask('SELECT fernet_encrypt(?)', $plaintext) // '';
			$self->expect('the key of a new token', 1,
				'SELECT fernet_key_index(?)', $made);
			# With another list the same token has another index, or none.
			$self->expect('that token in a block of its own',
				$plaintext, 'SELECT decrypt_in_block(?, ?)',
				$self->{keys}[$first], $made);
		},
		sub {
			$self->expect('rotate', 'primary',
				'SELECT (fernet_inspect(fernet_rotate(?))).status', $token)
			  if $opens;
		},
	);
	$ways[ rand @ways ]->();
	return;
}

# The actions of a client: each is a method do_...

sub do_set { my ($self) = @_; $self->set_key($self->any_list, 0); return }

sub do_set_local { my ($self) = @_; $self->set_key($self->any_list, 1); return }

sub do_reset
{
	my ($self) = @_;
	$self->run(rand() < 0.5 ? 'RESET fernet.key' : 'SET fernet.key TO DEFAULT');
	$self->{now} = $self->{after} = $self->{reset};
	return;
}

sub do_begin
{
	my ($self) = @_;
	return if $self->in_block;
	$self->run('BEGIN');
	push @{ $self->{outer} }, [ $self->{now}, $self->{after} ];
	return;
}

sub do_end
{
	my ($self) = @_;
	return if !$self->in_block;
	my $is_commit = rand() < 0.6;
	my @held = grep { $_->{hold} && !$_->{kept} } values %{ $self->{cursors} };
	# Without a key a cursor WITH HOLD could not be filled, and the COMMIT fails.
	$is_commit = 0 if @held && $self->{now} eq '';
	# The rows that are left are made now, with the keys of the transaction.
	$_->{right} = $self->row_of($_) foreach @held;
	$self->run($is_commit ? 'COMMIT' : 'ROLLBACK');
	$self->{after} = $self->{outer}[0][1] if !$is_commit;
	$self->{now} = $self->{after};
	$self->{outer} = [];
	$self->{cursors} =
	  { map { $_ => $self->{cursors}{$_} }
		  grep { $is_commit && $self->{cursors}{$_}{hold}
			  || $self->{cursors}{$_}{kept} } keys %{ $self->{cursors} } };
	$_->{kept} = 1 foreach values %{ $self->{cursors} };
	return;
}

sub do_savepoint
{
	my ($self) = @_;
	return if !$self->in_block || $self->in_block > 8;
	$self->run('SAVEPOINT s' . $self->in_block);
	push @{ $self->{outer} }, [ $self->{now}, $self->{after} ];
	return;
}

sub do_rollback_to
{
	my ($self) = @_;
	return if $self->in_block < 2;
	my $level = 1 + int rand($self->in_block - 1);
	$self->run("ROLLBACK TO s$level");
	$#{ $self->{outer} } = $level;
	($self->{now}, $self->{after}) = @{ $self->{outer}[$level] };
	# Cursors of the subtransaction are gone.
	delete $self->{cursors}{$_}
	  foreach grep { $self->{cursors}{$_}{level} >= $level && !$self->{cursors}{$_}{kept} }
	  keys %{ $self->{cursors} };
	return;
}

sub do_release
{
	my ($self) = @_;
	return if $self->in_block < 2;
	my $level = 1 + int rand($self->in_block - 1);
	$self->run("RELEASE s$level");
	$#{ $self->{outer} } = $level - 1;
	foreach my $cursor (values %{ $self->{cursors} })
	{
		$cursor->{level} = $level - 1 if $cursor->{level} >= $level;
	}
	return;
}

# An error ends the transaction block, or goes back to a savepoint.
sub do_fail
{
	my ($self) = @_;
	my @failing = (
		[ 'PF002', q(SELECT set_config('fernet.key', 'nonsense', true)) ],
		[ 'PF002', q(SET fernet.key = 'nonsense') ],
		[ '22012', 'SELECT 1 / 0' ],
		[ $self->{now} eq '' ? 'PF001' : 'PF003', q(SELECT fernet_decrypt('nonsense')) ]);
	my $case = $failing[ rand @failing ];
	$self->expect('an error', $case->[0], $case->[1]);
	return if !$self->in_block;
	return $self->do_rollback_to if $self->in_block > 1;
	$self->run('ROLLBACK');
	($self->{now}, $self->{after}) = @{ $self->{outer}[0] };
	$self->{now} = $self->{after};
	$self->{outer} = [];
	$self->{cursors} = { map { $_ => $self->{cursors}{$_} }
		  grep { $self->{cursors}{$_}{kept} } keys %{ $self->{cursors} } };
	return;
}

sub do_exception_block
{
	my ($self) = @_;
	my ($inner, $key) = (int rand 4, int rand 4);
	$self->expect(
		'a token in an exception block',
		$inner == $key ? $self->plaintext($key) : 'none',
		'SELECT decrypt_in_block(?, ?)',
		$self->{keys}[$inner], $self->{tokens}[$key]);
	return;
}

sub do_function_without_key
{
	my ($self) = @_;
	$self->expect('keys where a function has set none',
		0, 'SELECT without_key()');
	return;
}

# A prepared statement reads the key when it is executed.
sub do_prepared
{
	my ($self) = @_;
	return if $self->{now} eq '';
	my $key = int rand 4;
	if (!$self->{prepared}{$key})
	{
		$self->run("PREPARE p$key AS SELECT fernet_try_decrypt('$self->{tokens}[$key]')
			FROM shared WHERE id = 7");
		$self->{prepared}{$key} = 1;
	}
	$self->expect('a prepared statement',
		$self->opens($key) ? $self->plaintext($key) : 'NULL', "EXECUTE p$key");
	return;
}

sub do_invalidate
{
	my ($self) = @_;
	my $way = int rand 3;
	$self->run('DISCARD PLANS') if $way == 0;
	if ($way == 1)
	{
		$self->run('DEALLOCATE ALL');
		$self->{prepared} = {};
	}
	# With a lock on the table, clients would wait for each other.
	$self->run('ANALYZE shared') if $way == 2 && !$self->in_block;
	return;
}

# A cursor computes its rows when they are fetched, with the keys of that
# moment; a cursor WITH HOLD computes the remaining rows at the commit.
sub do_cursor
{
	my ($self) = @_;
	return if !$self->in_block || keys %{ $self->{cursors} } > 3;
	my $name = 'c' . ++$self->{named};
	my $key = int rand 4;
	my $is_held = rand() < 0.5;
	$self->run(sprintf
		  "DECLARE %s CURSOR %s FOR SELECT fernet_try_decrypt('%s') FROM generate_series(1, 1000)",
		$name, $is_held ? 'WITH HOLD' : '', $self->{tokens}[$key]);
	$self->{cursors}{$name} =
	  { key => $key, hold => $is_held, level => $self->in_block - 1 };
	return;
}

sub row_of
{
	my ($self, $cursor) = @_;
	my $key = $cursor->{key};
	return $self->opens($key) ? $self->plaintext($key) : 'NULL';
}

sub do_fetch
{
	my ($self) = @_;
	my ($name) = sort keys %{ $self->{cursors} };
	return if !defined $name;
	my $cursor = $self->{cursors}{$name};
	return if !$cursor->{kept} && ($self->{now} eq '' || !$self->in_block);
	$self->expect(
		'a row of a cursor',
		$cursor->{kept} ? $cursor->{right} : $self->row_of($cursor),
		"FETCH $name");
	if ($cursor->{kept} && rand() < 0.5)
	{
		$self->run("CLOSE $name");
		delete $self->{cursors}{$name};
	}
	return;
}

# Workers have no key: functions that need one run in the leader.
sub do_parallel
{
	my ($self) = @_;
	return if $self->{now} eq '';
	my $key = int rand 4;
	my $right = $self->opens($key) ? 200 : 0;
	$self->run('SELECT set_config(?, ?, false)', $force_parallel, 'on');
	$self->expect('a parallel query', $right,
		'SELECT count(fernet_try_decrypt(?)) FROM shared WHERE length(filler) > 0',
		$self->{tokens}[$key]);
	$self->expect('what needs no key, in a worker', 200,
		'SELECT count(*) FROM shared WHERE fernet_is_token(?)', $self->{tokens}[$key]);
	$self->run('SELECT set_config(?, ?, false)', $force_parallel, 'off');
	return;
}

sub do_discard
{
	my ($self) = @_;
	return if $self->in_block;
	if (rand() < 0.5)
	{
		$self->run('DISCARD ALL');
		$self->{prepared} = {};
		$self->{cursors} = {};
	}
	else
	{
		$self->run('RESET ALL');
	}
	$self->{now} = $self->{after} = $self->{reset};
	return;
}

sub do_reconnect
{
	my ($self) = @_;
	$self->reconnect if !$self->in_block && rand() < 0.2;
	return;
}

# A table of the client, rotated with the current keys.
sub do_job
{
	my ($self) = @_;
	return if $self->in_block || $self->{now} eq '' || rand() < 0.7;
	$self->run('CREATE TEMP TABLE IF NOT EXISTS own (key integer, token text)');
	$self->run('TRUNCATE own');
	foreach my $key (0 .. 3)
	{
		$self->run('INSERT INTO own SELECT ?, ? FROM generate_series(1, 5)',
			$key, $self->{tokens}[$key]);
	}
	my @listed = split /,/, $self->{now};
	my $rotated = 5 * $#listed;
	my $failed = 5 * (4 - @listed);
	if ($failed == 0 && rand() < 0.5)
	{
		$self->expect('a rotated column', $rotated,
			q(CALL fernet_rotate_column('own', 'token', 7)));
	}
	else
	{
		$self->expect('a rotated batch', "$rotated|5|$failed",
			q(SELECT concat_ws('|', rotated, unchanged, failed)
				FROM fernet_rotate_batch('own', 'token')));
	}
	$self->expect('the table afterwards', 5 * @listed,
		q(SELECT count(*) FROM own WHERE fernet_key_index(token) = 1
			AND fernet_decrypt(token) = ? || key), "client $self->{number} key ");
	return;
}

our %weights = (
	do_set => 3, do_set_local => 6, do_reset => 2, do_begin => 6, do_end => 5,
	do_savepoint => 5, do_rollback_to => 3, do_release => 3, do_fail => 3,
	do_exception_block => 3, do_function_without_key => 1, do_prepared => 4,
	do_invalidate => 1, do_cursor => 2, do_fetch => 3, do_parallel => 1,
	do_discard => 1, do_reconnect => 1, do_job => 2);
my @mix = map { ($_) x $weights{$_} } sort keys %weights;

# work continues until the time is $end, or something is wrong.
sub work
{
	my ($self, $end) = @_;
	# On a busy machine, one may come late: each checks an answer all the same.
	while ((Time::HiRes::time() < $end || !$self->{checks}) && @{ $self->{wrong} } < 3)
	{
		my $method = $self->{doing} = $mix[ rand @mix ];
		$self->{done}{$method}++;
		$self->$method;
		$self->check_token if rand() < 0.7;
		$self->check_keys if rand() < 0.3;
	}
	return;
}

# ---------------------------------------------------------------------------
# All of them

package main;

my $folder = $node->basedir;
my $end = time() + $duration;
my @children;
foreach my $number (1 .. $sessions)
{
	my $child = fork // die "fork: $!";
	if ($child != 0)
	{
		push @children, $child;
		next;
	}
	# A client says how often it has checked, and what was wrong.
	srand($seed + $number);
	my $client = eval { Client->new($node, $number) };
	eval { $client->work($end) } if defined $client;
	my @said =
	  defined $client
	  ? ($client->{checks}, scalar keys %{ $client->{done} // {} }, @{ $client->{wrong} })
	  : (0, 0);
	push @said, "it dies: $@" if $@ ne '';
	append_to_file("$folder/client$number", join("\n", @said) . "\n");
	POSIX::_exit(0);
}
waitpid($_, 0) foreach @children;

my ($clients, $checks, $kinds, @wrong) = (0, 0, 0);
foreach my $number (1 .. $sessions)
{
	my ($its_checks, $its_kinds, @its_wrong) = split /\n/, slurp("$folder/client$number");
	$clients++ if $its_checks;
	$checks += $its_checks // 0;
	$kinds = $its_kinds if ($its_kinds // 0) > $kinds;
	push @wrong, map { "client $number: $_" } @its_wrong;
}
is($clients, $sessions, "$sessions clients were at work");
cmp_ok($checks, '>', 20 * $sessions, "they have checked $checks answers");
is($kinds, scalar keys %Client::weights, 'and done all there is to do');
is(scalar @wrong, 0, 'no answer was wrong');
diag($_) foreach @wrong[ 0 .. ($#wrong < 9 ? $#wrong : 9) ];

$node->stop;
no_crash($node);
done_testing();
