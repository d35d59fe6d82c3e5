# A database that is dumped and restored - as a script, as an archive, in
# parallel, by a superuser and by the database's owner - has the same tokens and
# an empty ledger. Dump and restore need no key, although checks, views,
# defaults, triggers and indexes call the extension; nothing is encrypted twice;
# and no dump holds the key of the session that dumps.

use strict;
use warnings;

use FernetTest qw(:DEFAULT same session secrets_below new_plaintext);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($old, $new) = (new_key(), new_key());
my $marker = new_plaintext();
my $both = "-c fernet.key=$new,$old";

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
session_preload_libraries = 'pg_fernet'
log_statement = none
CONF
$node->start;

# ask runs $sql. No error is expected.
sub ask
{
	my ($sql, %how) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($out, $err) = session($node, $sql, %how);
	same($err, '', 'no error') if $err ne '';
	return $out;
}

# ---------------------------------------------------------------------------
# A database of an ordinary role, with the extension in a schema of its own

ask(<<'SQL');
CREATE ROLE owner LOGIN;
CREATE DATABASE app OWNER owner;
SQL
ask(<<"SQL", database => 'app', user => 'owner', options => "-c fernet.key=$old");
CREATE SCHEMA crypto;
CREATE EXTENSION pg_fernet SCHEMA crypto;
SET search_path = public, crypto;
CREATE TABLE secret (
	id integer PRIMARY KEY,
	token text CHECK (fernet_is_token(token)),
	raw bytea,
	well_formed boolean GENERATED ALWAYS AS (fernet_is_token(raw)) STORED,
	made timestamptz DEFAULT now(),
	spare text DEFAULT crypto.fernet_encrypt('spare'));
CREATE DOMAIN token_text AS text CHECK (crypto.fernet_is_token(VALUE));
CREATE TABLE typed (token token_text);
CREATE VIEW opened AS
	SELECT id, fernet_decrypt(token) AS plaintext, fernet_timestamp(raw) AS made FROM secret;
CREATE INDEX ON secret (id) WHERE fernet_is_token(token);
CREATE FUNCTION seal() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
	NEW.token := crypto.fernet_encrypt(NEW.token);
	RETURN NEW;
END \$\$;
CREATE TRIGGER seal BEFORE INSERT ON secret FOR EACH ROW EXECUTE FUNCTION seal();
CREATE MATERIALIZED VIEW kinds AS
	SELECT fernet_is_token(raw) AS is_token, count(*) FROM secret GROUP BY 1;
INSERT INTO secret (id, token, raw)
	SELECT i, '$marker' || i, fernet_encrypt('$marker' || i)::bytea FROM generate_series(1, 200) AS i;
INSERT INTO typed SELECT token FROM secret LIMIT 1;
REFRESH MATERIALIZED VIEW kinds;
SET client_min_messages = warning;
SET fernet.key = '$new,$old';
CALL fernet_rotate_column('secret', 'token', slices => 2);
CALL fernet_rotate_column('secret', 'raw');
SQL

# The queries that compare a copy, with the key and without.
my $stored = <<'SQL';
SELECT md5(string_agg(concat_ws(',', id, token, encode(raw, 'escape'), well_formed, made, spare),
	',' ORDER BY id)), count(*) FROM secret;
SELECT * FROM kinds;
SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1;
SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c' ORDER BY 1;
SELECT pg_get_viewdef('opened');
SELECT extname, extversion, nspname FROM pg_extension
	JOIN pg_namespace AS n ON n.oid = extnamespace ORDER BY 1;
SQL
my $opened = <<"SQL";
SELECT count(*), count(*) FILTER (WHERE plaintext = '$marker' || id) FROM opened;
SELECT count(*) FROM secret WHERE crypto.fernet_key_index(token) = 1
	AND crypto.fernet_decrypt(raw) = '$marker' || id;
SQL
my $original = ask($stored, database => 'app');
like($original, qr/^t\|200$/m, 'the database has its tokens');
same(
	ask('SELECT state FROM crypto.fernet_rotation', database => 'app'),
	"done\ndone", 'and two jobs in its ledger');

# ---------------------------------------------------------------------------
# Dumps, by sessions that have the keys

my $dumps = $node->basedir . '/dumps';
mkdir $dumps or die "$dumps: $!";

