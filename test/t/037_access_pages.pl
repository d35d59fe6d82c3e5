# The pages about who may decrypt, on a server that logs each use of a key, with
# pgaudit: docs/who-decrypted.md, docs/compliance.md, and
# docs/cookbook/key-management.md, whose KMS is played by openssl.

use strict;
use warnings;

use DocsPage qw(blocks_of run_page);
use FernetTest qw(:DEFAULT same session tell);
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $key = 'this-is-test-key-1-do-not-use-it-anywhere-A=';
my $sharedir = `pg_config --sharedir` =~ s/\n//r;
my $has_pgaudit = -e "$sharedir/extension/pgaudit.control";
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
my $libraries = $has_pgaudit ? 'pgaudit,pg_fernet' : 'pg_fernet';
$node->append_conf('postgresql.conf', <<"CONF");
shared_preload_libraries = '$libraries'
fernet.log = 'all'
log_line_prefix = '%m %u\@%d [%p] '
log_statement = none
CONF
$node->start;

# prepare makes the database and the folder of a page, and returns the arguments
# of run_page.
sub prepare
{
	my ($database, $with_extension) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, 'CREATE EXTENSION pg_fernet');
	my ($host, $port) = ($node->host, $node->port);
	return (
		folder => PostgreSQL::Test::Utils::tempdir(),
		servers => { map { $_ => $node->connstr($database) } qw(default server) },
		env => {
			PGHOST => $host,
			PGPORT => $port,
			PGDATABASE => $database,
			DATABASE_URL => "postgresql:///$database?host=$host&port=$port",
		});
}

# lines_of returns the lines of the server's log that a page shows.
sub lines_of
{
	my ($page) = @_;
	return map { my ($line) = /LOG:  (.*)/; $line // () } map { split /\n/, $_->{body} }
	  grep { $_->{language} eq 'console' } blocks_of($page);
}

# ---------------------------------------------------------------------------
# Who decrypted what: by roles that log in, for the lines of the log

{
	my $page = 'docs/who-decrypted.md';
	my %how = prepare('app');
	run_page($page, %how);

	$node->safe_psql('app', <<'SQL');
CREATE ROLE support LOGIN;
CREATE TABLE integration (id int PRIMARY KEY, name text, api_token text);
GRANT SELECT ON integration TO support;
GRANT EXECUTE ON FUNCTION fernet_decrypt(text, interval, timestamptz) TO support;
SQL
	session($node, "INSERT INTO integration VALUES (1, 'chat', fernet_encrypt('xoxb-1'))",
		options => "-c fernet.key=$key", database => 'app');
	if ($has_pgaudit)
	{
		my ($setting) = grep { /CREATE ROLE auditor/ } map { $_->{body} } blocks_of($page);
		$node->safe_psql('app', "CREATE EXTENSION pgaudit; $setting");
	}
	my $as_support = $node->connstr('app') . ' user=support';
	my $question = 'SELECT fernet_decrypt(api_token) FROM integration';
	my ($out) = session($node, $question, options => "-c fernet.key=$key", connstr => $as_support);
	is($out, 'xoxb-1', "$page: support decrypts");
	my ($no, $err) = session($node, $question, options => '-c fernet.key=' . new_key(), connstr => $as_support);
	like($err, qr/PF004/, "$page: and not with another key");

	my $log = slurp($node->logfile);
	my @lines = lines_of($page);
	cmp_ok(scalar @lines, '>=', 3, "$page: shows lines of the log");
	foreach my $line (@lines)
	{
	  SKIP:
		{
			skip 'pgaudit is not installed', 1 if $line =~ /AUDIT/ && !$has_pgaudit;
			ok($log =~ /support\@app \[\d+\] LOG:  \Q$line\E$/m, "$page: the log has: $line");
		}
	}
	is(scalar(forms_found_in($key, \$log)), 0, "$page: no key in the log");
}

# ---------------------------------------------------------------------------
# Evidence for auditors: what only a server with counters can show, too

{
	my %how = prepare('compliance');
	run_page('docs/compliance.md', %how);
	my $refused = $node->safe_psql('compliance',
		'SELECT no_key_opens > 0 FROM pg_stat_fernet WHERE datname = current_database()');
	is($refused, 't', 'docs/compliance.md: the changed tokens are counted');
}

# ---------------------------------------------------------------------------
# A KMS

SKIP:
{
	skip 'there is no openssl', 1 unless grep { -x "$_/openssl" } split /:/, $ENV{PATH};
	skip 'the Python of PATH has no psycopg', 1
	  unless IPC::Run::run([ 'python3', '-c', 'import psycopg' ], '>', \my $no, '2>&1');
	my $page = 'docs/cookbook/key-management.md';
	my %how = prepare('kms');
	run_page($page, %how);
	my ($out, $status) = DocsPage::run_program(["$how{folder}/fetch-key"], %how);
	is($status, 0, "$page: the key is fetched");
	like($out, qr/^[\w-]{43}=$/, "$page: and is one");
	# The line of a failed openssl must not be taken for a key.
	unlink "$how{folder}/fernet.key.wrapped";
	($out, $status) = DocsPage::run_program([ "$how{folder}/with-key", 'true' ], %how);
	isnt($status, 0, "$page: without a key, nothing is run");
}

$node->stop;
done_testing();
