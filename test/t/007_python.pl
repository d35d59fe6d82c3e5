# Python's cryptography and pg_fernet read each other's tokens: text and bytes
# of every size around the cipher's blocks and of 1 MiB, under each key of a
# MultiFernet, before and after rotation, which leaves the timestamp as it is;
# and they agree to the second on when a token has expired. Python's side is in
# 007_python.py.

use strict;
use warnings;

use Cwd            qw(abs_path);
use File::Basename qw(dirname);
use FernetTest     qw(:DEFAULT same session);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $python = '/usr/bin/python3';
my $script = dirname(abs_path($0)) . '/007_python.py';
plan skip_all => 'needs Python with cryptography'
  unless -x $python
  && IPC::Run::run([ $python, '-c', 'import cryptography.fernet' ],
	'>', '/dev/null', '2>&1');

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', <<'CONF');
log_statement = none
session_preload_libraries = 'pg_fernet'
CONF
$node->start;

# COPY wants the whole path.
my $folder = abs_path($node->basedir) . '/exchange';
mkdir $folder or die "$folder: $!";

# python runs its side and returns what it says; a traceback would show values.
sub python
{
	my ($what) = @_;
	my ($out, $err) = ('', '');
	my $ok = IPC::Run::run([ $python, $script, $what, $folder ],
		'>', \$out, '2>', \$err);
	ok($ok, "Python can $what");
	my ($exception) = $err =~ /^([A-Za-z.]+)(?::.*)?\Z/m;
	diag("it ends with $exception") if defined $exception;
	return $out;
}

python('make');
my $options = '-c fernet.key=' . slurp("$folder/keys");

# sql returns what $sql prints in a session with the keys of Python.
sub sql
{
	my ($name, $sql, $database) = @_;
	my ($out, $err) =
	  session($node, $sql, options => $options, database => $database);
	same($err, '', "$name: no error");
	return $out;
}

# ---------------------------------------------------------------------------
# From Python to SQL

sql('tables', <<"SQL");
CREATE EXTENSION pg_fernet;
CREATE TABLE made (name text, is_text boolean, plaintext text, token text,
	key_index integer, created bigint);
COPY made FROM '$folder/tokens';
ALTER TABLE made ALTER plaintext TYPE bytea USING decode(plaintext, 'hex');
CREATE TABLE age (token text, ttl integer, now bigint, accepted boolean);
COPY age FROM '$folder/ages';
CREATE TABLE rotated (name text, plaintext text, token text, created bigint);
COPY rotated FROM '$folder/rotated';
SQL
my $count =
  sql('made', 'SELECT count(*), max(octet_length(plaintext)) FROM made');
same($count, '50|1048576', 'there are tokens by Python, one of 1 MiB');

# Each query names the tokens that are not as they should be.
my %wrong = (
	'as bytes' => <<'SQL',
SELECT name FROM made
	WHERE fernet_decrypt_bytea(token) IS DISTINCT FROM plaintext
	OR fernet_decrypt_bytea(convert_to(token, 'UTF8'))
		IS DISTINCT FROM plaintext;
SQL
	'as text' => <<'SQL',
SELECT name FROM made WHERE is_text
	AND (fernet_decrypt(token) IS DISTINCT FROM convert_from(plaintext, 'UTF8')
	OR fernet_decrypt(convert_to(token, 'UTF8'))
		IS DISTINCT FROM convert_from(plaintext, 'UTF8'));
SQL
	'with what is known of them' => <<'SQL',
SELECT name FROM made
	WHERE fernet_key_index(token) IS DISTINCT FROM key_index
	OR extract(epoch FROM fernet_timestamp(token)) IS DISTINCT FROM created
	OR NOT fernet_verify(token) OR NOT fernet_is_token(token);
SQL
	'as Python has rotated them' => <<'SQL',
SELECT name FROM rotated
	WHERE fernet_decrypt_bytea(token) IS DISTINCT FROM decode(plaintext, 'hex')
	OR fernet_key_index(token) IS DISTINCT FROM 1
	OR extract(epoch FROM fernet_timestamp(token)) IS DISTINCT FROM created;
SQL
	'by their age' => <<'SQL');
