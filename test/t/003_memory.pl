# Keys in the memory of a session: the right key is in force after any sequence
# of SET, SET LOCAL, savepoints, errors and RESET; a key that nothing can
# restore is wiped; and a core dump has none of the keys that we keep.

use strict;
use warnings;

use FernetTest;
use MIME::Base64 qw(decode_base64url);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{FERNET_SEED} // int(rand(2**31));
srand $seed;
note "FERNET_SEED=$seed repeats this run";

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf',
	"session_preload_libraries = 'pg_fernet'\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION pg_fernet');

my $key_file = $node->basedir . '/keys';
my $live_keys = "$^X test/perl/live_keys";

# ---------------------------------------------------------------------------
# A random script, and a model that says what must be true after each step

# One run's keys; a value of fernet.key is named by the index of its first one.
# %also says which other key follows it in the list.
my @keys;
my %also;

# fresh_key makes a key that has not been set in this run, and returns its
# index; -1 stands for no key throughout.
sub fresh_key
{
	push @keys, new_key();
	return $#keys;
}

# Model: what is in force, what COMMIT would keep, what RESET would restore, the
# pair from before the transaction, and those that savepoints have saved.
sub new_model
{
	my ($startup) = @_;
	return {
		current => $startup,
		session => $startup,
		startup => $startup,
		begin => undef,
		savepoints => [],
	};
}

sub set_session
{
	my ($model, $key) = @_;
	$model->{current} = $model->{session} = $key;
}

