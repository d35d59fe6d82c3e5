# The program pg_fernet as somebody sees it who sits at a terminal, narrow or wide,
# or reads its output with another program; and what it does about passwords,
# networks, standbys, and databases of many tables. FERNET_LONG=1 makes 2,000.

use strict;
use warnings FATAL => 'all';

use FernetTest qw(:DEFAULT same session);
use IO::Pty;
use IO::Select;
use IPC::Run;
use JSON::PP;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $many = $ENV{FERNET_LONG} ? 2000 : 200;
my ($old, $new) = (new_key(), new_key());
my $long = 'a' x 63;
my $superuser = $ENV{PGUSER} // getpwuid($<);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', <<'CONF');
max_locks_per_transaction = 1000
listen_addresses = '127.0.0.1'
autovacuum = off
CONF
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE small');
session($node, "CREATE EXTENSION pg_fernet; CREATE TABLE t AS SELECT fernet_encrypt('x') AS token", options => "-c fernet.key=$old", database => 'small');
my ($out, $err) = session($node, <<"SQL", options => "-c fernet.key=$old -c client_min_messages=warning");
CREATE EXTENSION pg_fernet;
CREATE SCHEMA $long;
CREATE TABLE held (id integer PRIMARY KEY, token text, filler text);
INSERT INTO held SELECT n, fernet_encrypt('x'), repeat('x', 1000) FROM generate_series(1, 300) AS n;
CREATE TABLE $long.$long AS SELECT token FROM held LIMIT 1;
SELECT format('CREATE TABLE t%s AS SELECT token FROM held LIMIT 2', n) FROM generate_series(1, $many - 2) AS n \\gexec
SQL
same($err, '', 'tables with tokens');
my $tokens = 301 + 2 * ($many - 2);

my %environment = (PGHOST => $node->host, PGPORT => $node->port, PGUSER => $superuser, PGDATABASE => 'postgres', TERM => 'xterm', PGOPTIONS => '-c lock_timeout=10min', PGPASSFILE => '/nowhere');

# client runs the program in a pipe, and returns status, output and errors.
sub client
{
	my ($keys, @arguments) = @_;
	local %ENV = (%ENV, %environment, FERNET_KEY => $keys);
	IPC::Run::run([ 'pg_fernet', @arguments ], '<', \undef, '>', \my $out, '2>', \my $err);
	return ($? >> 8, $out, $err);
}

# at_terminal starts the program on a terminal of that many columns. Its output
# goes to the file, if there is one.
sub at_terminal
{
	my ($columns, $keys, $file, @arguments) = @_;
	my $pty = IO::Pty->new;
	$pty->slave->set_winsize(24, $columns);
	my $pid = fork // die "fork: $!";
	if ($pid == 0)
	{
		$pty->make_slave_controlling_terminal;
		my $slave = $pty->slave;
		close $pty;
		POSIX::dup2($slave->fileno, $_) foreach 0 .. 2;
		open(STDOUT, '>', $file) or die "$file: $!" if defined $file;
		%ENV = (%ENV, %environment, FERNET_KEY => $keys);
		exec 'pg_fernet', @arguments or POSIX::_exit(127);
	}
	$pty->close_slave;
	return { pty => $pty, pid => $pid, seen => '', shown => '', columns => $columns };
}

# sees reads on until the terminal has got what matches, or the program has ended.
# What it has got up to the end of the match is "shown": a read may end in the
# middle of what the program writes next.
sub sees
{
	my ($terminal, $pattern) = @_;
	while (1)
	{
		if (defined $pattern && $terminal->{seen} =~ $pattern)
		{
			$terminal->{shown} = substr($terminal->{seen}, 0, $+[0]);
			return 1;
		}
		my $ready = IO::Select->new($terminal->{pty})->can_read($PostgreSQL::Test::Utils::timeout_default);
		my $count = $ready && sysread($terminal->{pty}, my $bytes, 65536);
		kill 'KILL', $terminal->{pid} if !$ready;
		if (!$count)
		{
			$terminal->{shown} = $terminal->{seen};
			return 1 if !defined $pattern;
			diag('the terminal has got at the end: ' . substr($terminal->{seen} =~ s/[\w=-]{30,}/<withheld>/gr, -2000));
			return 0;
		}
		$terminal->{seen} .= $bytes;
	}
}

