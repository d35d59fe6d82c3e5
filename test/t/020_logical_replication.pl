# Logical replication carries tokens as they are: the first copy and what comes
# after it. A subscriber without a key holds them and cannot read them. What a
# rotation writes arrives as updates, and nothing is encrypted twice. If a
# published table has no replica identity, a rotation is refused like any
# UPDATE.

use strict;
use warnings;

use FernetTest qw(:DEFAULT same session secrets_below new_plaintext);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($old, $new, $next) = (new_key(), new_key(), new_key());
my $marker = new_plaintext();
my $both = "-c fernet.key=$new,$old";
my $rows = 1000;
my $quiet = "SET client_min_messages = warning;\n";

my %node;
foreach my $name (qw(publisher subscriber))
{
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(allows_streaming => 'logical');
	$node->append_conf('postgresql.conf', <<'CONF');
session_preload_libraries = 'pg_fernet'
log_statement = none
CONF
	$node->start;
	$node{$name} = $node;
}
my ($publisher, $subscriber) = @node{qw(publisher subscriber)};

# ask runs $sql on $node with $options. No error is expected.
sub ask
{
	my ($node, $sql, $options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($out, $err) = session($node, $sql, options => $options);
	same($err, '', 'no error') if $err ne '';
	return $out;
}

# The tables differ in their replica identity. Only "keyed" has a primary key;
# "bare" has nothing.
my $tables = <<'SQL';
CREATE EXTENSION pg_fernet;
CREATE TABLE keyed (id integer PRIMARY KEY, token text CHECK (fernet_is_token(token)));
CREATE TABLE by_index (id integer NOT NULL UNIQUE, token text);
ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_id_key;
CREATE TABLE by_all (id integer, token bytea);
ALTER TABLE by_all REPLICA IDENTITY FULL;
CREATE TABLE parted (id integer PRIMARY KEY, token text) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (500);
CREATE TABLE parted_2 PARTITION OF parted DEFAULT;
CREATE TABLE bare (id integer, token text);
SQL
my @tables = qw(keyed by_index by_all parted);
ask($publisher, $tables);
ask($subscriber, $tables);
foreach my $table (@tables, 'bare')
{
	# A tenth of the rows of by_all: its updates are found by a scan.
	my $count = $table eq 'by_all' ? $rows / 10 : $rows;
	my $token = "fernet_encrypt('$marker' || i)";
	$token .= '::bytea' if $table eq 'by_all';
	ask(
		$publisher,
		"INSERT INTO $table SELECT i, $token FROM generate_series(1, $count) AS i",
		"-c fernet.key=$old");
}
ask($publisher, 'CREATE PUBLICATION secrets FOR TABLE ' . join(', ', @tables, 'bare'));
my $from = $publisher->connstr('postgres');

# The subscriber's own sessions have no key. A trigger of its own sees what
# arrives.
ask($subscriber, $quiet . <<"SQL");
CREATE TABLE arrived (operation text, is_token boolean);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
	INSERT INTO public.arrived VALUES (TG_OP, public.fernet_is_token(NEW.token));
	RETURN NULL;
END \$\$;
CREATE TRIGGER note AFTER INSERT OR UPDATE ON keyed FOR EACH ROW EXECUTE FUNCTION note();
ALTER TABLE keyed ENABLE ALWAYS TRIGGER note;
CREATE SUBSCRIPTION copy CONNECTION \$connection\$$from\$connection\$
	PUBLICATION secrets;
SQL
$subscriber->wait_for_subscription_sync($publisher, 'copy');

# is_copied tests that the subscriber has what the publisher has, byte by byte,
# and can read it with the keys and not without.
sub is_copied
{
	my ($name, $options, @which) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$publisher->wait_for_catchup('copy');
	foreach my $table (@which)
	{
		my $stored =
		  "SELECT count(*), md5(string_agg(id || token::text, ',' ORDER BY id)) FROM $table";
		same(ask($subscriber, $stored), ask($publisher, $stored),
			"$name: $table has the tokens as they are");
		my $opened =
			"SELECT count(*) = count(*) FILTER (WHERE fernet_key_index(token) = 1"
		  . " AND fernet_decrypt(token) = '$marker' || id) FROM $table";
		same(ask($subscriber, $opened, $options), 't',
			"$name: each is encrypted once, under the key expected");
		my ($out, $err) =
		  session($subscriber, "SELECT fernet_decrypt(token) FROM $table");
		ok($out eq '' && $err =~ /\AERROR:  PF001: /,
			"$name: without a key it cannot be read");
	}
	return;
}

is_copied('first copy', "-c fernet.key=$old", @tables, 'bare');
same(
	ask($subscriber, 'SELECT DISTINCT operation, is_token FROM arrived'),
	'INSERT|t', 'what arrives are tokens');

# ---------------------------------------------------------------------------
# Rotation on the publisher

foreach my $table (@tables)
{
	ask($publisher,
		$quiet . "CALL fernet_rotate_column('$table', 'token', batch_rows => 100)",
		$both);
}
is_copied('rotation', "-c fernet.key=$new", @tables);
same(
	ask(
		$subscriber,
		"SELECT operation, is_token, count(*) FROM arrived GROUP BY 1, 2 ORDER BY 1"
	),
	"INSERT|t|$rows\nUPDATE|t|$rows",
	'each value has arrived once, as an update');
same(
	ask(
		$subscriber,
		"SELECT fernet_assert_rotated('keyed', 'token') IS NOT NULL;\n"
		  . "SELECT status, tokens FROM fernet_census('parted', 'token');",
		$both),
	"t\nprimary|$rows",
	'the subscriber asserts that the old key may be dropped');
same(ask($subscriber, 'SELECT count(*) FROM fernet_rotation'),
	'0', 'the ledger is of the publisher');

# What is written while the subscriber is there, in a transaction that fails,
# and by a batch of one's own.
ask($publisher, <<"SQL", "-c fernet.key=$new");
INSERT INTO keyed VALUES ($rows + 1, fernet_encrypt('$marker' || $rows + 1));
BEGIN;
UPDATE keyed SET token = fernet_encrypt('gone');
ROLLBACK;
SQL
ask($publisher, "SELECT * FROM fernet_rotate_batch('keyed', 'token')",
	"-c fernet.key=$next,$new");
is_copied('a batch', "-c fernet.key=$next", 'keyed');

# Plaintexts that are adopted on the publisher arrive as tokens. Before that
# they are in its stream, as anywhere.
ask($publisher, $quiet . "CALL fernet_decrypt_column('by_index', 'token', confirm => true)",
	"-c fernet.key=$new");
ask($publisher,
	$quiet . "CALL fernet_rotate_column('by_index', 'token', on_plaintext => 'encrypt')",
	"-c fernet.key=$next");
is_copied('adoption', "-c fernet.key=$next", 'by_index');

# ---------------------------------------------------------------------------
# No replica identity

my $stored = 'SELECT md5(string_agg(token, id::text ORDER BY id)) FROM bare';
my $before = ask($publisher, $stored);
my ($out, $err) = session($publisher, $quiet . "UPDATE bare SET id = id");
my $refusal = $err =~ s/^STATEMENT:.*//mr;
like(
	$refusal,
	qr/\AERROR:  55000: cannot update table "bare" because it does not have a replica identity and publishes updates\nHINT:  /,
	'PostgreSQL refuses to update a published table without an identity');
foreach my $job (
	"CALL fernet_rotate_column('bare', 'token')",
	"CALL fernet_rotate_column('bare', 'token', dry_run => true)",
	"SELECT * FROM fernet_rotate_batch('bare', 'token')")
{
	($out, $err) = session($publisher, $quiet . $job, options => $both);
	same($err, $refusal, "so does, in the same words: $job");
}
same(ask($publisher, $stored), $before, 'nothing is changed');
ask($publisher, 'ALTER TABLE bare REPLICA IDENTITY FULL');
ask($publisher, $quiet . "CALL fernet_rotate_column('bare', 'token')", $both);
is_copied('with an identity', "-c fernet.key=$new", 'bare');
same(
	ask(
		$publisher,
		"SELECT state FROM fernet_rotation WHERE relation = 'public.bare' ORDER BY id"),
	"interrupted\ndone",
	'the ledger tells of the call that was refused, and of the one that was not');

# ---------------------------------------------------------------------------
# No key was replicated

foreach my $name (sort keys %node)
{
	$node{$name}->safe_psql('postgres', 'CHECKPOINT');
	same(join("\n", secrets_below([ $old, $new, $next ], $node{$name}->data_dir)),
		'', "$name: no file holds a key");
}
ask($subscriber, $quiet . 'DROP SUBSCRIPTION copy');
$_->stop foreach values %node;
done_testing();
