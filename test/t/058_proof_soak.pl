# Whoever deletes a key because a rotation or its gate said so loses nothing:
# rounds of rotations while applications write with the right keys, copy rows in
# long transactions, in REPEATABLE READ and in prepared ones, and while the
# tables are rewritten, reloaded, repacked, and get and lose partitions. After
# each round every claim is compared with the truth: what the old key still
# decrypts. A claim is the end of a rotation, or a gate that passes. FERNET_LONG=1
# runs until there are 500 of them, FERNET_CLAIMS=N until N, FERNET_SECONDS=N for
# so long at the most.

use strict;
use warnings FATAL => 'all';

use FernetTest qw(:DEFAULT same session tell
  start_session session_ended finish_session);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep time);

my $claims_wanted = $ENV{FERNET_CLAIMS} // ($ENV{FERNET_LONG} ? 500 : 2);
my $seed = $ENV{FERNET_SEED} // int(rand(2**31));
srand $seed;
note "FERNET_SEED=$seed repeats this run's choices";

my $node = PostgreSQL::Test::Cluster->new('soak');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
session_preload_libraries = 'pg_fernet'
max_prepared_transactions = 50
max_connections = 60
deadlock_timeout = 200ms
fsync = off
CONF
$node->start;

my @keys = (new_key(), new_key());
my $rows = 1000;
my ($out, $err) = session($node, <<"SQL", options => "-c fernet.key=$keys[0]");
CREATE EXTENSION pg_fernet;
CREATE TABLE secret (id serial PRIMARY KEY, token text, filler text DEFAULT '');
INSERT INTO secret (token) SELECT fernet_encrypt('secret') FROM generate_series(1, $rows);
CREATE TABLE parted (id integer, token text) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (500);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (500) TO (1000);
CREATE TABLE parted_3 PARTITION OF parted FOR VALUES FROM (1000) TO (100000);
INSERT INTO parted SELECT i, fernet_encrypt('secret') FROM generate_series(1, 1500) AS i;
CREATE TABLE elsewhere (n integer);
SQL
same($err, '', 'there are tables');

my $has_repack = $node->safe_psql('postgres',
	"SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_repack'") eq '1'
  && eval { IPC::Run::run([ 'pg_repack', '--version' ], '>', \my $none) };
$node->safe_psql('postgres', 'CREATE EXTENSION pg_repack') if $has_repack;
note $has_repack ? 'with pg_repack' : 'without pg_repack';

# ---------------------------------------------------------------------------
# The application. What it copies may still be encrypted with the old key.

my $copy = 'INSERT INTO secret (token) SELECT token FROM secret ORDER BY random() LIMIT 2';
my %scripts = (
	insert => [ 4, q{INSERT INTO secret (token) VALUES (fernet_encrypt('secret'));} ],
	update => [ 4, "\\set id random(1, $rows)\nUPDATE secret SET token = fernet_encrypt('secret') WHERE id = :id;" ],
	touch => [ 2, "\\set id random(1, $rows)\nUPDATE secret SET filler = repeat('x', :id / 4) WHERE id = :id;" ],
	thin => [ 4, "DELETE FROM secret WHERE id > $rows AND id % 3 = (random() * 2)::int;" ],
	copy => [ 2, "$copy;" ],
	'long copy' => [ 1, "BEGIN;\n$copy;\n\\sleep 150 ms\nCOMMIT;" ],
	'old snapshot' => [ 1, "BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT count(*) FROM elsewhere;\n\\sleep 100 ms\n$copy;\n\\sleep 50 ms\nCOMMIT;" ],
	'prepared' => [ 1, "\\set n random(1, 1000000000)\nBEGIN;\n$copy;\nPREPARE TRANSACTION 'p-:client_id-:n';\n\\sleep 80 ms\nCOMMIT PREPARED 'p-:client_id-:n';" ],
	'parted' => [ 3, "\\set id random(1, 1500)\nUPDATE parted SET token = fernet_encrypt('secret') WHERE id = :id;" ],
	'parted copy' => [ 1, "\\set id random(1, 1500)\nBEGIN;\nDELETE FROM parted WHERE id > 1500;\nINSERT INTO parted SELECT id + 1500, token FROM parted WHERE id = :id;\n\\sleep 60 ms\nCOMMIT;" ],
	'move' => [ 1, "\\set id random(1, 1500)\n\\set to random(1, 1500)\nUPDATE parted SET id = :to WHERE id = :id;" ],
);
my @files;
foreach my $name (sort keys %scripts)
{
	my $file = $node->basedir . "/$name.sql" =~ tr/ /_/r;
	append_to_file($file, "$scripts{$name}[1]\n");
	push @files, '-f', "$file\@$scripts{$name}[0]";
}

sub begin_application
{
	my ($options) = @_;
	my $client = { out => '', err => '' };
	local %ENV = (%ENV, psql_env($node, $options));
	$client->{run} = IPC::Run::start(
		[
			'pgbench', '-n', '-c', '6', '-j', '2', '-T', '3600', '--max-tries', '100',
			'--random-seed', int(rand(2**31)), @files
		],
		'<', '/dev/null', '>', \$client->{out}, '2>', \$client->{err});
	return $client;
}

