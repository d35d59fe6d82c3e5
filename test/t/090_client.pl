# The program pg_fernet, by what it prints, how it ends, and what the server then
# holds. Databases without the extension, and kills, are in 091_client_way; what
# somebody sees at a terminal is in 096_client_terminal.

use strict;
use warnings;

use FernetTest qw(:DEFAULT same session slurp start_session finish_session);
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($old, $new, $other) = (new_key(), new_key(), new_key());
my $superuser = $ENV{PGUSER} // getpwuid($<);
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
# Whatever is not switched off for a session is logged.
$node->append_conf('postgresql.conf', <<'CONF');
log_statement = all
log_min_duration_statement = 0
log_parameter_max_length_on_error = -1
CONF
$node->start;
my $folder = PostgreSQL::Test::Utils::tempdir();

# client runs the program with the keys, and returns status, output and errors.
sub client
{
	my ($keys, @arguments) = @_;
	local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGUSER => $superuser, PGDATABASE => 'postgres');
	delete $ENV{FERNET_KEY};
	$ENV{FERNET_KEY} = $keys if defined $keys;
	IPC::Run::run([ 'pg_fernet', @arguments ], '<', \undef, '>', \my $out, '2>', \my $err);
	return ($? >> 8, $out, $err);
}

# ends tests status, output and errors of a call.
sub ends
{
	my ($name, $keys, $arguments, $status, $out, $err) = @_;
	my @got = client($keys, @$arguments);
	is($got[0], $status, "$name: status");
	ref $out ? like($got[1], $out, "$name: output") : same($got[1], $out, "$name: output") if defined $out;
	ref $err ? like($got[2], $err, "$name: errors") : same($got[2], $err, "$name: errors") if defined $err;
	return @got;
}

# ---------------------------------------------------------------------------
# the command line
# ---------------------------------------------------------------------------

ends('--help', undef, ['--help'], 0, qr/^pg_fernet finds .*\nUsage:\n.*--key-file=FILE.*Exit status: 0/s, '');
ends('--help of a command', undef, [ 'rotate', '--help' ], 0, qr/^pg_fernet finds /, '');
ends('--version', undef, ['--version'], 0, qr/^pg_fernet \d+\.\d+\.\d+\n$/, '');
ends('no command', undef, [], 1, '', qr/no command is given: say check or rotate/);
ends('another command', undef, ["x\e[31m"], 1, '', qr/unknown command "x\\x1b\[31m"/);
ends('an option of the other command', undef, [ 'check', '--yes' ], 1, '', qr/that option is for pg_fernet rotate/);
ends('a wrong option', undef, [ 'check', '--no-such' ], 1, '', qr/unknown option, or no value for it: "--no-such"/);
my @got = ends('a key in place of a file', undef, [ 'check', "--key=$new" ], 1, '', qr/could not open the key file: No such file/);
unlike("$got[1]$got[2]", qr/\Q$new\E/, 'and the key is not shown');
ends('no value', undef, [ 'check', '--key-file' ], 1, '', qr/unknown option, or no value for it: "--key-file"/);
ends('jobs', undef, [ 'check', '-j', '0' ], 1, '', qr/--jobs must be a number from 1 to 256/);
ends('a column', undef, [ 'rotate', '--column=a.b' ], 1, '', qr/"a\.b" is not of the form schema\.table\.column/);
ends('a pattern', undef, [ 'check', '-t', 'a.b.c' ], 1, '', qr/has too many dots/);
ends('too much', undef, [ 'check', 'a', 'b', ], 1, '', qr/too many arguments/);

# ---------------------------------------------------------------------------
# keys
# ---------------------------------------------------------------------------

@got = ends('a wrong key', "$new,${old}x", ['check'], 1, '', qr/invalid Fernet key at position 2 of the list\n.*hint: The key is 45 bytes long/);
unlike($got[2], qr/\Q$old\E/, 'and its text is not shown');
ends('a key twice', "$new,$new", ['check'], 1, '', qr/position 2.*\n.*The same key is earlier in the list/);
ends('no file', undef, [ 'check', '--key-file=/nowhere/x' ], 1, '', qr/could not open the key file/);
ends('no key', undef, ['rotate'], 1, '', qr/no key was given/);
ends('no extension', $new, [ 'rotate', '--way=server' ], 1, '', qr/the extension pg_fernet is not in the database "postgres"/);
ends('no server', $new, [ 'check', '-h', '/nowhere' ], 1, '', qr/No such file or directory/);

# ---------------------------------------------------------------------------
# find
# ---------------------------------------------------------------------------