# ended reads to the end, and returns the exit status.
sub ended
{
	my ($terminal) = @_;
	sees($terminal);
	waitpid($terminal->{pid}, 0);
	return $? >> 8;
}

# screen is what a terminal shows that has got what sees has found: its lines. A
# line that fills it, and so might wrap, is an error.
sub screen
{
	my ($terminal) = @_;
	my ($row, $column, @lines) = (0, 0, '');
	foreach my $part ($terminal->{shown} =~ /(\e\[\d*[A-Z]|[\r\n]|[^\e\r\n]+)/g)
	{
		if ($part eq "\r") { $column = 0 }
		elsif ($part eq "\n") { $lines[ ++$row ] //= '' }
		elsif ($part =~ /^\e\[(\d+)A$/) { $row -= $1; die 'above the screen' if $row < 0 }
		elsif ($part eq "\e[J") { $#lines = $row; $lines[$row] = substr($lines[$row], 0, $column) }
		elsif ($part =~ /^\e/) { die 'another control sequence' }
		else
		{
			$lines[$row] .= ' ' x ($column - length $lines[$row]) if $column > length $lines[$row];
			substr($lines[$row], $column, length $part) = $part;
			$column += length $part;
		}
	}
	return @lines;
}

# hold has another session lock a row of the table held, so that a job waits. Its
# session is idle: a snapshot would keep the jobs on other tables waiting, too.
my $holder;
sub hold
{
	$holder = $node->background_psql('postgres');
	$holder->query('BEGIN; SELECT 1 FROM held WHERE id = 1 FOR UPDATE;');
	return;
}

sub let_go
{
	$holder->quit;
	return;
}

# ---------------------------------------------------------------------------
# a terminal
# ---------------------------------------------------------------------------

my @keys = ("$new,$old", "$old,$new");
# All but the job that waits is done: its line, that of the other job before it or
# after it, and the line for all.
my $last = qr/[12]  public\.held [^\n]* % +(?:reads again|waits)\r\n(?:2[^\n]*\n)?\[[^\n]* @{[ $many - 1 ]} of $many parts, [^\n]*\n/;
foreach my $columns (80, 200)
{
	hold();
	my $terminal = at_terminal($columns, $keys[0], undef, 'rotate', '-j', 2);
	ok(sees($terminal, qr/\[y\/N\] /), "$columns columns: it asks");
	my $asked = () = $terminal->{seen} =~ /pg_fernet: to rotate: postgres\.\S+\.token\r\n/g;
	is($asked, $many, 'about each column');
	syswrite($terminal->{pty}, "y\n");
	ok(sees($terminal, $last), 'it shows what a job waits for');
	my @lines = grep { $_ ne '' } screen($terminal);
	my $width = $columns - 1;
	my ($waits) = grep { /held/ } @lines[ -3, -2 ];
	like($waits, qr/^[12]  public\.held {10,}  +\d+ %  (?:reads again|waits)$/, 'a line for each job');
	is(length $waits, $width, 'as wide as the terminal');
	like($lines[-1], qr/^\[#{9,40}\.*\] +\d+ %  \d+ rotated, (?:\d+\/s, )?@{[ $many - 1 ]} of $many parts, (?:\d+ min )?\d+ s/, 'a line for all');
	if ($columns == 200)
	{
		like($terminal->{seen}, qr/\Q$long.$long\E: 1 rotated, 0 unchanged, 0 failed\r\n/, 'a long name');
	}
	my @progress = grep { /^(?:[12]  |\[[#.]+\])/ } split /\r?\n|\e\[\d*[A-Z]|\r/, $terminal->{shown};
	is(join('', grep { length > $width } @progress), '', 'no line wraps');
	let_go();
	is(ended($terminal), 0, 'status');
	@lines = screen($terminal);
	is(join("\n", grep { /^(?:[12]  |\[#)/ } @lines), '', 'the progress is gone at the end');
	my @done = grep { /: \d+ rotated, \d+ unchanged, 0 failed$/ } @lines;
	is(scalar @done, $many, 'each table has its line');
	like(join("\n", @lines), qr/\ndatabase postgres: every token in the places that were read is encrypted with the first key\.\n*$/, 'the last words');
	unlike($terminal->{seen}, qr/\Q$_\E/, 'no key is shown') foreach $old, $new;
	@keys = reverse @keys;
}

my $terminal = at_terminal(80, $keys[0], undef, 'rotate');
sees($terminal, qr/\[y\/N\] /);
syswrite($terminal->{pty}, "\n");
is(ended($terminal), 1, 'an answer that is no yes: status');
like($terminal->{seen}, qr/error: nothing was rotated, since you did not say yes/, 'and words');
$terminal = at_terminal(80, $keys[0], undef, 'rotate');
sees($terminal, qr/\[y\/N\] /);
syswrite($terminal->{pty}, "\cC");
is(ended($terminal), 3, 'Ctrl-C as an answer: status');

# ---------------------------------------------------------------------------
# other programs that read
# ---------------------------------------------------------------------------

my $folder = PostgreSQL::Test::Utils::tempdir();
hold();
$terminal = at_terminal(80, $keys[0], "$folder/json", 'rotate', '--yes', '--json', '-j', 2);
ok(sees($terminal, $last), 'JSON to a file, progress on the terminal');
syswrite($terminal->{pty}, "\cC");
is(ended($terminal), 3, 'Ctrl-C: status');
like($terminal->{seen}, qr/error: cancelled\r\n.*The same command goes on from there\./, 'and words');
let_go();
my $document = decode_json(slurp("$folder/json"));
is($document->{exit_status}, 3, 'and the document');
is(scalar(grep { $_->{done} } @{ $document->{databases}[0]{pieces} }), $many - 1, 'with what was done');

my @got = client($keys[0], 'rotate', '--yes', '--json', '-j', 2);
$document = decode_json($got[1]);
is("$got[0] $got[2]", '0 ', 'the same command goes on: status');
ok($document->{databases}[0]{proved}, 'and proves');
my $rotated = 0;
$rotated += $_->{rotated} foreach @{ $document->{databases}[0]{pieces} };
is($rotated, 1, 'what was left');
@got = client($keys[0], 'check', '--json', '-j', 2);
$document = decode_json($got[1]);
is_deeply([ $got[0], $document->{exit_status}, $document->{databases}[0]{primary}, scalar @{ $document->{databases}[0]{places} } ], [ 0, 0, $tokens, $many ], 'the document of check');
@keys = reverse @keys;

@got = client($keys[0], 'rotate', '--yes', '--dry-run');
is($got[0], 0, 'a pipe: status');
unlike("$got[1]$got[2]", qr/\e/, 'no escape sequence');
is(scalar(() = $got[1] =~ /: \d+ to rotate, 0 unchanged, 0 failed\n/g), $many, 'a line for each table');

# ---------------------------------------------------------------------------
# what others do meanwhile
# ---------------------------------------------------------------------------

# The largest table is the first one, so the others are still to do.
hold();
$terminal = at_terminal(80, $keys[0], undef, 'rotate', '--yes');
ok(sees($terminal, qr/public\.held [^\n]* % +(?:reads again|waits)\r\n/), 'a job waits');
$node->safe_psql('postgres', 'DROP TABLE t1');
let_go();
is(ended($terminal), 0, 'a table is dropped: status');
like(join("\n", screen($terminal)), qr/\npg_fernet: public\.t1 was dropped meanwhile\n(?:.*\n)*database postgres: every token /, 'and words');
@keys = reverse @keys;

hold();
$terminal = at_terminal(80, $keys[0], undef, 'rotate', '--yes', '-j', 2);
ok(sees($terminal, qr/public\.held [^\n]* % +(?:reads again|waits)\r\n/), 'a job waits');
$node->restart;
$holder->{run}->kill_kill;
is(ended($terminal), 0, 'the server is restarted: status');
like(join("\n", screen($terminal)), qr/\ndatabase postgres: every token /, 'and words');
@keys = reverse @keys;

# ---------------------------------------------------------------------------
# who may come in
# ---------------------------------------------------------------------------

$node->safe_psql('postgres', "SET password_encryption = 'scram-sha-256'; CREATE ROLE guarded SUPERUSER LOGIN PASSWORD 'open it'; CREATE ROLE stranger LOGIN");
my $hba = slurp($node->data_dir . '/pg_hba.conf');
open(my $file, '>', $node->data_dir . '/pg_hba.conf') or die "pg_hba.conf: $!";
print $file "local all guarded scram-sha-256\nlocal all stranger reject\nhost all all 127.0.0.1/32 trust\n$hba";
close $file;
$node->reload;

$environment{PGDATABASE} = 'small';
my @check = ('check', '-U', 'guarded');
$terminal = at_terminal(80, $old, undef, @check);
ok(sees($terminal, qr/Password: /), 'a password is asked for');
syswrite($terminal->{pty}, "open it\n");
is(ended($terminal), 0, 'and taken: status');
unlike($terminal->{seen}, qr/open it/, 'and not shown');
$terminal = at_terminal(80, $old, undef, @check, '-W', '-j', 3);
ok(sees($terminal, qr/Password: /), '-W: a password is asked for');
syswrite($terminal->{pty}, "open it\n");
is(ended($terminal), 0, 'once for all sessions');
is(scalar(() = $terminal->{seen} =~ /Password/g), 1, 'and not again');
$terminal = at_terminal(80, $old, undef, @check, '-W');
sees($terminal, qr/Password: /);
syswrite($terminal->{pty}, "open\n");
is(ended($terminal), 1, 'a wrong password: status');
like($terminal->{seen}, qr/error: .*password authentication failed for user "guarded"/, 'and words');
@got = client($old, @check, '-w');
is($got[0], 1, '-w: status');
like($got[2], qr/error: .*no password supplied/, 'and words');
{
	local %ENV = (%ENV, %environment, FERNET_KEY => $old);
	IPC::Run::run([ 'setsid', '-w', 'pg_fernet', @check ], '<', \undef, '>', \$out, '2>', \$err);
	is($? >> 8, 1, 'no terminal: status');
	like($err, qr/error: the server asks for a password, and there is no terminal to ask at\n.*hint: Use a password file/, 'and words');
}
append_to_file("$folder/pgpass", "*:*:*:guarded:open it\n");
chmod 0600, "$folder/pgpass";
$environment{PGPASSFILE} = "$folder/pgpass";
@got = client($old, @check, '-j', 2);
is("$got[0] $got[2]", '0 ', 'a password file');
@got = client($old, 'check', '-U', 'stranger');
is($got[0], 1, 'whom the server refuses: status');
like($got[2], qr/error: .*pg_hba\.conf rejects connection for .* user "stranger"/, 'and words');

my @network = ('check', '-d', 'host=127.0.0.1 dbname=small');
@got = client($old, @network);
is($got[0], 1, 'a network without TLS: status');
like($got[2], qr/error: the connection is not encrypted/, 'and words');
$network[2] .= ' sslmode=disable';
@got = client($old, @network);
is("$got[0] $got[2]", '0 ', 'which somebody has asked for');
SKIP:
{
	my $data = $node->data_dir;
	skip 'no openssl program', 1
	  if !eval { IPC::Run::run([ 'openssl', qw(req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost -keyout), "$data/server.key", '-out', "$data/server.crt" ], '>&', \my $words) };
	chmod 0600, "$data/server.key";
	$node->append_conf('postgresql.conf', 'ssl = on');
	$node->reload;
	$network[2] = 'host=127.0.0.1 dbname=small sslmode=require';
	@got = client($old, @network);
	is("$got[0] $got[2]", '0 ', 'a network with TLS');
}

# ---------------------------------------------------------------------------
# a standby
# ---------------------------------------------------------------------------

$node->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->append_conf('postgresql.conf', "listen_addresses = ''\nssl = off");
$standby->start;
@environment{qw(PGHOST PGPORT)} = ($standby->host, $standby->port);
@got = client($old, 'check');
is("$got[0] $got[2]", '0 ', 'check on a standby');
@got = client("$new,$old", 'rotate', '--yes');
is($got[0], 1, 'rotate on a standby: status');
like($got[2], qr/error: the server is a standby, which cannot rotate\n.*hint: Connect to its primary server\./, 'and words');

$standby->stop;
$node->stop;
done_testing();
