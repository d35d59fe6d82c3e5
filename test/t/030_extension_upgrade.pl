# Upgrades of the extension: every chain of step scripts gives the same catalogs
# as a fresh installation, an old script works with the new library, and an old
# library says so when it meets a new script, at CREATE EXTENSION, at ALTER
# EXTENSION, and in a session that loaded it before the files were replaced.
#
# The versions are those of sql/, and one more as an example, which exists here
# only: the next minor version, made from test/upgrade. Its step is changes.sql
# and new_objects.sql; its full script is the present one with the same changes
# made by hand, and new_objects.sql.

use strict;
use warnings;

use FernetTest    qw(:DEFAULT same session tell);
use OtherPostgres qw(copy_postgres must_run output_of);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $fixture = 'test/upgrade';
my ($current) = slurp('pg_fernet.control') =~ /^default_version = '(\d+\.\d+\.\d+)'/m;
my $next = $current =~ s{^(\d+)\.(\d+)\.\d+$}{"$1." . ($2 + 1) . '.0'}er;

# ---------------------------------------------------------------------------
# The next version, in a copy of this PostgreSQL

my $folder = PostgreSQL::Test::Utils::tempdir();
my $pg_config = copy_postgres('pg_config', "$folder/postgres");
my $library = output_of($pg_config, '--pkglibdir') . '/pg_fernet.so';
my $scripts = output_of($pg_config, '--sharedir') . '/extension';
my $old_library = output_of('pg_config', '--pkglibdir') . '/pg_fernet.so';
my $new_library = "$folder/new.so";

# write_file writes a file anew.
sub write_file
{
	my ($path, $text) = @_;
	open(my $file, '>', $path) or die "$path: $!";
	print $file $text;
	close $file or die "$path: $!";
	return;
}

# edited returns the text of a file in which each of @edits, a pair, has replaced
# the one place where it fits. A fixture that no longer fits would test nothing.
sub edited
{
	my ($path, @edits) = @_;
	my $text = slurp($path);
	foreach my $edit (@edits)
	{
		my ($from, $to) = @$edit;
		my $found = () = $text =~ /\Q$from\E/g;
		die "$path: found $found times, not once: $from" if $found != 1;
		$text =~ s/\Q$from\E/$to/;
	}
	return $text;
}

# install_library makes $from the library of the copy, as "make install" does: by
# a new file, since the old one is in use.
sub install_library
{
	my ($from) = @_;
	system('cp', '-L', $from, "$library.new") == 0 && rename("$library.new", $library)
	  or die "$library: $!";
	return;
}

my $tree = "$folder/tree";
my $log = "$PostgreSQL::Test::Utils::log_path/next_version.log";
mkdir $tree or die "$tree: $!";
must_run($log, 'cp', '-rp', qw(Makefile pg_fernet.control docs src sql), $tree);
must_run($log, 'cp', "$fixture/example.cpp", "$tree/src/pg/example.cpp");
write_file("$tree/pg_fernet.control",
	edited('pg_fernet.control', [ "'$current'" => "'$next'" ]));


# What each script begins with, and the rest of it.
my $head = slurp("sql/pg_fernet--$current.sql");
$head =~ s/\bDROP FUNCTION fernet_require_library\(text\);\n\K.*//s
  or die "pg_fernet--$current.sql does not ask for the library's version";
$head =~ s/\Q'$current'::pg_catalog.text/'$next'::pg_catalog.text/ or die 'no version';
my $new_objects = slurp("$fixture/new_objects.sql");
my $changes = slurp("$fixture/changes.sql");
my $step_name = "pg_fernet--$current--$next.sql";

write_file("$tree/sql/$step_name", "$head\n$changes\n$new_objects");
write_file(
	"$tree/sql/pg_fernet--$next.sql",
	edited(
		"sql/pg_fernet--$current.sql",
		[ "'$current'::pg_catalog.text" => "'$next'::pg_catalog.text" ],
		[
			"FUNCTION fernet_is_token(token text)\n\tRETURNS boolean\n" =>
			  "FUNCTION fernet_is_token(token text)\n\tRETURNS boolean\n\tCOST 10\n"
		],
		[ 'a new random Fernet key, 44 characters of URL-safe base64' => 'a new key' ],
		[
			'CREATE VIEW fernet_rotation_progress WITH (security_barrier = true)' =>
			  'CREATE VIEW fernet_rotation_progress WITH (security_barrier = false)'
		],
		[
			'running jobs on columns, with share, values per second and time left' =>
			  'the jobs under way'
		],
		[
			"\tPARALLEL RESTRICTED;\n\nCOMMENT ON FUNCTION fernet_ledger_rows()" =>
			  "\tPARALLEL RESTRICTED\n\tROWS 100;\n\nCOMMENT ON FUNCTION fernet_ledger_rows()"
		])
	  . "\n$new_objects");