SELECT ttl, now FROM age WHERE fernet_verify(token, make_interval(secs => ttl),
	to_timestamp(now)) IS DISTINCT FROM accepted;
SQL
foreach my $how (sort keys %wrong)
{
	same(sql($how, $wrong{$how}), '', "tokens by Python are read $how");
}
same(
	sql('ages', 'SELECT count(*), count(*) FILTER (WHERE accepted) FROM age'),
	'45|34',
	'and some ages are accepted, some are not');

# ---------------------------------------------------------------------------
# From SQL to Python

# Tokens by fernet_encrypt, fernet_rotate and fernet_rotate_column, and those
# of text in a database that is not UTF-8.
sql('encrypt', <<"SQL");
CREATE TABLE out (what text, plaintext bytea, token text, created bigint);
INSERT INTO out SELECT 'encrypted bytes, ' || name, plaintext,
	fernet_encrypt(plaintext, to_timestamp(created)), created FROM made;
INSERT INTO out SELECT 'encrypted text, ' || name, plaintext,
	fernet_encrypt(convert_from(plaintext, 'UTF8'), to_timestamp(created)),
	created FROM made WHERE is_text;
INSERT INTO out SELECT 'rotated, ' || name, plaintext,
	fernet_rotate(token), created FROM made;
INSERT INTO out SELECT 'rotated bytes, ' || name, plaintext,
	convert_from(fernet_rotate(convert_to(token, 'UTF8')), 'UTF8'), created
	FROM made;
SET client_min_messages = warning;
CALL fernet_rotate_column('made', 'token');
INSERT INTO out SELECT 'rotated by column, ' || name, plaintext,
	token, created FROM made;
CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1';
SQL
same(
	sql('rotated',
		'SELECT count(*) FROM made WHERE fernet_key_index(token) <> 1'),
	0,
	'every token of a column is rotated');
sql('latin', <<"SQL", 'latin');
CREATE EXTENSION pg_fernet;
SET client_encoding = 'UTF8';
CREATE TABLE out AS SELECT 'text of LATIN1' AS what,
	convert_to(t, 'UTF8') AS plaintext,
	fernet_encrypt(t, to_timestamp(1234567890)) AS token,
	1234567890 AS created
	FROM (SELECT 'Gr\x{c3}\x{bc}\x{c3}\x{9f}e'::text AS t) AS umlauts;
COPY (SELECT what, encode(plaintext, 'hex'), token, created FROM out)
	TO '$folder/latin';
SQL
sql('files', <<"SQL");
COPY (SELECT what, encode(plaintext, 'hex'), token, created FROM out)
	TO '$folder/made';
COPY (SELECT token, ttl, now, fernet_verify(token, make_interval(secs => ttl),
	to_timestamp(now)) FROM age) TO '$folder/judged';
SQL

# Keys by fernet_generate_key, each with a token.
sql('keys', <<"SQL");
CREATE TABLE generated AS SELECT fernet_generate_key() AS key, NULL AS token
	FROM generate_series(1, 100);
DO \$\$
DECLARE
	one text;
BEGIN
	FOR one IN SELECT key FROM generated LOOP
		PERFORM set_config('fernet.key', one, true);
		UPDATE generated SET token = fernet_encrypt('made with it'::text)
			WHERE key = one;
	END LOOP;
END \$\$;
COPY generated TO '$folder/generated';
SQL

# Both files of tokens are one for Python.
open(my $made, '>>', "$folder/made") or die "made: $!";
print $made slurp("$folder/latin");
close $made;
my $rows = 50 * 4 + 26 + 1;    # 26 are text, 1 is of the other database
same(
	python('check'),
	"checked ${\ (4 * $rows + 100 + 45)}, failed 0\n",
	'Python reads every token by SQL, and agrees on every age');

done_testing();
