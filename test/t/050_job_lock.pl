# A job that sleeps keeps others from running, and the error names the session
# that runs it. A dry run takes no such lock: it runs beside a job, and a job beside
# it.

use strict;
use warnings;

use FernetTest qw(:DEFAULT session start_session finish_session);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($old, $new, $other) = (new_key(), new_key(), new_key());
my $superuser = $ENV{PGUSER} // getpwuid($<);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
$node->safe_psql('postgres', <<"SQL");
CREATE EXTENSION pg_fernet;
SELECT set_config('fernet.key', '$old', false);
CREATE TABLE secrets AS SELECT i AS id, fernet_encrypt('secret') AS token FROM generate_series(1, 3) AS i;
CREATE ROLE writer LOGIN;
GRANT SELECT, UPDATE ON secrets TO writer;
SQL
my $both = "-c fernet.key=$new,$old";

# sleeper starts a job of the role, with a key of its own, that sleeps for a day
# after its first batch, and returns it and its process ID.
sub sleeper
{
	my $job = start_session($node,
		"SET SESSION AUTHORIZATION writer;\n"
		  . "CALL fernet_rotate_column('secrets', 'token', pause => '1 day');",
		options => "-c fernet.key=$other,$old");
	my $sleeps = "FROM pg_stat_activity WHERE query LIKE 'CALL fernet%' AND wait_event = 'Extension'";
	$node->poll_query_until('postgres', "SELECT count(*) = 1 $sleeps")
	  or BAIL_OUT('the job does not sleep');
	return ($job, $node->safe_psql('postgres', "SELECT pid $sleeps"));
}

my $rotate = "CALL fernet_rotate_column('secrets', 'token')";
my ($job, $pid) = sleeper();
my (undef, $errors) = session($node, $rotate, options => $both);
like($errors, qr/ERROR:.* another job on "secrets" is running/,
	'a job keeps another from running');
like(
	$errors,
	qr/DETAIL:  The session with process ID $pid runs it\. It belongs to role "\Q$superuser\E"\./,
	'which names the session and its role');
(undef, $errors) = session($node,
	"CALL fernet_rotate_column('secrets', 'token', dry_run => true)",
	options => "-c fernet.key=$new,$other");
unlike($errors, qr/ERROR/, 'a dry run runs beside a job');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 60000)");
finish_session($job);
(undef, $errors) = session($node, $rotate, options => "-c fernet.key=$new,$other");
unlike($errors, qr/ERROR/, 'without that session, the job runs');

$node->stop;
done_testing();