my ($out, $err) = session($node, <<'SQL', options => "-c fernet.key=$old -c client_min_messages=warning");
CREATE EXTENSION pg_fernet;
CREATE TABLE connection (id integer PRIMARY KEY, password text, note text);
INSERT INTO connection SELECT n, fernet_encrypt('x'), 'x' FROM generate_series(1, 300) AS n;
CREATE TABLE parts (id integer, document jsonb) PARTITION BY RANGE (id);
CREATE TABLE low PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE high PARTITION OF parts FOR VALUES FROM (10) TO (20);
INSERT INTO parts SELECT n, jsonb_build_object('a', fernet_encrypt('x')) FROM generate_series(0, 19) AS n;
CREATE TABLE other (t text);
CREATE SCHEMA "a ""Schema";
SELECT format(E'CREATE TABLE "a ""Schema".%I (%I text)', E'%s\n\x1b[31mERROR: "red"', E'C\\,{%n\n}') \gexec
SELECT format(E'INSERT INTO "a ""Schema".%I SELECT fernet_encrypt(''x'')', E'%s\n\x1b[31mERROR: "red"') \gexec
SQL
same($err, '', 'tokens');

my $strange = q("a ""Schema"."%s\n\x1b[31mERROR: ""red"""."C\,{%n\n}");
my ($first, $second) = map { (session($node, 'SELECT fingerprint FROM fernet_keys()', options => "-c fernet.key=$_"))[0] } $new, $old;
ends('check', "$new,$old", ['check'], 2,
	qr/^database postgres, 4 tables, \d+ kB, read by the server\n  place  .*\n  \Q$strange\E  +1  whole   key 2, $second\n  public\.connection\.password  +300  whole   key 2, $second\n  public\.parts\.document  +20  inside  key 2, $second\n321 of 321 tokens are not encrypted with the first key: 321 with another key of the list\.\n$/, '');
ends('check with the key of the tokens', $old, [ 'check', '--quiet' ], 0, qr/\nThe first key decrypts all 321 tokens\.\n$/, '');
ends('check with another key', $new, ['check'], 2, qr/321 with no key of the list/, '');
ends('check that leaves unknown tokens', "$old,$other", [ 'check', '--on-unknown=leave' ], 0);
ends('check without a key', undef, ['check'], 2, qr/No key was given, so 321 tokens could not be tried/, '');
ends('patterns', $old, [ 'check', '-j2', '-t', 'Con*', '-t', 'public.?arts', '-T', 'nothing' ], 0, qr/, 2 tables, .*\n.*\n.*connection.*\n.*parts.*\nThe first key decrypts all 320 tokens\.\n$/, '');
ends('a schema', $old, [ 'check', '-n', '"a ""Schema"' ], 0, qr/, 1 table, .*the only token\./s, '');
ends('all but', $old, [ 'check', '-N', 'public' ], 0, qr/the only token\./, '');
ends('a pattern for nothing', $old, [ 'check', '-t', 'public.nothing*' ], 1, '', qr/no table matches the pattern "public\.nothing\*"/);
ends('a place that need not be read', "$new,$old", [ 'check', '--except=public.connection', '--except=public.parts.document' ], 2, qr/1 of 1 token is not/, '');
ends('no token', $old, [ 'check', '-t', 'other' ], 2, qr/No token was found\./, '');
ends('a partition alone', $old, [ 'check', '-t', 'low' ], 0, qr/all 10 tokens/, '');
ends('a partition cannot be left out', $old, [ 'check', '-T', 'low' ], 1, '', qr/the partition public\.low cannot be left out without its table/);
@got = ends('JSON', "$new,$old", [ 'check', '--json' ], 2, qr/^\{.*\}\n$/, '');
my $document = decode_json($got[1]);
is($document->{databases}[0]{secondary}, 321, 'JSON: its counts');
is($document->{databases}[0]{places}[0]{column}, qq("C\\,{%n\n}"), 'JSON: a strange name');
@got = ends('a list of columns', "$new,$old", [ 'check', '--list-columns' ], 2, qr/\npublic\.connection\.password\npublic\.parts\.document\n$/, '');
append_to_file("$folder/columns", "# all\n\n$got[1]");

# ---------------------------------------------------------------------------
# rotate
# ---------------------------------------------------------------------------

# indexes counts the tokens of connection by key.
sub indexes
{
	my ($keys) = @_;
	my ($counts) = session($node, 'SELECT fernet_key_index(password), count(*) FROM connection GROUP BY 1 ORDER BY 1', options => "-c fernet.key=$keys");
	return $counts;
}

ends('nobody has confirmed', "$new,$old", ['rotate'], 1, qr/^database postgres/, qr/nobody has confirmed which columns to rotate/);
is(indexes("$new,$old"), '2|300', 'and nothing is rotated');
ends('a dry run', "$new,$old", [ 'rotate', '--dry-run', '--quiet' ], 0, '', '');
is(indexes("$new,$old"), '2|300', 'rotates nothing');
ends('a column that is none', "$new,$old", [ 'rotate', '--column=public.connection.nothing' ], 1, '', qr/there is no column public\.connection\.nothing/);
ends('one column', "$new,$old", [ 'rotate', '--column=public.connection.password' ], 2,
	qr/^public\.connection: 300 rotated, 0 unchanged, 0 failed\ndatabase postgres: something is left\. /,
	qr/error: database postgres: 21 of 321 tokens in the database are not encrypted with the first key\n.*detail: .*public\.parts\.document/);
