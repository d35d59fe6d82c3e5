# fernet_find_tokens among others: what others have put into the database does
# not run, what cannot be read is named, and the search can be cancelled. The
# gate for the database waits for whoever has written anything. FERNET_LONG=1
# takes 2,000 tables instead of 40, and looks at memory and the table of locks.

use strict;
use warnings;

use FernetTest qw(:DEFAULT same session start_session finish_session);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($old, $new) = (new_key(), new_key());
my $both = "-c fernet.key=$new,$old";
my $tables = $ENV{FERNET_LONG} ? 2000 : 40;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
max_prepared_transactions = 5
autovacuum = off
max_connections = 20
CONF
$node->start;

my ($out, $err) = session($node, <<"SQL", options => "-c fernet.key=$old");
CREATE EXTENSION pg_fernet;
CREATE EXTENSION file_fdw;
CREATE ROLE attacker LOGIN;
GRANT CREATE, USAGE ON SCHEMA public TO attacker;
CREATE TABLE secret (token text);
INSERT INTO secret SELECT fernet_encrypt('x') FROM generate_series(1, 10);
SQL
same($err, '', 'tokens');

# found is what the search finds, a line for each row, with %how of session.
sub found
{
	my ($arguments, %how) = @_;
	my ($lines, $errors) = session($node,
		"SELECT relation, column_name, status, tokens, detail FROM fernet_find_tokens($arguments)",
		options => $both, %how);
	return $errors eq '' ? "$lines\n" : $errors;
}

# ---------------------------------------------------------------------------
# code of others
# ---------------------------------------------------------------------------

