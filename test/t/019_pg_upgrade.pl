# pg_upgrade from an older version of PostgreSQL: the tokens and the ledger are
# as they were, checks, views, defaults and triggers that call the extension
# work, counters begin anew, and a rotation goes on. Afterwards the old server
# replicates to the new one by logical replication.
#
# It needs two versions: PG_CONFIG names the new one, FERNET_OLD_PG_CONFIG the old
# one, unless that is Debian's in /usr/lib/postgresql. On Debian 13 with
# "deb http://deb.debian.org/debian bookworm main" in a file of its own in
# /etc/apt/sources.list.d:
#
#   apt-get update
#   apt-get install --no-install-recommends postgresql-15 postgresql-server-dev-15
#   PG_CONFIG=/usr/lib/postgresql/17/bin/pg_config scripts/test tap 019_pg_upgrade

use strict;
use warnings;

use Cwd qw(getcwd);
use FernetTest qw(:DEFAULT same session secrets_below new_plaintext tell);
use OtherPostgres qw(older_pg_config newer_release install_copy output_of);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($major) = `pg_config --version` =~ /(\d+)/;
my ($old_config, $reason) = older_pg_config($major);
plan skip_all => $reason unless defined $old_config;
$reason = newer_release(output_of($old_config, '--version'), output_of('pg_config', '--version'));
plan skip_all => $reason if defined $reason;

my ($first, $second, $third) = (new_key(), new_key(), new_key());
my $marker = new_plaintext();
my @secrets = ($first, $second, $third, $marker);
my $rows = 2000;
my $quiet = "SET client_min_messages = warning;\n";