# Only the files that know the version are compiled again.
foreach my $source (glob "$tree/src/pg/*.cpp $tree/src/pg/*/*.cpp")
{
	unlink $source =~ s/cpp$/o/r if slurp($source) =~ /FERNET_VERSION/;
}
must_run($log, 'make', '-C', $tree, "PG_CONFIG=$pg_config", '-j2', 'install');
must_run($log, 'cp', $library, $new_library);

my $node = PostgreSQL::Test::Cluster->new('upgrade',
	install_path => $pg_config =~ s{/bin/pg_config$}{}r);
$node->init;
$node->append_conf('postgresql.conf', "log_statement = none\n");
$node->start;
# A trusted extension: its owner is no superuser.
session($node, <<'SQL');
CREATE ROLE owner LOGIN;
CREATE DATABASE app OWNER owner;
SQL

# ask runs $sql as the owner of the database. No error is expected.
sub ask
{
	my ($sql, %how) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($out, $err) = session($node, $sql, database => 'app', user => 'owner', %how);
	same($err, '', 'no error') if $err ne '';
	return $out;
}

# attempt runs $sql likewise, and returns its errors.
sub attempt
{
	my ($sql) = @_;
	my ($out, $err) = session($node, $sql, database => 'app', user => 'owner');
	return $err;
}

# catalog_after returns the content of the catalogs after $sql, which begins
# without the extension; or nothing after an error.
my $catalog = slurp("$fixture/catalog.sql");

sub catalog_after
{
	my ($sql) = @_;
	my ($out, $err) = session(
		$node,
		"SET client_min_messages = warning;\n"
		  . "DROP EXTENSION IF EXISTS pg_fernet;\n$sql\n$catalog",
		database => 'app',
		user     => 'owner');
	tell($err) if $err ne '';
	return $err eq '' ? $out : undef;
}

