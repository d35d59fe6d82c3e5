# Blind indexes beside the rest of the world: the bytes that Python computes, in
# databases of two encodings; dumps, of data alone too; logical replication; and
# what of a lookup shows where, as the table in docs/blind-index.md says.
# FERNET_LONG=1 computes 10,000 vectors instead of 300.

use strict;
use warnings;

use FernetTest qw(:DEFAULT same session new_plaintext);
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($key, $index_key, $other) = map { new_key() } 1 .. 3;
my $with_key = "-c fernet.key=$key";
my $with_both = "$with_key -c fernet.index_key=$index_key";

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 'logical', extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'pg_stat_statements, auto_explain'
session_preload_libraries = 'pg_fernet'
pg_stat_statements.track = all
log_statement = none
fsync = off
CONF
$node->start;

sub ask
{
	my ($database, $sql, $options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($out, $err) =
	  session($node, $sql, database => $database, options => $options // '');
	same($err, '', 'no error') if $err ne '';
	return $out;
}

ask('postgres', <<'SQL');
CREATE DATABASE a;
CREATE DATABASE b;
CREATE DATABASE latin1 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
SQL
ask($_, 'CREATE EXTENSION pg_fernet') foreach qw(a latin1);
ask('a', 'CREATE EXTENSION pg_stat_statements');

# ---------------------------------------------------------------------------
# What Python computes. The seed is fixed: only the keys differ between runs.

my $count = $ENV{FERNET_LONG} ? 10_000 : 300;
my $python = <<'PY';
import base64, hmac, random, struct, sys
keys, count = sys.argv[1].split(","), int(sys.argv[2])
random.seed(20)
def text(most):
    letters = "abc xyz,.-@0123456789" + "äöüßéñÿ"
    return "".join(random.choice(letters) for _ in range(random.randrange(most)))
def index(key, context, value, bits):
    message = b"pg_fernet blind index v1\0" + struct.pack(">Q", len(context)) + context + value
    return hmac.new(base64.urlsafe_b64decode(key), message, "sha256").digest()[: bits // 8].hex()
for i in range(count):
    size = random.choice([10, 40, 100, 300, 3000])
    value, context = text(size).encode(), text(random.choice([1, 20, 200])).encode()
    if i % 4 == 3:
        value = random.randbytes(random.randrange(size))
    bits = random.choice(range(16, 257, 8)) if i % 2 else 256
    print(i % 4 == 3, value.hex(), context.hex(), bits, *(index(k, context, value, bits) for k in keys), sep="\t")
PY
IPC::Run::run([ 'python3', '-c', $python, "$index_key,$other", $count ], '>', \my $vectors)
  or die 'Python failed';
foreach my $database (qw(a latin1))
{
	my $right = ask($database, <<"SQL" . $vectors . <<'SQL', "-c fernet.index_key=$index_key,$other");
SET client_encoding = 'UTF8';
CREATE TEMP TABLE vector (is_bytes boolean, value text, context text, bits integer, first text, second text);
COPY vector FROM stdin;
SQL
\.
SELECT count(*) AS vectors, count(*) FILTER (WHERE one = decode(first, 'hex')) AS right,
	count(*) FILTER (WHERE each = ARRAY[decode(first, 'hex'), decode(second, 'hex')]) AS right_each
FROM (SELECT v.*, CASE WHEN is_bytes THEN fernet_blind_index(decode(value, 'hex'), c, bits)
		ELSE fernet_blind_index(convert_from(decode(value, 'hex'), 'UTF8'), c, bits) END AS one,
	CASE WHEN is_bytes THEN fernet_blind_indexes(decode(value, 'hex'), c, bits)
		ELSE fernet_blind_indexes(convert_from(decode(value, 'hex'), 'UTF8'), c, bits) END AS each
	FROM vector AS v, convert_from(decode(context, 'hex'), 'UTF8') AS c) AS v;
SQL
	is($right, "$count|$count|$count", "database $database computes what Python does");
}

# ---------------------------------------------------------------------------
# Dumps and logical replication: the index comes with the row, without an index
# key

my $marker = new_plaintext();
my $table = <<'SQL';
CREATE TABLE users (id integer PRIMARY KEY, email text, email_index bytea UNIQUE);
SQL
my $triggers = <<'SQL';
CREATE TRIGGER a_index BEFORE INSERT OR UPDATE ON users
	FOR EACH ROW EXECUTE FUNCTION fernet_blind_index_trigger('email', 'email_index', 'users.email');
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON users
	FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('email');
SQL
my $wrong = <<'SQL';
SELECT count(*), count(*) FILTER (WHERE email_index = fernet_blind_index(fernet_decrypt(email), 'users.email')) FROM users;
SQL
ask('a', $table . $triggers . <<"SQL", $with_both);
INSERT INTO users SELECT i, '$marker' || i FROM generate_series(1, 100) AS i;
SQL

# dump runs pg_dump and psql with @options, and returns what went wrong.
sub dump_into
{
	my ($database, $restore_options, @options) = @_;
	my ($dump, $err);
	local %ENV = (%ENV, psql_env($node, '', 'a'));
	IPC::Run::run([ 'pg_dump', @options ], '>', \$dump, '2>', \$err) or return $err;
	%ENV = (%ENV, psql_env($node, $restore_options, $database));
	IPC::Run::run([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1' ], '<', \$dump, '>', \my $out, '2>', \$err);
	return $err;
}

is(dump_into('b', ''), '', 'a dump is restored without any key');
is(ask('b', $wrong, $with_both), '100|100', 'with its indexes');
ask('b', 'TRUNCATE users');
like(dump_into('b', '', '--data-only', '--table=users'),
	qr/no (?:index|Fernet) key is set/, 'data alone fires the triggers, which need the keys');
is(dump_into('b', $with_both, '--data-only', '--table=users'), '', 'with the keys it works');
ask('b', 'TRUNCATE users');
is(dump_into('b', '', '--data-only', '--disable-triggers', '--table=users'), '', 'or without triggers');
is(ask('b', $wrong, $with_both), '100|100', 'with its indexes');

ask('b', 'TRUNCATE users');
ask('a', "CREATE PUBLICATION p FOR TABLE users; SELECT pg_create_logical_replication_slot('s', 'pgoutput') \\g /dev/null\n");
my $connection = sprintf 'host=%s port=%s dbname=a', $node->host, $node->port;
ask('b', "SET client_min_messages = error; CREATE SUBSCRIPTION s CONNECTION '$connection' PUBLICATION p WITH (create_slot = false, slot_name = 's');");
$node->poll_query_until('b', 'SELECT count(*) = 100 FROM users')
  or die 'not copied';
ask('a', <<"SQL", $with_both);
INSERT INTO users VALUES (101, '$marker-new');
UPDATE users SET email = '$marker-other' WHERE id = 7;
SQL
ask('a', "CALL fernet_rotate_column('users', 'email') \\g /dev/null\n",
	"-c client_min_messages=warning -c fernet.key=$other,$key");
$node->poll_query_until('b',
	"SELECT pg_current_wal_lsn() <= confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 's'")
  or die 'not replicated';
is( ask('b', $wrong, "-c fernet.key=$other -c fernet.index_key=$index_key"),
	'101|101', 'logical replication carries the indexes, through a rotation without an index key');
ask('b', 'SET client_min_messages = error; DROP SUBSCRIPTION s;');

# ---------------------------------------------------------------------------
# What a lookup shows of the plaintext

# look_up looks for $plaintext, as a literal or bound, and returns what the log
# has got.
sub look_up
{
	my ($plaintext, $is_bound, $options) = @_;
	my $from = -s $node->logfile;
	my $select = "SELECT id FROM users WHERE email_index = ANY (fernet_blind_indexes(%s, 'users.email'));\n";
	$options = "$with_both $options";
	if ($is_bound)
	{
		my ($ok) = run_bound($node, sprintf($select, ':value::text'), { value => $plaintext }, $options, 'a');
		ok($ok, 'the lookup works') or return '';
	}
	else
	{
		ask('a', sprintf($select, "'$plaintext'"), $options);
	}
	return substr(slurp($node->logfile), $from);
}

my $quiet = '-c log_parameter_max_length=0';
foreach my $case (
	[ 'auto_explain', '-c auto_explain.log_min_duration=0', 1, 1 ],
	[ 'log_statement', '-c log_statement=all', 1, 1 ],
	[ 'log_statement, parameters not logged', "-c log_statement=all $quiet", 1, 0 ],
	[ 'log_min_duration_statement', '-c log_min_duration_statement=0', 1, 1 ],
	[ 'log_min_duration_statement, parameters not logged', "-c log_min_duration_statement=0 $quiet", 1, 0 ],
	[ 'nothing', '', 0, 0 ])
{
	my ($name, $options, @shown) = @$case;
	foreach my $is_bound (0, 1)
	{
		my $plaintext = new_plaintext();
		my $log = look_up($plaintext, $is_bound, $options);
		is(scalar(forms_found_in($plaintext, \$log)) > 0 ? 1 : 0,
			$shown[$is_bound], "$name shows a " . ($is_bound ? 'bound' : 'literal') . ' value, or not');
		my $statements = ask('a', 'SELECT query FROM pg_stat_statements');
		is(scalar(forms_found_in($plaintext, \$statements)), 0, 'pg_stat_statements does not');
	}
}
my $secret = new_plaintext();
my $from = -s $node->logfile;
session($node, <<"SQL", database => 'a', options => '-c log_min_error_statement=error');
SELECT fernet_blind_index('$secret', 'users.email');
SET fernet.index_key = '$index_key';
SELECT fernet_blind_index('$secret', 'users.email', 7);
INSERT INTO users VALUES (200, '$secret');
RESET fernet.index_key;
SET fernet.key = '$key';
INSERT INTO users VALUES (200, '$secret');
SQL
my $log = substr(slurp($node->logfile), $from);
like($log, qr/no index key is set/, 'errors are logged');
is(scalar(forms_found_in($secret, \$log)), 0, 'without the plaintext');
$node->stop;
done_testing();
