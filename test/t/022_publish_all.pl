# A publication of all tables has nothing of the extension: a subscriber without it
# gets what is written after a rotation.

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
ask($publisher, 'CREATE EXTENSION pg_fernet; CREATE PUBLICATION everything FOR ALL TABLES');
ask($subscriber, <<"SQL");
CREATE SUBSCRIPTION copy CONNECTION \$c\$$from\$c\$ PUBLICATION everything;
SQL
$subscriber->wait_for_subscription_sync($publisher, 'copy');

$publisher->safe_psql('postgres',
	"SELECT pg_create_logical_replication_slot('everything', 'test_decoding')");
is(ask($publisher, "CALL fernet_rotate_column('secret', 'token')"),
	'0|0|0', 'a job on the publisher');
ask($publisher, "INSERT INTO secret VALUES (1, fernet_encrypt('x'))");

# The row arrives, or the subscriber says why not.
my $arrived = 0;
my $end = time() + $PostgreSQL::Test::Utils::timeout_default;
until ($arrived
	|| time() > $end
	|| slurp($subscriber->logfile) =~ /ERROR:  /)
{
	$arrived = ask($subscriber, 'SELECT count(*) FROM secret');
	usleep(50_000);
}
is($arrived, 1, 'what is written then arrives on the subscriber');
same(ask($publisher, 'SELECT relation, state FROM fernet_rotation'),
	'public.secret|done', 'the ledger has the job');
my $decoded = $publisher->safe_psql('postgres',
	"SELECT data FROM pg_logical_slot_get_changes('everything', NULL, NULL)");
like($decoded, qr/table public\.secret: INSERT/, 'logical decoding shows what is written');
unlike($decoded, qr/fernet_/, 'and nothing of the ledger');

$subscriber->stop;
$publisher->stop;
done_testing();