# ask runs $sql on $node with $options. No error is expected.
sub ask
{
	my ($node, $sql, $options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($out, $err) = session($node, $sql, options => $options);
	same($err, '', 'no error') if $err ne '';
	return $out;
}

# ---------------------------------------------------------------------------
# The old server

my $copy = PostgreSQL::Test::Utils::tempdir() . '/postgres';
my $old = PostgreSQL::Test::Cluster->new('old',
	install_path => install_copy($old_config, $copy));
my $new = PostgreSQL::Test::Cluster->new('new');
# Not by allows_streaming, which on PostgreSQL 18 brings a setting that older servers
# refuse.
my $settings = <<'CONF';
log_statement = none
wal_level = logical
max_wal_senders = 10
CONF
my @alike = ('--encoding=UTF8', '--locale=C');
$old->init(extra => [@alike]);
# From PostgreSQL 18 on, initdb switches on checksums by default.
$new->init(extra => [ @alike, $major >= 18 ? '--no-data-checksums' : () ]);
$_->append_conf('postgresql.conf', $settings) foreach $old, $new;
$old->start;
$old->safe_psql('postgres',
	"ALTER DATABASE postgres SET session_preload_libraries = 'pg_fernet'");

ask($old, <<"SQL", "-c fernet.key=$first");
CREATE SCHEMA crypto;
CREATE EXTENSION pg_fernet SCHEMA crypto;
SET search_path = public, crypto;
CREATE DOMAIN token_text AS text CHECK (crypto.fernet_is_token(VALUE));
CREATE TABLE secret (
	id integer PRIMARY KEY,
	token text CHECK (fernet_is_token(token)),
	raw bytea,
	typed token_text,
	well_formed boolean GENERATED ALWAYS AS (fernet_is_token(raw)) STORED,
	spare text DEFAULT crypto.fernet_encrypt('spare'));
CREATE VIEW opened AS SELECT id, fernet_decrypt(token) AS plaintext FROM secret;
CREATE INDEX well_formed ON secret (id) WHERE fernet_is_token(token);
CREATE FUNCTION seal() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
	NEW.token := crypto.fernet_encrypt(NEW.token);
	RETURN NEW;
END \$\$;
CREATE TRIGGER seal BEFORE INSERT ON secret FOR EACH ROW EXECUTE FUNCTION seal();
INSERT INTO secret (id, token, raw, typed)
	SELECT i, '$marker' || i, t::bytea, t
	FROM generate_series(1, $rows) AS i, crypto.fernet_encrypt('$marker' || i) AS t;
SQL
# One job that is done, and one whose server has gone away meanwhile.
ask($old,
	$quiet . "CALL crypto.fernet_rotate_column('secret', 'token')",
	"-c fernet.key=$second,$first");
session($old, <<"SQL", options => "-c fernet.key=$second,$first");
CREATE FUNCTION interrupt() RETURNS trigger LANGUAGE plpgsql AS
	\$\$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '57014'; END \$\$;
CREATE TRIGGER interrupt BEFORE UPDATE ON secret FOR EACH ROW EXECUTE FUNCTION interrupt();
CALL crypto.fernet_rotate_column('secret', 'raw');
DROP TRIGGER interrupt ON secret;
DROP FUNCTION interrupt();
SQL

# Row and array types are members of the extension in some versions only.
my $stored = <<'SQL';
SELECT count(*), md5(string_agg(concat_ws(',', id, token, encode(raw, 'escape'), typed, well_formed, spare),
	',' ORDER BY id)) FROM secret;
SELECT * FROM crypto.fernet_rotation ORDER BY id;
SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c' ORDER BY 1;
SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1;
SELECT extversion, extnamespace::regnamespace FROM pg_extension WHERE extname = 'pg_fernet';
SELECT md5(string_agg(pg_describe_object(classid, objid, 0), ',' ORDER BY pg_describe_object(classid, objid, 0)))
	FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e' AND classid <> 'pg_type'::regclass
	AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_fernet');
SQL
my $original = ask($old, $stored);
like($original, qr/^$rows\|/, "PostgreSQL @{[ $old->pg_version ]} has tokens");
$old->stop;

# ---------------------------------------------------------------------------
# The upgrade

my $output = '';
my $folder = PostgreSQL::Test::Utils::tempdir();
{
	# It writes into the current folder, and its sessions may have a key.
	local %ENV = (%ENV, PGOPTIONS => "-c fernet.key=$second,$first");
	my $here = getcwd();
	chdir $folder;
	ok( IPC::Run::run(
			[
				'pg_upgrade',
				'--old-bindir', $old->config_data('--bindir'),
				'--new-bindir', $new->config_data('--bindir'),
				'--old-datadir', $old->data_dir,
				'--new-datadir', $new->data_dir,
				'--old-port', $old->port,
				'--new-port', $new->port,
				'--socketdir', $new->host
			],
			'>', \$output, '2>&1'),
		"pg_upgrade to PostgreSQL @{[ $new->pg_version ]} succeeds"
	) or tell($output);
	chdir $here;
}
$new->start;

same(ask($new, $stored), $original, 'tokens, ledger and definitions are as they were');
is(ask($new, 'SHOW session_preload_libraries'),
	'pg_fernet', 'and the database loads the library');
my $both = "-c fernet.key=$second,$first";
same(
	ask($new, <<"SQL", $both),
SELECT count(*) FILTER (WHERE plaintext = '$marker' || id) FROM opened;
SELECT count(*) FILTER (WHERE crypto.fernet_decrypt(raw) = '$marker' || id),
	count(*) FILTER (WHERE crypto.fernet_decrypt(typed::text) = '$marker' || id) FROM secret;
SELECT status, tokens FROM crypto.fernet_census('secret', 'raw');
SELECT crypto.fernet_assert_rotated('secret', 'token') IS NOT NULL;
SELECT columns, state FROM crypto.fernet_rotation ORDER BY id;
SELECT status FROM crypto.fernet_doctor() WHERE item = 'version';
SQL
	"$rows\n$rows|$rows\nsecondary|$rows\nt\n{token}|done\n{raw}|interrupted\nok",
	'every value opens, and the state of each column is known');
my ($out, $err) = session($new, 'SELECT * FROM opened');
like($err, qr/\AERROR:  PF001: /, 'but without a key none does');

# The first backend that counts makes the counters; before 17, none does.
my $expected = $major >= 17 ? "0|0|0\n0|3|0" : "";
same(
	ask($new, <<"SQL", $both),
SELECT encrypted, decrypted, rotated FROM crypto.pg_stat_fernet WHERE datname = 'template1';
SELECT crypto.fernet_stat_reset() \\g /dev/null
SELECT encrypted, decrypted, rotated FROM crypto.pg_stat_fernet WHERE datname = current_database();
SELECT crypto.fernet_decrypt(token) FROM secret WHERE id < 4 \\g /dev/null
SELECT encrypted, decrypted, rotated FROM crypto.pg_stat_fernet WHERE datname = current_database();
SQL
	$expected, 'counters begin anew');

# ---------------------------------------------------------------------------
# The new server goes on

same(
	ask($new, <<"SQL", "-c fernet.key=$third,$second,$first"),
SET client_min_messages = warning;
CALL crypto.fernet_rotate_column('secret', 'token');
CALL crypto.fernet_rotate_column('secret', 'raw');
CALL crypto.fernet_rotate_column('secret', 'typed');
SELECT id, columns, state FROM crypto.fernet_rotation ORDER BY id;
SQL
	join("\n",
		("$rows|0|0") x 3,
		'1|{token}|done', '2|{raw}|interrupted', '3|{token}|done', '4|{raw}|done', '5|{typed}|done'),
	'rotations work, and the ledger goes on');
same(
	ask($new, <<"SQL", "-c fernet.key=$third"),
INSERT INTO secret (id, token) VALUES (0, '${marker}0');
SELECT count(*) FILTER (WHERE plaintext = '$marker' || id) FROM opened;
SELECT crypto.fernet_decrypt(spare) FROM secret WHERE id = 0;
SET client_min_messages = warning;
ALTER EXTENSION pg_fernet UPDATE;
SQL
	($rows + 1) . "\nspare",
	'so do view, trigger and default, with the new key alone');
($out, $err) = session($new, <<'SQL');
ALTER TABLE secret DISABLE TRIGGER seal;
INSERT INTO secret (id, token, spare) VALUES (-1, 'no token', '');
INSERT INTO secret (id, typed, spare) VALUES (-1, 'no token', '');
SQL
is(() = ($err =~ /^ERROR:  23514: /mg), 2, 'so do checks');

# ---------------------------------------------------------------------------
# From the old server to the new one by logical replication

$old->start;
ask($_, 'CREATE TABLE moved (id integer PRIMARY KEY, token text)') foreach $old, $new;
ask($old, <<"SQL", "-c fernet.key=$first");
INSERT INTO moved SELECT i, crypto.fernet_encrypt('$marker' || i) FROM generate_series(1, 100) AS i;
CREATE PUBLICATION moved FOR TABLE moved;
SQL
my $from = $old->connstr('postgres');
ask($new,
	$quiet . "CREATE SUBSCRIPTION moved CONNECTION \$c\$$from\$c\$ PUBLICATION moved");
$new->wait_for_subscription_sync($old, 'moved');
ask($old,
	$quiet . "CALL crypto.fernet_rotate_column('moved', 'token')",
	"-c fernet.key=$second,$first");
$old->wait_for_catchup('moved');
same(
	ask(
		$new,
		"SELECT count(*) FILTER (WHERE crypto.fernet_decrypt(token) = '$marker' || id) FROM moved",
		"-c fernet.key=$second"),
	'100',
	'what the old server rotates arrives on the new one');
ask($new, $quiet . 'DROP SUBSCRIPTION moved');

foreach my $node ($old, $new)
{
	$node->safe_psql('postgres', 'CHECKPOINT');
	same(join("\n", secrets_below(\@secrets, $node->data_dir)),
		'', $node->name . ': no file holds a key or a plaintext');
	$node->stop;
}
same(join("\n", secrets_below(\@secrets, $folder)),
	'', 'nor does what pg_upgrade has left');
done_testing();