is(indexes("$new,$old"), '1|300', 'is rotated');
ends('the table that is rotated', "$new,$old", [ 'rotate', '--yes', '--quiet', '-t', 'connection' ], 0, "database postgres: every token in the tables that were named is encrypted with the first key.\n", '');
append_to_file("$folder/keys", "$new,\n$old\n");
@got = ends('columns of a file', undef, [ 'rotate', '-j', '2', '--json', "--key-file=$folder/keys", "--columns-from=$folder/columns" ], 0, qr/^\{.*\}\n$/, '');
$document = decode_json($got[1]);
is($document->{exit_status}, 0, 'JSON: the status');
ok($document->{databases}[0]{proved}, 'JSON: proved');
is_deeply([ sort map { "$_->{table} $_->{rotated} $_->{unchanged} $_->{failed}" } @{ $document->{databases}[0]{pieces} } ],
	[ qq("a ""Schema"."%s\n\e[31mERROR: ""red""" 1 0 0), 'public.connection 0 300 0', 'public.parts 20 0 0' ], 'JSON: the tables');
ends('check with the new key alone', $new, ['check'], 0, qr/The first key decrypts all 321 tokens\./, '');

# what cannot be rotated
session($node, "INSERT INTO connection SELECT 301, fernet_encrypt('x')", options => "-c fernet.key=$other");
ends('a token of another key', "$old,$new", [ 'rotate', '--yes', '-q', '-t', 'connection' ], 2, qr/something is left/,
	qr/warning: public\.connection: value at ctid .*error: public\.connection: 1 of 301 values .*could not be rotated/s);
ends('that is left', "$new,$old", [ 'rotate', '--yes', '-q', '--on-unknown=leave' ], 0, qr/is encrypted with the first key, but for those that no key decrypts\./, qr/notice: .*no key of the session decrypts 1 tokens/);

# several databases
$node->safe_psql('postgres', 'CREATE DATABASE without');
ends('all databases', "$new,$old", [ 'check', '--all', '--on-unknown=leave' ], 2, qr/\ndatabase without, 0 tables, 0 bytes, read by this program\n.*\n  everything outside of tables .* not read\n1 place was not read: nothing is known about it\.\n$/, '');

# a database without the extension is read by the program, and all types are found
my ($made) = session($node, q{SELECT format('CREATE EXTENSION hstore; CREATE TYPE pair AS (a text, b bytea); CREATE DOMAIN tokens AS text CHECK (VALUE <> %L);'
	' CREATE TABLE holder AS SELECT x::text AS a, x::varchar(300) AS b, x::char(300) AS c, x::bytea AS d, to_json(x) AS e, to_jsonb(x) AS f, hstore(%L, x) AS g,'
	' ARRAY[NULL, x] AS h, ROW(x, x::bytea)::pair AS i, x::tokens AS j, xmlelement(name a, x) AS k, encode(x::bytea, %L) AS l, 1 AS m, %L::tsvector AS n FROM (VALUES (%L)) AS t(x)',
	'', 'a', 'hex', 'a b', fernet_encrypt(fernet_encrypt('x')))}, options => "-c fernet.key=$new");
$node->safe_psql('without', $made);
@got = ends('without the extension', "$new,$old", [ 'check', 'without' ], 2, qr/, 1 table, .*, read by this program\n/, '');
is(join(' ', $got[1] =~ /holder\.(\w +\d+  \w+)  .*key 1/g) =~ s/ +/ /gr, join(' ', map({ "$_ 1 whole $_ 1 nested" } 'a' .. 'd'), map({ "$_ 1 inside $_ 1 nested" } 'e' .. 'h'), 'i 1 inside i 1 encoded i 2 nested', 'j 1 whole j 1 nested', 'k 1 inside k 1 nested', 'l 1 encoded l 1 nested'),
	'without the extension: what is where');
like($got[1], qr/everything outside of tables +not read\n.*holder\.n +not read: A part is of type tsvector/s, 'without the extension: what is not read');
ends('but for what need not be read', "$new,$old", [ 'check', 'without', '--except=everything outside of tables', '--except=public.holder.n' ], 0, qr/The first key decrypts all 26 tokens\./, '');
ends('with another key', $old, [ 'check', 'without', '-t', 'holder' ], 2, qr/with no key of the list/, '');