# may_come_back returns the keys that the session may still restore.
sub may_come_back
{
	my ($model) = @_;
	my %keys = map { $_ => 1 } @$model{qw(current session startup)},
	  $model->{begin} // (), map { @$_ } @{ $model->{savepoints} };
	delete $keys{-1};
	$keys{$_} = 1 foreach map { $also{$_} // () } keys %keys;
	return [ sort { $a <=> $b } keys %keys ];
}

# value writes a key as the value of the setting; sometimes an older one follows
# it in the list.
sub value
{
	my ($key) = @_;
	return '' if $key < 0;
	$also{$key} = int rand $key if $key > 0 && rand() < 0.2;
	return join ',', map { $keys[$_] } $key, $also{$key} // ();
}

# Each step changes the model and returns its statement.
my %steps = (
	'SET' => sub {
		my ($model) = @_;
		my $key = fresh_key();
		set_session($model, $key);
		return "SET fernet.key = '" . value($key) . "'";
	},
	'set_config' => sub {
		my ($model) = @_;
		my $key = fresh_key();
		set_session($model, $key);
		return "SELECT set_config('fernet.key', '" . value($key) . "', false)";
	},
	'SET empty' => sub {
		my ($model) = @_;
		set_session($model, -1);
		return "SET fernet.key = ''";
	},
	'RESET' => sub {
		my ($model) = @_;
		set_session($model, $model->{startup});
		return rand() < 0.5 ? 'RESET fernet.key' : 'RESET ALL';
	},
	'use' => sub {
		return 'SELECT count(fernet_try_decrypt(\'x\')) FROM fernet_keys()';
	},
	'caught error' => sub {
		my $key = fresh_key();
		return "DO \$\$BEGIN BEGIN PERFORM set_config('fernet.key', '$keys[$key]', false); "
		  . "RAISE EXCEPTION 'x'; EXCEPTION WHEN OTHERS THEN NULL; END; END\$\$";
	},
	'bad value in a block' => sub {
		return "DO \$\$BEGIN BEGIN SET fernet.key = 'bad'; "
		  . "EXCEPTION WHEN OTHERS THEN NULL; END; END\$\$";
	},
	'function with its own key' => sub {
		my $key = fresh_key();
		return "SELECT with_key('$keys[$key]')";
	},);

my %outside = (
	'DISCARD ALL' => sub {
		my ($model) = @_;
		set_session($model, $model->{startup});
		return 'DISCARD ALL';
	},
	'BEGIN' => sub {
		my ($model) = @_;
		$model->{begin} = $model->{current};
		return 'BEGIN';
	},
	'failing SET' => sub { return "SET fernet.key = 'bad'" },);

my %inside = (
	'SET LOCAL' => sub {
		my ($model) = @_;
		$model->{current} = fresh_key();
		return "SET LOCAL fernet.key = '" . value($model->{current}) . "'";
	},
	'set_config local' => sub {
		my ($model) = @_;
		$model->{current} = fresh_key();
		return "SELECT set_config('fernet.key', '" . value($model->{current}) . "', true)";
	},
	'COMMIT' => sub {
		my ($model) = @_;
		$model->{current} = $model->{session};
		$model->{begin} = undef;
		$model->{savepoints} = [];
		return 'COMMIT';
	},
	'ROLLBACK' => sub {
		my ($model) = @_;
		set_session($model, $model->{begin});
		$model->{begin} = undef;
		$model->{savepoints} = [];
		return rand() < 0.5 ? 'ROLLBACK' : "SELECT 1/0;\nROLLBACK";
	},
	'SAVEPOINT' => sub {
		my ($model) = @_;
		push @{ $model->{savepoints} }, [ @$model{qw(current session)} ];
		return 'SAVEPOINT s' . scalar @{ $model->{savepoints} };
	},
	'ROLLBACK TO' => sub {
		my ($model) = @_;
		my $depth = 1 + int rand @{ $model->{savepoints} };
		$#{ $model->{savepoints} } = $depth - 1;
		@$model{qw(current session)} = @{ $model->{savepoints}[-1] };
		return (rand() < 0.3 ? "SELECT 1/0;\n" : '') . "ROLLBACK TO s$depth";
	},
	'RELEASE' => sub {
		my ($model) = @_;
		my $depth = 1 + int rand @{ $model->{savepoints} };
		$#{ $model->{savepoints} } = $depth - 2;
		return "RELEASE s$depth";
	},);

sub pick
{
	my (%choices) = @_;
	my @names = sort keys %choices;
	return $choices{ $names[ rand @names ] };
}

# next_step chooses a step that is possible in the model's state.
sub next_step
{
	my ($model) = @_;
	return pick(%steps, %outside) unless defined $model->{begin};
	my %possible = (%steps, %inside);
	delete @possible{ 'ROLLBACK TO', 'RELEASE' }
	  unless @{ $model->{savepoints} };
	return pick(%possible);
}

$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION with_key(key text) RETURNS bigint LANGUAGE plpgsql
SET fernet.key = '' AS $$
BEGIN
	PERFORM set_config('fernet.key', key, true);
	RETURN (SELECT count(*) FROM fernet_keys());
END $$;
SQL

# run_random runs $count random steps in one session; returns nothing, tests.
sub run_random
{
	my ($name, $has_startup_key, $count) = @_;
	@keys = ();
	%also = ();
	my $model = new_model($has_startup_key ? fresh_key() : -1);
	my $script = <<'SQL';
SELECT pg_backend_pid() AS pid \gset
\setenv FERNET_PID :pid
SQL
	my @expected;
	foreach my $i (1 .. $count)
	{
		$script .= next_step($model)->($model) . ";\n";
		$script .= "\\echo step $i\n"
		  . "SELECT 'key=' || coalesce(min(fingerprint), '-') FROM fernet_keys() WHERE is_primary;\n"
		  . "\\! $live_keys \$FERNET_PID $key_file\n";
		push @expected,
		  {
			key => $model->{current},
			live => may_come_back($model),
			exactly => !defined $model->{begin}
		  };
	}
	append_keys();

	local %ENV = (%ENV,
		psql_env($node, $has_startup_key ? "-c fernet.key=$keys[0]" : ''));
	my ($out, $err);
	IPC::Run::run([ 'psql', '-XAtq' ], '<', \$script, '>', \$out, '2>', \$err);

	my %fingerprints = (-1 => '-');
	my @wrong_key;
	my @not_there;
	my @left_over;
	my @steps = split /^step \d+\n/m, $out;
	shift @steps;
	foreach my $i (0 .. $count - 1)
	{
		my ($fingerprint) = ($steps[$i] // '') =~ /^key=(\S+)$/m;
		my ($live) = ($steps[$i] // '') =~ /^live: ?(.*)$/m;
		my %live = map { $_ => 1 } split / /, $live // '';
		my $key = $expected[$i]{key};
		# The first row with a key tells its fingerprint; no two keys may have
		# the same.
		$fingerprints{$key} //= $fingerprint;
		push @wrong_key, $i if ($fingerprint // '') ne $fingerprints{$key};
		push @not_there, $i if grep { !$live{$_} } @{ $expected[$i]{live} };
		delete @live{ @{ $expected[$i]{live} } };
		push @left_over, $i if $expected[$i]{exactly} && %live;
	}
	my %seen;
	is(scalar(grep { $seen{$_}++ } values %fingerprints),
		0, "$name: each key has a fingerprint of its own");
	is(scalar @steps, $count, "$name: the session went on to the end");
	is("@wrong_key", '', "$name: the right key is in force after each step");
	is("@not_there", '', "$name: every key that may come back is there");
	is("@left_over", '',
		"$name: outside of transactions no other key is left in memory");
}

# append_keys writes the raw keys' file that live_keys reads.
sub append_keys
{
	open(my $file, '>', $key_file) or die "$key_file: $!";
	print $file "$_\n" foreach @keys;
	close $file;
}

foreach my $run (1 .. 4)
{
	run_random("run $run, no key at startup", 0, 120);
	run_random("run $run, a key at startup", 1, 120);
}

# ---------------------------------------------------------------------------
# A core dump

my $gcore = `sh -c 'command -v gcore' 2>/dev/null`;
chomp $gcore;
SKIP:
{
	skip 'gcore is missing (Debian package gdb)', 1 if $gcore eq '';

	$node->safe_psql('postgres', 'CREATE TABLE t AS SELECT 1 AS n');
	my %ways = (
		'startup options' => sub {
			my ($key, $wait) = @_;
			in_session("-c fernet.key=$key",
				"SELECT fernet_decrypt(fernet_encrypt('x'));\n\\! $wait\n");
		},
		'bound set_config' => sub {
			my ($key, $wait) = @_;
			run_bound($node,
				"SELECT set_config('fernet.key', :key, false);\n"
				  . "SELECT fernet_decrypt(fernet_encrypt('x'));\n\\shell $wait\n",
				{ key => $key });
		},
		'SET' => sub {
			my ($key, $wait) = @_;
			in_session('', "SET fernet.key = '$key';\n"
				  . "SELECT fernet_decrypt(fernet_encrypt('x'));\n\\! $wait\n");
		},);
	my $core = $node->basedir . '/core';
	foreach my $name (sort keys %ways)
	{
		my $key = new_key();
		my $dump = $node->basedir . '/dump.sh';
		open(my $file, '>', $dump) or die "$dump: $!";
		print $file "gcore -o $core \$(psql -XAtc \"SELECT pid FROM pg_stat_activity"
		  . " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY backend_start DESC LIMIT 1\")"
		  . " >/dev/null 2>&1\n";
		close $file;
		unlink glob "$core.*";
		$ways{$name}->($key, "sh $dump");
		my ($dumped) = glob "$core.*";
		my $bytes = defined $dumped ? slurp($dumped) : '';
		ok(length $bytes > 1_000_000, "$name: there is a core dump");
		my $raw = decode_base64url($key);
		my %count = (
			'signing half' => occurrences($bytes, substr($raw, 0, 16)),
			'encryption half' => occurrences($bytes, substr($raw, 16)),
			'text' => occurrences($bytes, substr($key, 0, 43)));
		note "$name: $_ found $count{$_} times" foreach sort keys %count;
		is($count{'signing half'}, 0, "$name: our pages are not in it");
		cmp_ok($count{'encryption half'}, '<=', 2,
			"$name: of the encryption half, OpenSSL's two contexts at the most");
		unlink $dumped if defined $dumped;
	}
}

sub occurrences
{
	my ($bytes, $needle) = @_;
	return scalar(() = $bytes =~ /\Q$needle\E/g);
}

sub in_session
{
	my ($options, $sql) = @_;
	local %ENV = (%ENV, psql_env($node, $options));
	my ($out, $err);
	IPC::Run::run([ 'psql', '-XAtq' ], '<', \$sql, '>', \$out, '2>', \$err);
	return $out;
}

$node->stop;
done_testing();