# run_quietly runs a client with %options; of its output only errors are shown,
# and no value in them.
sub run_quietly
{
	my ($name, $options, $user, @command) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	local %ENV = (%ENV, psql_env($node, $options, 'app'), PGUSER => $user);
	my $output = '';
	IPC::Run::run(\@command, '>', \$output, '2>&1');
	return same($output, '', $name);
}
my $superuser = $ENV{PGUSER} // getpwuid($<);
my %dump = (
	plain => [ $superuser, '-f', "$dumps/plain" ],
	inserts => [ 'owner', '--inserts', '-f', "$dumps/inserts" ],
	custom => [ 'owner', '-Fc', '-Z0', '-f', "$dumps/custom" ],
	folder => [ $superuser, '-Fd', '-Z0', '-j2', '-f', "$dumps/folder" ],
	tar => [ 'owner', '-Ft', '-f', "$dumps/tar" ]);
foreach my $kind (sort keys %dump)
{
	my ($user, @arguments) = @{ $dump{$kind} };
	run_quietly("pg_dump: $kind, by $user",
		$both, $user, 'pg_dump', @arguments);
}
run_quietly('pg_dumpall -g', $both, $superuser, 'pg_dumpall', '-g', '-f',
	"$dumps/globals");
run_quietly('pg_dumpall', $both, $superuser, 'pg_dumpall', '-f',
	"$dumps/all");
same(join("\n", secrets_below([ $old, $new, $marker ], $dumps)),
	'', 'no dump holds a key or a plaintext');

my $script = slurp("$dumps/plain");
unlike($script, qr/fernet_rotation|fernet_ledger/, 'the ledger is not in the dump');
unlike($script, qr/CREATE (?:TABLE|SEQUENCE|VIEW) crypto\./,
	'what the extension creates is not in the dump');

# ---------------------------------------------------------------------------
# Restored without a key

foreach my $kind (sort keys %dump)
{
	my ($user) = @{ $dump{$kind} };
	my $database = "from_$kind";
	ask("CREATE DATABASE $database OWNER owner;");
	my @client =
	  $kind =~ /^(?:plain|inserts)$/ ? qw(psql -Xq -v ON_ERROR_STOP=1 -o /dev/null -f)
	  : $kind eq 'folder' ? qw(pg_restore -e -j2)
	  : qw(pg_restore -e --single-transaction);
	run_quietly("$kind is restored by $user, without a key",
		'', $user, @client, "$dumps/$kind", '-d', $database);
	my @at = (database => $database);
	same(ask($stored, @at), $original, "$kind: all is as it was");
	same(ask($opened, @at, options => $both), "200|200\n200",
		"$kind: each value is encrypted once, and opens");
	my ($out, $err) = session($node, $opened, @at);
	like($err, qr/\AERROR:  PF001: no Fernet key is set\n/,
		"$kind: but with a key only");

	# The ledger begins anew, and the restored database works.
	ask(<<"SQL", @at, user => 'owner', options => "-c fernet.key=$old,$new");
SET search_path = public, crypto;
SET client_min_messages = warning;
CALL fernet_rotate_column('secret', 'token');
INSERT INTO secret (id, token) VALUES (0, 'new');
SQL
	same(
		ask("SELECT count(*), count(DISTINCT id) FROM crypto.fernet_rotation;"
			  . 'SELECT crypto.fernet_decrypt(token), crypto.fernet_decrypt(spare)'
			  . ' FROM secret WHERE id = 0',
			@at, options => $both),
		"1|1\nnew|spare",
		"$kind: jobs, triggers and defaults go on");
	($out, $err) = session($node, <<'SQL', @at);
ALTER TABLE secret DISABLE TRIGGER seal;
INSERT INTO secret (id, token, spare) VALUES (-1, 'no token', '');
INSERT INTO typed VALUES ('no token');
SQL
	is(() = ($err =~ /^ERROR:  23514: /mg), 2, "$kind: so do checks");
}

# Everything at once, into another server.
my $other = PostgreSQL::Test::Cluster->new('other');
$other->init;
$other->start;
{
	local %ENV = (%ENV, psql_env($other, '', 'postgres'));
	my $output = '';
	# Without -v ON_ERROR_STOP: the role that initdb has made is there already.
	IPC::Run::run([ 'psql', '-Xq', '-o', '/dev/null', '-f', "$dumps/all" ],
		'>', \$output, '2>&1');
	same(
		join("\n", grep { !/role "\Q$superuser\E" already exists/ } split /\n/, $output),
		'', 'what pg_dumpall wrote is restored on another server');
}
same((session($other, $stored, database => 'app'))[0],
	$original, 'there, too, all is as it was');
$other->stop;
$node->stop;
done_testing();
