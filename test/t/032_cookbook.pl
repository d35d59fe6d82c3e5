# The pages of docs/cookbook of which a regress test cannot run all: those with more
# than one server, a pooler, or programs. Each is run from its first block to its last
# on servers of its own kind. There is no copy of a block here.

use strict;
use warnings;

use DocsPage qw(blocks_of run_page);
use FernetTest qw(:DEFAULT same session start_session finish_session wait_until);
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# The keys of the pages.
my ($key, $new_key, $third_key) =
  map { "this-is-test-key-$_-do-not-use-it-anywhere-A=" } 1 .. 3;

# A server, its replica, and one that subscribes. Each page has a database of its
# own.
my @unicode = ('--encoding=UTF8', '--locale=C');
my $server = PostgreSQL::Test::Cluster->new('server');
$server->init(allows_streaming => 'logical', extra => \@unicode);
$server->append_conf('postgresql.conf', <<'CONF');
session_preload_libraries = 'pg_fernet'
log_statement = none
CONF
$server->start;
$server->backup('empty');
my $replica = PostgreSQL::Test::Cluster->new('replica');
$replica->init_from_backup($server, 'empty', has_streaming => 1);
$replica->start;
my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init(allows_streaming => 'logical', extra => \@unicode);
$subscriber->start;

# The pages that are run below, unless the machine lacks something that they
# need.
my %covered = map { $_ => 1 } qw(read-replica logical-replication
  adopt-a-plaintext-column from-python-to-the-database fastapi
  scheduled-rotation pgbouncer);

# prepare makes the database and the folder of a page, and returns the arguments
# of run_page.
sub prepare
{
	my ($page) = @_;
	die "$page is not in %covered" unless $covered{$page};
	my $database = $page =~ tr/-/_/r;
	$server->safe_psql('postgres', "CREATE DATABASE $database");
	my $folder = PostgreSQL::Test::Utils::tempdir();
	my ($host, $port) = ($server->host, $server->port);
	return (
		folder => $folder,
		servers => { default => $server->connstr($database), server => $server->connstr($database) },
		env => {
			PGHOST => $host,
			PGPORT => $port,
			PGDATABASE => $database,
			DATABASE_URL => "postgresql:///$database?host=$host&port=$port",
			TOKEN_ENCRYPTION_KEY => $key,
			OLD_KEY => $key,
			NEW_KEY => $new_key,
		});
}

sub path { return "docs/cookbook/$_[0].md" }

# has_python says whether python has all of the modules.
sub has_python
{
	my @modules = @_;
	my $import = 'import ' . join(', ', @modules);
	return IPC::Run::run([ 'python3', '-c', $import ], '>', \my $out, '2>&1');
}

# ---------------------------------------------------------------------------
# Two servers

{
	my %how = prepare('read-replica');
	$how{servers} = {
		primary => $how{servers}{default},
		replica => $replica->connstr('read_replica')
	};
	$how{before} = sub {
		$server->wait_for_catchup($replica, 'replay', $server->lsn('flush'))
		  if $_[0] eq 'replica';
	};
	$how{before}->('replica');
	run_page(path('read-replica'), %how);
}

{
	my %how = prepare('logical-replication');
	$subscriber->safe_psql('postgres', 'CREATE DATABASE reports');
	$how{servers} = {
		publisher => $how{servers}{default},
		subscriber => $subscriber->connstr('reports')
	};
	$how{variables} = { publisher => $how{servers}{publisher} };
	# Before there is a subscription, there is nothing to wait for.
	$how{before} = sub {
		$subscriber->wait_for_subscription_sync($server, 'reporting', 'reports')
		  if $_[0] eq 'subscriber'
		  && $subscriber->safe_psql('reports', 'SELECT count(*) FROM pg_subscription') > 0;
	};
	run_page(path('logical-replication'), %how);
	my $tokens =
	  'SELECT count(*), md5(string_agg(api_token, $$,$$ ORDER BY id)) FROM integration';
	same(
		$subscriber->safe_psql('reports', $tokens),
		$server->safe_psql('logical_replication', $tokens),
		'both servers give the same answer, as the page says');
	my ($out, $err) = session($subscriber, "SELECT fernet_decrypt('x')", database => 'reports');
	like($err, qr/function fernet_decrypt/, 'the subscriber has no extension');
	$subscriber->safe_psql('reports', 'DROP SUBSCRIPTION reporting');
}

# ---------------------------------------------------------------------------
# Plaintexts in the files of an adopted table

