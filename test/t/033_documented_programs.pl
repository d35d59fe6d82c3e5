# Runs the shell and Python blocks of README.md and docs/*.md, in the order of
# the pages, on a server with the database "app" that they use. The blocks that
# are not run are named below, with the reason: a new block is run, or this test
# fails. The regress tests run the SQL blocks.

use strict;
use warnings;

use DocsPage qw(blocks_of);
use FernetTest qw(:DEFAULT same session tell);
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# The beginnings of the blocks that are not run.
my %not_run = (
	'sudo apt-get install' => 'scripts/test-fresh does it',
	'cmake --preset' => 'check install, unit ctest and scripts/test-fresh do it',
	'sudo make' => 'scripts/test-fresh does it',
	'make' => 'check install, 031_extension_path and scripts/test-fresh do it',
	'scripts/demo' => 'the suite demo runs it',
	'scripts/test' => 'it is what runs this');

my ($old, $new) = (new_key(), new_key());
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "log_statement = none\n");
$node->start;
my $folder = PostgreSQL::Test::Utils::tempdir();

# README.md makes the database "app", with a sudo that has nothing to do.
mkdir "$folder/bin";
append_to_file("$folder/bin/sudo", qq(#!/bin/sh\nshift 2\nexec "\$@"\n));
chmod 0755, "$folder/bin/sudo";
my %env = (
	PATH => "$folder/bin:$ENV{PATH}",
	USER => 'reader',
	PGHOST => $node->host,
	PGPORT => $node->port,
	FERNET_KEY => $old,
	OLD_KEY => $old,
	NEW_KEY => $new);

# Code that the Python blocks assume.
my $prelude = <<'PY';
import base64
import hmac
import os

import psycopg

key = old_key = os.environ["OLD_KEY"]
new_key = os.environ["NEW_KEY"]
conn = psycopg.connect("dbname=app", autocommit=True)
PY
my $has_psycopg = IPC::Run::run([ 'python3', '-c', 'import psycopg' ], '>', \my $no, '2>&1');

# ask runs $sql in the database of the pages. No error is expected.
sub ask
{
	my ($sql, $options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($out, $err) = session($node, $sql, options => $options, database => 'app');
	same($err, '', 'no error') if $err ne '';
	return $out;
}

# The tables that the pages rotate, as they are before.
sub set_up
{
	ask(<<'SQL', "-c fernet.key=$old -c client_min_messages=warning");
DROP TABLE IF EXISTS connection, webhook;
CREATE TABLE connection (id integer PRIMARY KEY, password text);
CREATE TABLE webhook (id integer PRIMARY KEY, secret text);
INSERT INTO connection SELECT n, fernet_encrypt('password ' || n) FROM generate_series(1, 3000) AS n;
INSERT INTO webhook SELECT n, fernet_encrypt('secret ' || n) FROM generate_series(1, 3000) AS n;
SQL
	return;
}

my ($run, $rotations) = (0, 0);
foreach my $page ('README.md', glob('docs/*.md'))
{
	foreach my $block (blocks_of($page))
	{
		my ($language, $body) = @$block{qw(language body)};
		my $name = "$page, line $block->{line}: $language";
		next unless $language =~ /^(?:sh|python)$/;
		next if grep { index($body, $_) == 0 } keys %not_run;
		next if $language eq 'python' && !$has_psycopg;
		my $file = "$folder/block-" . ++$run;
		append_to_file($file, ($language eq 'python' ? $prelude : '') . $body);
		# The tables that a block rotates. The program rotates all.
		my @tables = grep { $body =~ /fernet_rotate_\w+\('$_'|pg_fernet rotate/ } qw(connection webhook);
		set_up() if @tables;
		my $interpreter = $language eq 'python' ? [ 'python3', '-B' ] : [ 'bash', '-eu', '-o', 'pipefail' ];
		my ($out, $status) =
		  DocsPage::run_program([ @$interpreter, $file ], folder => $folder, env => \%env);
		is($status, 0, "$name: succeeds") or tell($out);
		foreach my $table (@tables)
		{
			my $column = $table eq 'webhook' ? 'secret' : 'password';
			is(
				ask("SELECT fernet_assert_rotated('$table', '$column') IS NOT NULL", "-c fernet.key=$new"),
				't', "$name: $table is rotated");
			$rotations++;
		}
	}
}
cmp_ok($rotations, '>=', 5, 'the blocks that rotate were found');
is(ask('SHOW session_preload_libraries'), 'pg_fernet', 'README.md has the library loaded');
my $log = slurp($node->logfile);
is(join(',', map { forms_found_in($_, \$log) } $old, $new), '',
	'no key in the server log after all of them');

# docs/keys.md warns of this: a space in the connection options. A key that
# begins with a dash would be an option of its own, of which the server logs
# less.
my $cut_off = new_key();
$cut_off =~ s/^-/_/;
my (undef, $err) = session($node, 'SELECT 1', options => "-c fernet.key=$old, $cut_off");
like($err, qr/invalid command-line argument/, 'a space ends the option');
$log = slurp($node->logfile);
ok(scalar(forms_found_in($cut_off, \$log)), 'and the server logs what comes after it');
$node->stop;
done_testing();
