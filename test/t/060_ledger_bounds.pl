# The ledger keeps the newest 1000 jobs. Jobs that run beside each other have a
# row each, which says how the job ended: none is lost because another session was
# writing, and none is called interrupted by a session that has looked at the row
# before the job ended, and at the locks after.

use strict;
use warnings;

use FernetTest qw(:DEFAULT same start_session finish_session);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $sessions = 3;
my $jobs = 100;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "log_statement = none\nfsync = off\nautovacuum = off\nclient_min_messages = warning\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION pg_fernet');
$node->safe_psql('postgres', "CREATE TABLE empty_$_ (token text)") foreach 1 .. $sessions;

# calls runs fernet_rotate_column that many times.
sub calls
{
	my ($table, $times) = @_;
	return <<"SQL";
DO \$\$
DECLARE a bigint; b bigint; c bigint;
BEGIN
	FOR i IN 1 .. $times LOOP
		CALL fernet_rotate_column('$table', 'token', rotated => a, unchanged => b, failed => c);
	END LOOP;
END \$\$
SQL
}

my $options = '-c fernet.key=' . new_key() . ' -c lock_timeout=100s';
my @running = map { start_session($node, calls("empty_$_", $jobs), options => $options) } 1 .. $sessions;
finish_session($_) foreach @running;
same(join('', map { $_->{err} } @running), '', 'no error and no warning');
my $all = $sessions * $jobs;
same(
	$node->safe_psql('postgres',
		'SELECT state, count(*), count(finished), min(id), max(id) FROM fernet_ledger GROUP BY state ORDER BY state'),
	"done|$all|$all|1|$all",
	'each job has a row that says how it ended');

# Rows that go make room. The row of a job that is under way stays.
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE full_one (token text);
INSERT INTO full_one VALUES ('a plaintext');
SQL
my $sleeper = start_session(
	$node,
	"CALL fernet_rotate_column('full_one', 'token', pause => '1 day', on_plaintext => 'leave')",
	options => $options);
$node->poll_query_until('postgres',
	q(SELECT count(*) = 1 FROM fernet_rotation_progress WHERE relation ~ 'full_one'))
  or BAIL_OUT('the job does not run');
my ($id, $pid) = split /\|/,
  $node->safe_psql('postgres', 'SELECT id, pid FROM fernet_rotation_progress');
my $many = start_session($node, calls('empty_1', 1100), options => $options);
finish_session($many);
my $kept = 'SELECT count(*), max(id) - min(id) FROM fernet_rotation WHERE id <> ' . $id;
same($node->safe_psql('postgres', $kept), '1000|999', 'the newest 1000 rows are kept');
same($node->safe_psql('postgres', "SELECT state FROM fernet_rotation WHERE id = $id"),
	'running', 'and the one of a job that is under way');
my $size = $node->safe_psql('postgres', q(SELECT pg_relation_size('fernet_ledger')));
$many = start_session($node, calls('empty_1', 60), options => $options);
finish_session($many);
same($node->safe_psql('postgres', $kept), '1000|999', 'again');
same($node->safe_psql('postgres', q(SELECT pg_relation_size('fernet_ledger'))),
	$size, 'the ledger does not grow');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 60000)");
finish_session($sleeper);
$many = start_session($node, calls('empty_1', 2), options => $options);
finish_session($many);
same($node->safe_psql('postgres', "SELECT count(*) FROM fernet_rotation WHERE id = $id"),
	'0', 'that row goes when its job has ended');
same($node->safe_psql('postgres', 'VACUUM fernet_ledger; SELECT count(*) FROM fernet_ledger'),
	'1000', 'nothing is left of the rows that are gone');

# The rows survive a crash, and there is room for more after it.
$node->safe_psql('postgres', 'CHECKPOINT');
$many = start_session($node, calls('empty_2', 20), options => $options);
finish_session($many);
$node->safe_psql('postgres', 'SELECT pg_switch_wal()');
my $rows = "SELECT md5(string_agg(l::text, ',' ORDER BY id)) FROM fernet_ledger AS l";
my $before = $node->safe_psql('postgres', $rows);
$node->stop('immediate');
$node->start;
same($node->safe_psql('postgres', $rows), $before, 'a crash loses no row');
$many = start_session($node, calls('empty_2', 20), options => $options);
finish_session($many);
same($node->safe_psql('postgres', 'SELECT count(*), max(id) - min(id) FROM fernet_rotation'),
	'1000|999', 'and jobs go on');

$node->stop;
done_testing();