{
	my %how = prepare('adopt-a-plaintext-column');
	my ($database, $page) = ('adopt_a_plaintext_column', path('adopt-a-plaintext-column'));
	$server->safe_psql($database, 'CREATE EXTENSION pg_fernet');
	# Autovacuum of the table would change nothing.
	my $count = sub {
		$server->safe_psql($database, 'CHECKPOINT');
		my $file = $server->safe_psql($database, "SELECT pg_relation_filepath('webhook')");
		my $bytes = slurp($server->data_dir . "/$file");
		die 'the file of the table is empty' if $bytes eq '';
		return scalar(() = $bytes =~ /secret \d/g);
	};
	run_page($page, %how);
	cmp_ok($count->(), '>', 0, "$page: VACUUM leaves plaintexts in the file");
	my $stats = "SELECT count(*) FROM pg_stats WHERE tablename = 'webhook'"
	  . " AND histogram_bounds::text LIKE '%secret%'";
	is($server->safe_psql($database, $stats), 0, "$page: ANALYZE leaves none in the statistics");
	$server->safe_psql($database, 'VACUUM FULL webhook');
	is($count->(), 0, "$page: VACUUM FULL leaves none");
}

# ---------------------------------------------------------------------------
# Programs

SKIP:
{
	skip 'the Python of PATH has no SQLAlchemy or psycopg2', 1
	  unless has_python(qw(sqlalchemy psycopg2));
	my %how = prepare('from-python-to-the-database');
	$server->safe_psql('from_python_to_the_database', 'CREATE EXTENSION pg_fernet');
	run_page(path('from-python-to-the-database'), %how);
}

SKIP:
{
	skip 'the Python of PATH has no FastAPI, httpx, or pool of psycopg', 1
	  unless has_python(qw(fastapi httpx psycopg_pool));
	my %how = prepare('fastapi');
	run_page(path('fastapi'), %how);

	my $check = sub {
		my ($key_of_the_start) = @_;
		my %env = (%{ $how{env} }, TOKEN_ENCRYPTION_KEY => $key_of_the_start);
		return DocsPage::run_program([ 'python3', '-B', 'check.py' ], %how, env => \%env);
	};
	my ($out, $status) = $check->($third_key);
	isnt($status, 0, 'FastAPI: with another key it does not start');
	like($out, qr/RuntimeError: TOKEN_ENCRYPTION_KEY is another key/, 'and says why');
	($out, $status) = $check->('no-key');
	isnt($status, 0, 'FastAPI: without a key it does not start');
	like($out, qr/RuntimeError: TOKEN_ENCRYPTION_KEY is no Fernet key/, 'and says why');
	# During a rotation the application starts with both keys. A value that no
	# key decrypts is an error without a plaintext or a token.
	$how{env}{TOKEN_ENCRYPTION_KEY} = "$new_key,$key";
	$server->safe_psql('fastapi', "INSERT INTO integration VALUES ('bad', 'no-token-at-all')");
	append_to_file("$how{folder}/bad.py", <<'PY');
from fastapi.testclient import TestClient

from app import app

with TestClient(app) as client:
    answer = client.get("/integrations/bad")
    print(answer.status_code, answer.json())
    print(client.put("/integrations/x", json={"api_token": ["xoxb-1"]}).status_code)
    print(client.get("/integrations/none").status_code)
PY
	# A newer test client warns that it will change.
	$how{env}{PYTHONWARNINGS} = 'ignore';
	($out) = DocsPage::run_program([ 'python3', '-B', 'bad.py' ], %how);
	is($out, "500 {'detail': 'database error', 'sqlstate': 'PF003'}\n422\n404\n",
		'FastAPI: errors are told by their SQLSTATE');
	unlike(slurp($server->logfile), qr/xoxb-1234/, 'FastAPI: no plaintext in the server log');
}

# ---------------------------------------------------------------------------
# The job