# the output is not taken
SKIP:
{
	skip 'no /dev/full', 1 if !-e '/dev/full';
	local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, FERNET_KEY => $new);
	IPC::Run::run([ 'pg_fernet', 'check', '-d', 'postgres' ], '>', '/dev/full', '2>', \$err);
	is(join(' ', $? >> 8, $err), "1 pg_fernet: error: could not write to the standard output\n", 'the output is not taken');
}

# ---------------------------------------------------------------------------
# the key is nowhere
# ---------------------------------------------------------------------------

$node->safe_psql('postgres', 'CREATE ROLE ordinary LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO ordinary');
ends('a role that may not keep it out of the log', "$new,$old", [ 'check', '-U', 'ordinary' ], 1, '',
	qr/the server may write the keys into its log, because of the setting "log_parameter_max_length"\n.*hint: .*GRANT SET ON PARAMETER log_parameter_max_length/);
$node->safe_psql('postgres', 'GRANT SET ON PARAMETER log_parameter_max_length TO ordinary');
ends('a role that may', "$new,$old", [ 'check', '-U', 'ordinary', '-t', 'connection', '--on-unknown=leave' ], 0, qr/300 tokens/, '');
my $log = slurp($node->logfile);
like($log, qr/set_config\('fernet\.key'/, 'the log has the statement');
unlike($log, qr/\Q$_\E/, 'and no key') foreach $new, $old;

# ---------------------------------------------------------------------------
# trouble in the middle
# ---------------------------------------------------------------------------

$node->safe_psql('postgres', 'DELETE FROM connection WHERE id = 301; CREATE TABLE held AS SELECT id, password FROM connection WHERE id < 5');

# rotating starts the program, and has $tamper called when the job can only wait
# for a row that another session holds: all others are done in the first pass. Then the row is free again, unless
# $tamper returns false. Returns status, output and errors of the program.
sub rotating
{
	my ($keys, $tamper, @arguments) = @_;
	my $holder = start_session($node, 'BEGIN; SELECT 1 FROM held WHERE id = 1 FOR UPDATE; SELECT pg_sleep(600)', name => 'holder');
	$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'holder' AND query LIKE 'SELECT pg_sleep%'")
		or die 'no row is held';
	local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGUSER => $superuser, PGDATABASE => 'postgres', FERNET_KEY => $keys);
	my ($out, $err) = ('', '');
	my $program = IPC::Run::start([ 'env', 'PGAPPNAME=pg_fernet', 'pg_fernet', 'rotate', '--yes', '-t', 'held', @arguments ], '<', \undef, '>', \$out, '2>', \$err);
	$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM fernet_rotation_progress JOIN pg_stat_activity AS a USING (pid) WHERE a.application_name = 'pg_fernet' AND a.query LIKE 'CALL%' AND fernet_rotation_progress.pass > 1")
		or die 'no job waits';
	$tamper->($program);
	$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'holder'");
	IPC::Run::finish($program);
	my $status = $? >> 8;
	finish_session($holder);
	return ($status, $out, $err);
}

my $sessions = "FROM pg_stat_activity WHERE application_name = 'pg_fernet'";
@got = rotating("$old,$new", sub { $_[0]->signal('INT'); $node->poll_query_until('postgres', "SELECT count(*) = 0 $sessions") });
is($got[0], 3, 'Ctrl-C: status');
like($got[2], qr/error: cancelled\n.*hint: What is done is committed\. The same command goes on from there\.$/, 'Ctrl-C: words');
@got = rotating("$old,$new", sub { $node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) $sessions AND query LIKE 'CALL%'") });
is($got[0], 0, 'a session of the program is terminated: status');
like($got[1], qr/\npublic\.held: 1 rotated, 3 unchanged, 0 failed\n.*every token in the tables that were named is encrypted/, 'and its work is begun anew');
@got = rotating("$new,$old", sub { $node->restart });
is($got[0], 0, 'the server is restarted: status');
like($got[1], qr/every token in the tables that were named is encrypted/, 'and the work is done');
@got = rotating("$old,$new", sub { $node->safe_psql('postgres', "SELECT pg_cancel_backend(pid) $sessions AND query LIKE 'CALL%'") });
is($got[0], 2, 'a DBA cancels the rotation: status');
like($got[2], qr/error: public\.held: canceling statement due to user request/, 'and the program says so');
@got = client("$new,$old", 'rotate', '--yes', '--pause', 'x');
like(join(' ', @got), qr/^1 .*invalid input syntax for type interval: "x"/s, 'a wrong interval stops it before it begins');
$node->append_conf('postgresql.conf', 'default_transaction_read_only = on');
$node->reload;
@got = client("$new,$old", 'rotate', '--yes');
like(join(' ', @got), qr/^1 .*the sessions of this role are read-only/s, 'a server that is read-only');

$node->stop;
done_testing();