($out, $err) = session($node, <<'SQL', options => "-c fernet.key=$old", user => 'attacker');
CREATE FUNCTION trap() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'trapped'; RETURN true; END $$;
CREATE FUNCTION trap(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE WARNING 'trapped'; RETURN true; END $$;
CREATE FUNCTION trap_text(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE WARNING 'trapped'; RETURN $1; END $$;
CREATE FUNCTION quote_ident(name) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'trapped'; RETURN $1; END $$;
CREATE FUNCTION trap_oids(oid, oid) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'trapped'; RETURN true; END $$;
CREATE OPERATOR = (LEFTARG = oid, RIGHTARG = oid, FUNCTION = trap_oids);
CREATE VIEW pg_class AS SELECT trap() AS trapped;
CREATE DOMAIN trapped AS text CHECK (trap(VALUE) IS NOT NULL);
CREATE TYPE trapped_row AS (a trapped, b text);
CREATE FUNCTION trap_cast(trapped_row) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'trapped'; RETURN 'x'; END $$;
CREATE CAST (trapped_row AS text) WITH FUNCTION trap_cast(trapped_row);
CREATE TABLE mine (a trapped, b trapped_row, c text[], d text GENERATED ALWAYS AS (trap_text('x')) STORED, e text);
INSERT INTO mine (a, b, c, e) SELECT t, ROW(t, t)::trapped_row, ARRAY[t], t FROM (SELECT fernet_encrypt('x')) AS s(t);
CREATE INDEX ON mine (trap_text(e)) WHERE trap(e);
CREATE STATISTICS of_mine ON (trap_text(e)), (trap_text(a)) FROM mine;
CREATE VIEW a_view AS SELECT trap_text(e) AS e FROM mine;
CREATE RULE a_rule AS ON UPDATE TO mine DO ALSO SELECT trap();
CREATE TABLE lists (e text) PARTITION BY LIST (trap_text(e));
CREATE TABLE list PARTITION OF lists DEFAULT;
INSERT INTO lists SELECT fernet_encrypt('x');
CREATE POLICY trapped ON mine USING (trap());
ALTER TABLE mine ENABLE ROW LEVEL SECURITY;
SQL
unlike($err, qr/ERROR/, 'traps are set');
like($err, qr/trapped/, 'and they work');
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION on_event() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'trapped'; END $$;
CREATE EVENT TRIGGER on_event ON ddl_command_start EXECUTE FUNCTION on_event();
SQL
($out, $err) = session($node, <<'SQL', options => "$both -csearch_path=public,pg_catalog");
SELECT relation, column_name, status, tokens FROM public.fernet_find_tokens();
SQL
is($err, '', 'no code of others runs');
same($out, <<'ROWS' =~ s/\n\z//r, 'and everything is found');
lists|e|secondary|1
mine|a|secondary|1
mine|b|secondary|2
mine|c|secondary|1
mine|e|secondary|1
secret|token|secondary|10
ROWS
$node->safe_psql('postgres', 'DROP EVENT TRIGGER on_event; DROP OWNED BY attacker CASCADE');

# ---------------------------------------------------------------------------
# what cannot be read is named
# ---------------------------------------------------------------------------

my $other = $node->background_psql('postgres');
$other->query_safe("CREATE TEMPORARY TABLE of_other AS SELECT 'x' AS token");
$node->safe_psql('postgres', <<'SQL');
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE foreign_one (token text) SERVER files OPTIONS (filename '/no/such/file');
CREATE FOREIGN TABLE foreign_numbers (id integer) SERVER files OPTIONS (filename '/no/such/file');
CREATE TABLE parted (id integer, token text) PARTITION BY RANGE (id);
CREATE TABLE parted_local PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE FOREIGN TABLE parted_foreign PARTITION OF parted FOR VALUES FROM (10) TO (20) SERVER files OPTIONS (filename '/no/such/file');
INSERT INTO parted SELECT 1, token FROM secret;
CREATE TABLE damaged (token text);
ALTER TABLE damaged ALTER token SET STORAGE EXTERNAL;
INSERT INTO damaged VALUES (repeat('x', 10000));
CREATE EXTENSION pg_surgery;
SELECT heap_force_kill(reltoastrelid, '{"(0,1)"}') FROM pg_class WHERE oid = 'damaged'::regclass;
CREATE ACCESS METHOD heap_too TYPE TABLE HANDLER heap_tableam_handler;
CREATE TABLE by_other_method (token text) USING heap_too;
INSERT INTO by_other_method SELECT token FROM secret;
SQL
my $rows = found('');
like($rows, qr/^pg_temp_\d+\.of_other\|\|not read\|\|It is a temporary table of another session\.$/m, 'a temporary table of another session');
like($rows, qr/^foreign_one\|\|not read\|\|It is a foreign table\.$/m, 'a foreign table');
unlike($rows, qr/foreign_numbers/, 'a foreign table without such columns is nothing');
like($rows, qr/^parted_foreign\|\|not read\|/m, 'a foreign partition');
like($rows, qr/^parted\|token\|secondary\|10\|$/m, 'beside others that were read');
like($rows, qr/^damaged\|\|not read\|\|Reading it failed with SQLSTATE XX001\.$/m, 'a damaged table');
like($rows, qr/^by_other_method\|token\|secondary\|10\|$/m, 'heap by another name is read');
like($rows, qr/^secret\|token\|secondary\|10\|$/m, 'and all others are');
(undef, $err) = session($node, "SELECT fernet_assert_database_rotated()", options => $both);
like($err, qr/ERROR:  PF007: .*Not read: .*public\.damaged \(.*XX001\.\), .*public\.foreign_one \(/s, 'the gate names them');
like($err, qr/of_other \(It is a temporary table of another session\.\)/, 'temporary tables of other sessions too');
(undef, $err) = session($node, "SELECT fernet_assert_database_rotated(except_places => '{pg_temp}')", options => $both);
unlike($err, qr/of_other/, 'unless they are left out');
$other->query_safe('DROP TABLE of_other');
$node->safe_psql('postgres', 'DROP SERVER files CASCADE; DROP TABLE damaged, by_other_method');

# ---------------------------------------------------------------------------
# locks
# ---------------------------------------------------------------------------

$other->query_safe('BEGIN; LOCK TABLE parted IN ACCESS EXCLUSIVE MODE');
$rows = found('', options => "$both -clock_timeout=50ms");
like($rows, qr/^parted\|\|not read\|\|Reading it failed with SQLSTATE 55P03\.$/m, 'a table that is locked for too long is not read');
like($rows, qr/^secret\|token\|secondary\|10\|$/m, 'and others are');
my $search = start_session($node, 'SELECT count(*) FROM fernet_find_tokens()', options => $both, name => 'search');
my $pid = "SELECT pid FROM pg_stat_activity WHERE application_name = 'search' AND wait_event_type = 'Lock'";
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM ($pid) AS s") or BAIL_OUT('the search does not wait');
$node->safe_psql('postgres', "SELECT pg_cancel_backend(($pid))");
(undef, $err) = finish_session($search);
like($err, qr/ERROR:  57014:/, 'it is cancelled while it waits for a lock');
$other->query_safe('ROLLBACK');

# ---------------------------------------------------------------------------
# many tables
# ---------------------------------------------------------------------------

$node->safe_psql('postgres', <<"SQL");
DO \$\$ BEGIN FOR i IN 1 .. $tables LOOP
	EXECUTE format('CREATE TABLE many_%s (id integer, a text, b jsonb)', i);
	EXECUTE format('INSERT INTO many_%s SELECT 1, token, to_jsonb(token) FROM public.secret LIMIT 1', i);
	IF i % 100 = 0 THEN COMMIT; END IF;
END LOOP; END \$\$;
SQL
($out, $err) = session($node, "SELECT count(DISTINCT relation), sum(tokens) FROM fernet_find_tokens() WHERE relation::text LIKE 'many%'", options => $both);
same($out, "$tables|" . 2 * $tables, "$tables tables");
(undef, $err) = session($node, 'SELECT fernet_find_tokens()', options => "$both -cstatement_timeout=1ms");
like($err, qr/ERROR:  57014:/, 'and it is cancelled there');
if ($ENV{FERNET_LONG})
{
	# What the server keeps of each table that was opened is there before.
	($out, $err) = session($node, <<'SQL', options => $both);
CREATE FUNCTION pg_temp.peak() RETURNS bigint LANGUAGE sql AS $$
	SELECT (regexp_match(pg_read_file('/proc/' || pg_backend_pid() || '/status'), 'VmHWM:\s+(\d+)'))[1]::bigint $$;
DO $$ BEGIN FOR i IN 0 .. 19 LOOP
	PERFORM fernet_find_tokens(relations => (SELECT array_agg(oid::regclass) FROM pg_class WHERE relname ~ '^many_\d+$' AND oid::bigint % 20 = i));
END LOOP; END $$;
SELECT pg_temp.peak() AS before \gset
SELECT count(*) > 0 FROM fernet_find_tokens();
SELECT pg_temp.peak() - :before < 8192;
SQL
	same("$out$err", "t\nt", 'in flat memory');
	$node->append_conf('postgresql.conf', "max_locks_per_transaction = 10\nmax_prepared_transactions = 0");
	$node->restart;
	(undef, $err) = session($node, 'SELECT fernet_assert_database_rotated()', options => $both);
	like($err, qr/ERROR:  53200: out of shared memory\nHINT:  You might need to increase max_locks_per_transaction/, 'the gate says what to do for more locks');
	like(found('', options => "$both -clock_timeout=0"), qr/^secret\|token\|secondary\|10\|$/m, 'the search needs no more');
	$node->append_conf('postgresql.conf', "max_locks_per_transaction = 64\nmax_prepared_transactions = 5");
	$node->restart;
	$other = $node->background_psql('postgres');
}
$node->safe_psql('postgres', <<"SQL");
DO \$\$ BEGIN FOR i IN 1 .. $tables LOOP
	EXECUTE format('DROP TABLE many_%s', i);
	IF i % 100 = 0 THEN COMMIT; END IF;
END LOOP; END \$\$;
SQL

# ---------------------------------------------------------------------------
# the gate waits for whoever has written anything
# ---------------------------------------------------------------------------

my $gate = "SET lock_timeout = '100ms'; SELECT fernet_assert_database_rotated()";
session($node, "CALL fernet_rotate_column('secret', 'token'); CALL fernet_rotate_column('parted', 'token')", options => $both);
session($node, "CALL fernet_rotate_column('parted', 'token')", options => $both);
(undef, $err) = session($node, $gate, options => $both);
unlike($err, qr/ERROR/, 'everything is rotated');
my $holder = "DO \$x\$ BEGIN EXECUTE format('CREATE FUNCTION holder() RETURNS text LANGUAGE plpgsql AS %L', 'BEGIN RETURN ''' || fernet_encrypt('x') || '''; END'); END \$x\$";
my $with_old = $node->background_psql('postgres');
$with_old->query_safe("SET fernet.key = '$old'");
$with_old->query_safe("BEGIN; $holder");
(undef, $err) = session($node, $gate, options => $both);
like($err, qr/ERROR:  55006: open transactions may still write old values to the database\nDETAIL:  They are: process \d+\./, 'a function that is not committed yet');
$with_old->query_safe("PREPARE TRANSACTION 'a function'");
(undef, $err) = session($node, $gate, options => $both);
like($err, qr/ERROR:  55006: .*\n.*prepared transaction 'a function'/, 'nor when it is prepared');
$node->safe_psql('postgres', "COMMIT PREPARED 'a function'");
(undef, $err) = session($node, $gate, options => $both);
like($err, qr/ERROR:  PF007: 1 of 21 tokens .*\n.* They are in function public\.holder\(\)\./, 'then it is found');
$node->safe_psql('postgres', 'DROP FUNCTION holder(); CREATE DATABASE other');
my $elsewhere = $node->background_psql('other');
$elsewhere->query_safe('BEGIN; CREATE TABLE t (id integer)');
(undef, $err) = session($node, $gate, options => $both);
unlike($err, qr/ERROR/, 'nobody waits for other databases');
$elsewhere->quit;
$with_old->query_safe("BEGIN; INSERT INTO secret SELECT fernet_encrypt('x')");
my $waiting = start_session($node, 'SELECT fernet_assert_database_rotated()', options => $both, name => 'gate');
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'gate' AND wait_event = 'Extension'")
  or BAIL_OUT('the gate does not wait');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_locks WHERE relation = 'secret'::regclass AND pid = (SELECT pid FROM pg_stat_activity WHERE application_name = 'gate')"), 0,
	'it waits without a lock');
$with_old->query_safe('COMMIT');
(undef, $err) = finish_session($waiting);
like($err, qr/ERROR:  PF007: 1 of 21 tokens/, 'and sees what was committed meanwhile');
$with_old->quit;
$other->quit;

$node->stop;
done_testing();
