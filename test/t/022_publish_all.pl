# A publication of all tables includes the ledger of jobs. Jobs on both servers
# must not stop the replication.

use strict;
use warnings;

use FernetTest qw(:DEFAULT same session);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $options = '-c fernet.key=' . new_key();
my %node;
foreach my $name (qw(publisher subscriber))
{
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(allows_streaming => 'logical');
	$node->append_conf('postgresql.conf',
		"session_preload_libraries = 'pg_fernet'\nlog_statement = none");
	$node->start;
	$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION pg_fernet;
CREATE TABLE secret (id integer PRIMARY KEY, token text);
SQL
	$node{$name} = $node;
}
my ($publisher, $subscriber) = @node{qw(publisher subscriber)};

sub ask
{
	my ($node, $sql) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($out, $err) = session($node, "SET client_min_messages = warning;\n$sql",
		options => $options);
	same($err, '', 'no error') if $err ne '';
	return $out;
}

my $from = $publisher->connstr('postgres');
ask($publisher, 'CREATE PUBLICATION everything FOR ALL TABLES');
ask($subscriber, <<"SQL");
CREATE TABLE own (token text);
CREATE SUBSCRIPTION copy CONNECTION \$c\$$from\$c\$ PUBLICATION everything;
SQL
$subscriber->wait_for_subscription_sync($publisher, 'copy');

is(ask($subscriber, "CALL fernet_rotate_column('own', 'token')"),
	'0|0|0', 'a job on the subscriber');
is(ask($publisher, "CALL fernet_rotate_column('secret', 'token')"),
	'0|0|0', 'a job on the publisher');
ask($publisher, "INSERT INTO secret VALUES (1, fernet_encrypt('x'))");

# The row arrives, or the subscriber says why not.
my $arrived = 0;
my $end = time() + $PostgreSQL::Test::Utils::timeout_default;
until ($arrived
	|| time() > $end
	|| slurp($subscriber->logfile) =~ /ERROR:  duplicate key/)
{
	$arrived = ask($subscriber, 'SELECT count(*) FROM secret');
	usleep(50_000);
}
is($arrived, 1, 'what is written then arrives on the subscriber');
is(ask($subscriber, "CALL fernet_rotate_column('own', 'token')"),
	'0|0|0', 'another job on the subscriber');
same(
	ask($subscriber, 'SELECT relation, state FROM fernet_rotation ORDER BY relation'),
	"public.own|done\npublic.own|done\npublic.secret|done",
	'the ledger has the jobs of both');

$subscriber->stop;
$publisher->stop;
done_testing();
