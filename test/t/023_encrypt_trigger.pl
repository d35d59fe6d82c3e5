# fernet_encrypt_trigger keeps plaintexts out of the table's files and WAL,
# however they are written. Tokens pass it unchanged and without a key: from a
# dump that is restored with the trigger in place, and from logical replication.

use strict;
use warnings;

use FernetTest qw(:DEFAULT same session secrets_below new_plaintext);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $key = new_key();
my $with_key = "-c fernet.key=$key";
my ($marker, $bare_marker) = (new_plaintext(), new_plaintext());

my %node;
foreach my $name (qw(publisher subscriber))
{
	$node{$name} = PostgreSQL::Test::Cluster->new($name);
	$node{$name}->init(allows_streaming => 'logical');
	$node{$name}->append_conf('postgresql.conf', <<'CONF');
session_preload_libraries = 'pg_fernet'
log_statement = none
log_min_error_statement = panic
CONF
	$node{$name}->start;
}
my ($publisher, $subscriber) = @node{qw(publisher subscriber)};

# ask runs $sql on $node with %how. No error is expected.
sub ask
{
	my ($node, $sql, %how) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($out, $err) = session($node, $sql, %how);
	same($err, '', 'no error') if $err ne '';
	return $out;
}

# Values out of line are not compressed, so that the test would find them.
my $table = <<'SQL';
CREATE EXTENSION pg_fernet;
CREATE TABLE connection (
	id integer PRIMARY KEY,
	bot_token text CHECK (fernet_is_token(bot_token)),
	raw_token bytea,
	note text);
ALTER TABLE connection ALTER bot_token SET STORAGE EXTERNAL;
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON connection
	FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('bot_token', 'raw_token');
SQL
ask($publisher, $table);
ask($subscriber, $table . 'ALTER TABLE connection ENABLE ALWAYS TRIGGER encrypt;');

# ---------------------------------------------------------------------------
# Written in every way

my @copied = map { "$_\t$marker$_\t$marker$_\tcopied" } 101 .. 150;
ask(
	$publisher, <<"SQL" . join("\n", @copied) . "\n\\.\n",
INSERT INTO connection SELECT i, '$marker' || i, ('$marker' || i)::bytea, 'inserted'
	FROM generate_series(1, 100) AS i;
UPDATE connection SET bot_token = '$marker' || id || ' again' WHERE id <= 10;
INSERT INTO connection SELECT i, '$marker' || i, NULL, 'upserted' FROM generate_series(91, 100) AS i
	ON CONFLICT (id) DO UPDATE SET bot_token = EXCLUDED.bot_token, note = EXCLUDED.note;
UPDATE connection SET note = 'noted' WHERE id BETWEEN 20 AND 29;
INSERT INTO connection VALUES (151, '$marker' || repeat('x', 100000), NULL, 'large');
BEGIN;
INSERT INTO connection VALUES (152, '$marker', '$marker', 'rolled back');
ROLLBACK;
DELETE FROM connection WHERE id = 100;
COPY connection FROM stdin;
SQL
	options => $with_key);
my $opened = <<"SQL";
SELECT count(*), count(*) FILTER (WHERE fernet_decrypt(bot_token) LIKE '$marker' || '%'
	AND coalesce(fernet_decrypt(raw_token), '$marker' || id) = '$marker' || id)
FROM connection WHERE id <> 151;
SQL
same(ask($publisher, $opened, options => $with_key),
	'149|149', 'every value is encrypted once');

# A plaintext in another table without a trigger is found in the places where
# the others must not be.
ask($publisher,
	"CREATE TABLE bare (bot_token text); INSERT INTO bare VALUES ('$bare_marker')");
ask($publisher, 'CHECKPOINT');

# places returns where a plaintext is: "heap", "WAL".
sub places
{
	my ($node, $plaintext) = @_;
	return join ' ', map {
		secrets_below([$plaintext], $node->data_dir . "/$_->[1]") ? $_->[0] : ()
	} ([ 'heap', 'base' ], [ 'WAL', 'pg_wal' ]);
}
same(places($publisher, $bare_marker),
	'heap WAL', 'a plaintext without a trigger is in the heap and in WAL');
same(places($publisher, $marker), '', 'those that are encrypted are in neither');
same(join("\n", secrets_below([ $marker, $key ], $publisher->data_dir)),
	'', 'nor anywhere else in the data directory, and neither is the key');

# ---------------------------------------------------------------------------
# A domain that a plaintext passes and its token does not: the error is the
# domain's, and shows the plaintext to nobody