{
	my %how = prepare('scheduled-rotation');
	my $database = 'scheduled_rotation';
	run_page(path('scheduled-rotation'), %how);
	my $folder = $how{folder};
	$how{env}{FERNET_KEY_FILE} = "$folder/keys";
	my $job = sub {
		my %env = @_;
		return DocsPage::run_program(["$folder/rotate-tokens"], %how,
			env => { %{ $how{env} }, %env });
	};
	my ($out, $status) = $job->();
	is("$status $out", '0 ', 'the job: a second run prints nothing and succeeds');

	# Another rotation, which sleeps after its first batch.
	my $other = start_session(
		$server,
		"CALL fernet_rotate_column('connection', 'password', batch_rows => 1, pause => '1 hour')",
		options => "-c fernet.key=$new_key,$key",
		database => $database);
	ok( $server->poll_query_until(
			$database, 'SELECT count(*) > 0 FROM fernet_rotation_progress'),
		'another rotation is at work');
	($out, $status) = $job->();
	is($status, 75, 'the job: exit status 75 beside another rotation');
	like($out, qr/another job on/, 'and says so');
	$server->safe_psql($database,
		"SELECT pg_terminate_backend(pid) FROM fernet_rotation_progress");
	finish_session($other);

	$server->safe_psql($database, "INSERT INTO webhook VALUES (2, 'no token')");
	($out, $status) = $job->();
	is($status, 1, 'the job: exit status 1 when a value cannot be rotated');
	like($out, qr/1 of 2 values in .* could not be rotated/, 'and says so');
	($out, $status) = $job->(PGPORT => 1);
	is($status, 2, 'the job: exit status 2 without a connection');
	($out, $status) = $job->(FERNET_KEY_FILE => "$folder/none");
	is($status, 2, 'the job: exit status 2 without a key file');
	unlike(slurp($server->logfile), qr/\Q$new_key\E/, 'no key of the job in the server log');

  SKIP:
	{
		skip 'there is no systemd-analyze', 2
		  unless grep { -x "$_/systemd-analyze" } split /:/, $ENV{PATH};
		# The page needs the program.
		my $service = slurp("$folder/rotate-tokens.service");
		$service =~ s{^ExecStart=.*$}{ExecStart=/bin/true}m or die 'no ExecStart';
		$service =~ s{^User=.*\n}{}m or die 'no User';
		unlink "$folder/rotate-tokens.service";
		append_to_file("$folder/rotate-tokens.service", $service);
		foreach my $unit (qw(service timer))
		{
			($out, $status) = DocsPage::run_program(
				[ 'systemd-analyze', 'verify', '--man=no', "./rotate-tokens.$unit" ], %how);
			is("$status " . join('', $out =~ /^.*rotate-tokens.*$/mg),
				'0 ', "systemd accepts the $unit");
		}
	}
}

# ---------------------------------------------------------------------------
# PgBouncer between

SKIP:
{
	my ($pgbouncer) = grep { -x } map { "$_/pgbouncer" } split(/:/, $ENV{PATH}), '/usr/sbin',
	  '/usr/local/sbin';
	skip 'PgBouncer is not installed', 1 unless defined $pgbouncer;
	skip 'the Python of PATH has no psycopg', 1 unless has_python('psycopg');
	my %how = prepare('pgbouncer');
	$server->safe_psql('pgbouncer', 'CREATE EXTENSION pg_fernet');
	my ($folder, $host) = ($how{folder}, $server->host);
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $user = $server->safe_psql('postgres', 'SELECT current_user');
	append_to_file("$folder/users", qq("$user" ""\n));
	append_to_file("$folder/pgbouncer.ini", <<"INI");
[databases]
pgbouncer_page = host=$host port=${\ $server->port} dbname=pgbouncer pool_size=1
[pgbouncer]
pool_mode = transaction
ignore_startup_parameters = options
listen_addr =
listen_port = $port
unix_socket_dir = $host
auth_type = trust
auth_file = $folder/users
logfile = $folder/log
INI
	# The libpq of PostgreSQL 20 asks for a protocol that old versions of PgBouncer refuse.
	local $ENV{PGMAXPROTOCOLVERSION} = '3.0';
	my $process = IPC::Run::start([ $pgbouncer, '-q', "$folder/pgbouncer.ini" ],
		'<', '/dev/null', '>', '/dev/null', '2>&1');
	wait_until(sub { -S "$host/.s.PGSQL.$port" });
	my $through = "host=$host port=$port dbname=pgbouncer_page user=$user";
	$how{servers}{default} = $through;
	$how{env}{DATABASE_URL} =
	  "postgresql://$user\@/pgbouncer_page?host=$host&port=$port";
	run_page(path('pgbouncer'), %how);
	my ($out, $err) = session(
		$server, "SELECT fernet_encrypt('x')",
		options => "-c fernet.key=$key",
		connstr => $through);
	like($err, qr/PF001/, 'with ignore_startup_parameters the key does not arrive');
	unlike(slurp("$folder/log"), qr/\Q$key\E/, 'and PgBouncer does not log it');
	$process->kill_kill(grace => 5);
}

# ---------------------------------------------------------------------------
# No page is forgotten

foreach my $file (glob 'docs/cookbook/*.md')
{
	my ($page) = $file =~ m{([^/]+)\.md$};
	# 037_access_pages runs this one.
	next if $page eq 'key-management';
	next unless grep { $_->{language} ne 'sql' && $_->{language} ne 'console' || $_->{words} ne '' } blocks_of($file);
	ok($covered{$page}, "$file has blocks for this test, and is in %covered");
}

$_->stop foreach $subscriber, $replica, $server;
done_testing();