# alike is whether two catalogs are the same, with the lines that are not.
sub alike
{
	my ($got, $expected, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return pass($name) if defined $got && defined $expected && $got eq $expected;
	fail($name);
	my %there = map { $_ => 1 } split /\n/, $expected // '';
	my %here = map { $_ => 1 } split /\n/, $got // '';
	diag("only after the upgrade: $_") foreach grep { !$there{$_} } sort keys %here;
	diag("only when fresh: $_") foreach grep { !$here{$_} } sort keys %there;
	return 0;
}

# ---------------------------------------------------------------------------
# Every chain of steps

my (%fresh, %steps);
foreach my $path (glob "$scripts/pg_fernet--*.sql")
{
	my ($from, $to) = $path =~ m{/pg_fernet--([^-]+)(?:--([^-]+))?\.sql$};
	if (defined $to)
	{
		push @{ $steps{$from} }, $to;
		next;
	}
	$fresh{$from} = catalog_after("CREATE EXTENSION pg_fernet VERSION '$from';");
	like($fresh{$from}, qr/^pg_fernet\|\Q$from\E\|/m, "$from is installed");
	unlike($fresh{$from}, qr/^not described/m, 'and all that is in it is looked at');
}
cmp_ok(keys %fresh, '>=', 2, 'there is a version to come from');
isnt($fresh{$current}, $fresh{$next}, 'and the next one is another');

# walk goes on from the end of @chain by every step there is.
my $chains = 0;

sub walk
{
	my (@chain) = @_;
	my $from = shift @chain;
	if (@chain)
	{
		++$chains;
		alike(
			catalog_after(
				join "\n",
				"CREATE EXTENSION pg_fernet VERSION '$from';",
				map { "ALTER EXTENSION pg_fernet UPDATE TO '$_';" } @chain),
			$fresh{ $chain[-1] },
			join(' to ', $from, @chain) . ' is a fresh ' . $chain[-1]);
	}
	walk($from, @chain, $_) foreach sort @{ $steps{ $chain[-1] // $from } // [] };
	return;
}
walk($_) foreach sort keys %fresh;
cmp_ok($chains, '>=', 1, 'there is a chain of steps');
alike(
	catalog_after(
		"CREATE EXTENSION pg_fernet VERSION '$current'; ALTER EXTENSION pg_fernet UPDATE;"),
	$fresh{$next},
	'UPDATE without a version goes to the newest');

# A step that forgets any one of its statements is noticed.
my @statements = split /(?<=;\n)\n*/, "$changes\n$new_objects";
cmp_ok(@statements, '>', 8, 'the step of the example has statements');
foreach my $forgotten (0 .. $#statements)
{
	my ($words) = $statements[$forgotten] =~ /^(\S.*)/m;
	write_file("$scripts/$step_name",
		$head . join "\n", @statements[ grep { $_ != $forgotten } 0 .. $#statements ]);
	my ($out, $err) = session(
		$node,
		"SET client_min_messages = warning;\nDROP EXTENSION IF EXISTS pg_fernet;\n"
		  . "CREATE EXTENSION pg_fernet VERSION '$current';\nALTER EXTENSION pg_fernet UPDATE;\n$catalog",
		database => 'app',
		user     => 'owner');
	# What needs the thing that is missing fails, all else succeeds.
	ok($err =~ /^ERROR:  42(P01|703|883): / || ($err eq '' && $out ne $fresh{$next}),
		"it is noticed when a step forgets: $words");
}
must_run($log, 'cp', "$tree/sql/$step_name", "$scripts/$step_name");

# ---------------------------------------------------------------------------
# The old script with the new library

my ($first, $second) = (new_key(), new_key());
my $both = "-c fernet.key=$second,$first";
ask(<<"SQL", options => "-c fernet.key=$first");
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS pg_fernet;
CREATE EXTENSION pg_fernet VERSION '$current';
CREATE TABLE secret AS SELECT i, fernet_encrypt('text ' || i) AS token FROM generate_series(1, 100) AS i;
SQL
same(
	ask(<<'SQL', options => $both),
SET client_min_messages = warning;
CALL fernet_rotate_column('secret', 'token');
SELECT count(*) FILTER (WHERE fernet_decrypt(token) = 'text ' || i) FROM secret;
SELECT state, rotated FROM fernet_rotation;
SELECT detail FROM fernet_doctor() WHERE item = 'version' AND status = 'warn';
SQL
	"100|0|0\n100\ndone|100\nThe library is $next and the extension $current.",
	'the old script works with the new library, and fernet_doctor tells');
same(
	ask(<<'SQL', options => $both),
ALTER EXTENSION pg_fernet UPDATE;
SELECT count(*) FILTER (WHERE fernet_decrypt(token) = 'text ' || i) FROM secret;
SELECT state, rotated, note FROM fernet_rotation JOIN fernet_example_notes USING (id);
SELECT status FROM fernet_doctor() WHERE item = 'version';
SQL
	"100\ndone|100|rotate\nok", 'the upgrade leaves tokens and ledger as they are');

# ---------------------------------------------------------------------------
# The old library with the new script

my $older = qr/\AERROR:  55000: the library of pg_fernet is older than its install script
DETAIL:  This session has loaded version \Q$current\E of the library; the script is of version \Q$next\E\.
HINT:  If version \Q$next\E is installed on this server, connect again; /;

install_library($old_library);
ask('DROP EXTENSION pg_fernet');
like(attempt('CREATE EXTENSION pg_fernet'),
	$older, 'CREATE EXTENSION says that the library is older than the script');
is(ask("SELECT count(*) FROM pg_proc WHERE proname LIKE 'fernet%'"),
	'0', 'and leaves nothing behind');
ask("CREATE EXTENSION pg_fernet VERSION '$current'");
like(attempt('ALTER EXTENSION pg_fernet UPDATE'),
	$older, 'so does ALTER EXTENSION');
same(
	ask(<<'SQL', options => $both),
SELECT count(*) FILTER (WHERE fernet_decrypt(token) = 'text ' || i) FROM secret;
SELECT status FROM fernet_doctor() WHERE item = 'version';
SQL
	"100\nok", 'and the extension is what it was');

# The files are replaced while a session is open.
my ($out, $err) = session($node, <<"SQL", database => 'app', user => 'owner');
SELECT length(fernet_generate_key());
\\! cp '$new_library' '$library.new' && mv '$library.new' '$library'
ALTER EXTENSION pg_fernet UPDATE;
SELECT length(fernet_generate_key());
SQL
like($err, $older, 'a session that has the old library says so');
is($out, "44\n44", 'and goes on');
same(
	ask(<<'SQL', options => $both),
ALTER EXTENSION pg_fernet UPDATE;
SELECT extversion FROM pg_extension WHERE extname = 'pg_fernet';
SELECT count(*) FILTER (WHERE fernet_decrypt(token) = 'text ' || i) FROM secret;
SQL
	"$next\n100", 'the next session updates');

# A library of an older version is noticed by every script that asks.
install_library($old_library);
same(
	ask(<<'SQL', options => $both),
SELECT count(*) FILTER (WHERE fernet_decrypt(token) = 'text ' || i) FROM secret;
SELECT detail FROM fernet_doctor() WHERE item = 'version' AND status = 'warn';
SQL
	"100\nThe library is $current and the extension $next.",
	'a library that goes back opens the tokens, and fernet_doctor tells');
$node->stop;
done_testing();