$publisher->append_conf('postgresql.conf', "log_min_error_statement = error\n");
$publisher->reload;
ask($publisher, <<'SQL');
CREATE DOMAIN short AS text CHECK (length(VALUE) < 80);
CREATE TABLE narrow (id integer, token short);
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON narrow
	FOR EACH ROW EXECUTE FUNCTION fernet_encrypt_trigger('token');
SQL
foreach my $case (
	[ INSERT => "INSERT INTO narrow VALUES (1, '$marker')" ],
	[ COPY => "COPY narrow FROM stdin;\n1\t$marker\n\\.\n" ])
{
	my ($name, $sql) = @$case;
	my $start = -s $publisher->logfile;
	my (undef, $err) = session($publisher, $sql, options => $with_key);
	like($err, qr/^ERROR:  23514: value for domain short violates/,
		"$name: the domain refuses the token");
	unlike($err, qr/\Q$marker/, "$name: the client is shown no plaintext");
	my $log = substr(slurp($publisher->logfile), $start);
	like($log, qr/ERROR:  value for domain short/, "$name: the log has the error");
	unlike($log, qr/\Q$marker/, "$name: and no plaintext");
}
$publisher->append_conf('postgresql.conf', "log_min_error_statement = panic\n");
$publisher->reload;

# ---------------------------------------------------------------------------
# A dump, restored by sessions without a key

my $stored = <<'SQL';
SELECT count(*), md5(string_agg(concat_ws(',', id, bot_token, encode(raw_token, 'escape'), note),
	',' ORDER BY id)) FROM connection;
SQL
my $original = ask($publisher, $stored);

# restored tests that database $name, filled from the dump $file, has the same.
sub restored
{
	my ($name, $file) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	command_ok(
		[
			'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d',
			$publisher->connstr($name), '-f', $file
		],
		"$name: restored without a key");
	same(ask($publisher, $stored, database => $name),
		$original, "$name: every token is as it was");
	same(ask($publisher, $opened, database => $name, options => $with_key),
		'149|149', "$name: none is encrypted twice");
	my ($out, $err) = session(
		$publisher,
		"INSERT INTO connection VALUES (999, 'a plaintext')",
		database => $name);
	like($err, qr/^ERROR:  PF001: /, "$name: the trigger is there");
	return;
}
my $folder = $publisher->basedir;
foreach my $dump (
	[ 'whole', [] ],
	# The trigger fires for each row.
	[ 'rows_only', [ '--data-only', '-t', 'connection' ] ],
	[ 'inserts_only', [ '--data-only', '--inserts', '-t', 'connection' ] ])
{
	my ($name, $options) = @$dump;
	command_ok(
		[
			'pg_dump', @$options, '-f', "$folder/$name.sql", '-d',
			$publisher->connstr('postgres')
		],
		"$name: dumped");
	$publisher->safe_psql('postgres', "CREATE DATABASE $name");
	ask($publisher, $table, database => $name) if @$options;
	restored($name, "$folder/$name.sql");
}

# ---------------------------------------------------------------------------
# Logical replication, to a table whose trigger fires for what arrives

my $from = $publisher->connstr('postgres');
ask($publisher, 'CREATE PUBLICATION secrets FOR TABLE connection');
ask($subscriber,
	    "SET client_min_messages = warning;\nCREATE SUBSCRIPTION copy"
	  . " CONNECTION \$connection\$$from\$connection\$ PUBLICATION secrets");
$subscriber->wait_for_subscription_sync($publisher, 'copy');
same(ask($subscriber, $stored), $original,
	'the first copy is as it is on the publisher');
ask($publisher, <<"SQL", options => $with_key);
INSERT INTO connection VALUES (201, '$marker' || 201, ('$marker' || 201)::bytea, 'later');
UPDATE connection SET bot_token = '$marker' || id || ' later' WHERE id <= 50;
SQL
$publisher->wait_for_catchup('copy');
same(ask($subscriber, $stored), ask($publisher, $stored),
	'and so is what comes after it');
same(ask($subscriber, $opened, options => $with_key),
	'150|150', 'none is encrypted twice');
same(places($subscriber, $marker), '', 'the subscriber has no plaintext');
like(
	(session($subscriber, "INSERT INTO connection VALUES (999, 'a plaintext')"))[1],
	qr/^ERROR:  PF001: /,
	"the subscriber's own writers are held to the trigger");

done_testing();