# What an operator does meanwhile; each is a list of statements.
my $partition = 'parted_3 FOR VALUES FROM (1000) TO (100000)';
my @operations = (
	'VACUUM FULL secret',
	'CLUSTER secret USING secret_pkey',
	'ALTER TABLE secret ADD COLUMN extra double precision DEFAULT random(); ALTER TABLE secret DROP COLUMN extra',
	"ALTER TABLE secret ALTER filler TYPE varchar USING filler || ''; ALTER TABLE secret ALTER filler TYPE text",
	'BEGIN; LOCK TABLE secret; CREATE TEMP TABLE kept ON COMMIT DROP AS SELECT * FROM secret; TRUNCATE secret; INSERT INTO secret SELECT * FROM kept; COMMIT',
	"BEGIN; ALTER TABLE parted DETACH PARTITION parted_3; SELECT pg_sleep(0.02); ALTER TABLE parted ATTACH PARTITION $partition; COMMIT",
	"BEGIN; ALTER TABLE parted DETACH PARTITION parted_3; CREATE TABLE other (LIKE parted); INSERT INTO other SELECT * FROM parted_3; DROP TABLE parted_3; ALTER TABLE other RENAME TO parted_3; ALTER TABLE parted ATTACH PARTITION $partition; COMMIT",
	'VACUUM FULL parted_1; VACUUM FULL parted_3',
	'VACUUM secret, parted',
	'REINDEX TABLE secret',
);

sub begin_operations
{
	my $todo = join ";\n", map { $operations[ rand @operations ] } 1 .. 6;
	# pg_repack waits for applications, which wait behind a DDL, which waits for
	# pg_repack.
	return start_session($node, "\\set ON_ERROR_STOP 0\nSET client_min_messages = error; SET lock_timeout = '2s';\n$todo");
}

sub begin_repack
{
	my $repack = { out => '', err => '' };
	local %ENV = (%ENV, psql_env($node, ''));
	$repack->{run} = IPC::Run::start([ 'pg_repack', '-t', 'secret', '--wait-timeout', '2' ],
		'<', '/dev/null', '>', \$repack->{out}, '2>', \$repack->{err});
	return $repack;
}

# ---------------------------------------------------------------------------
# Rounds

my $claim = qr/decrypts 0 tokens and is not needed for this column any more/;
my ($claims, $gates, $rounds) = (0, 0, 0);
my %without;
my (@wrong, @lost, @unexpected);

# rotate begins to rotate a table and then to ask the gate.
sub rotate
{
	my ($table, $options) = @_;
	my $batch = 50 + int rand 500;
	return start_session($node,
		"\\set ON_ERROR_STOP 0\nCALL fernet_rotate_column('$table', 'token', $batch);\n"
		  . "SELECT 'passed' FROM fernet_assert_rotated('$table', 'token')",
		options => $options);
}

sub count_claims
{
	my ($table, $passed, $told) = @_;
	my $claimed = 0;
	if ($told =~ $claim) { $claims++; $claimed++; }
	if ($passed =~ /^passed$/m) { $gates++; $claimed++; }
	foreach my $error ($told =~ /^ERROR:  (.*)$/mg)
	{
		my ($state) = $error =~ /^(\w{5}): /;
		$without{$state}++;
		note "round $rounds, $table: $1" if $state eq '55006' && $told =~ /^DETAIL:  (They are.*)$/m;
		push @unexpected, $error if $state !~ /^(?:PF007|55006|40P01)$/;
	}
	return $claimed;
}

my $start = time();
my $end = $start + ($ENV{FERNET_SECONDS} // ($ENV{FERNET_LONG} || $ENV{FERNET_CLAIMS} ? 3600 : 120));
while ($claims + $gates < $claims_wanted && time() < $end)
{
	$rounds++;
	@keys = reverse @keys;
	my ($new, $old) = @keys;
	my $both = "-c fernet.key=$new,$old";
	my $application = begin_application($both);
	my $operations = begin_operations();
	my $repack = $has_repack && $rounds % 3 == 0 ? begin_repack() : undef;
	usleep(int rand 200_000);
	my %rotation = map { $_ => rotate($_, $both) } qw(secret parted);
	my %claimed;
	foreach my $table (sort keys %rotation)
	{
		my ($passed, $told) = finish_session($rotation{$table});
		$claimed{$table} = count_claims($table, $passed, $told);
	}
	finish_session($operations);
	$repack->{run}->finish if defined $repack;
	$application->{run}->signal('TERM');
	$application->{run}->finish;
	note "round $rounds: $1" while $application->{err} =~ /^(pgbench: error.*)$/mg;
	$node->poll_query_until('postgres', <<'SQL') or BAIL_OUT('clients go on');
SELECT count(*) = 0 FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
SQL
	# What the application had prepared, it may commit.
	foreach my $gid (split /\n/, $node->safe_psql('postgres', 'SELECT gid FROM pg_prepared_xacts'))
	{
		$node->safe_psql('postgres', "COMMIT PREPARED '$gid'");
	}
	foreach my $table (sort keys %claimed)
	{
		my ($old_ones) = session($node, "SELECT count(fernet_key_index(token)) FROM $table", options => "-c fernet.key=$old");
		push @wrong, "round $rounds: $old_ones of $table" if $claimed{$table} && $old_ones ne '0';
		my ($unreadable) = session($node, "SELECT count(*) FROM $table WHERE fernet_try_decrypt(token) IS DISTINCT FROM 'secret'", options => $both);
		push @lost, "round $rounds: $unreadable of $table" if $unreadable ne '0';
	}
	# The next round begins with values of one key.
	session($node, "SET client_min_messages = error; CALL fernet_rotate_column('$_', 'token')", options => $both)
	  foreach qw(secret parted);
}

note sprintf '%d rounds in %.0f s: %d rotations claimed that the old key is not needed, %d gates passed; without a claim: %s',
  $rounds, time() - $start, $claims, $gates,
  join(', ', map { "$_ $without{$_}" } sort keys %without) || 'none';
cmp_ok($claims + $gates, '>', 0, 'rotations and gates have claimed that the old key is not needed');
is("@wrong", '', 'and every claim was true');
is("@lost", '', 'every value can be read');
is(scalar @unexpected, 0, 'no rotation has ended in another way');
tell($_) foreach @unexpected;

$node->stop;
done_testing();
