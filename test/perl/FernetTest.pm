# Code that the TAP tests share: keys, the forms in which a key could appear,
# and a server that shows as much as possible.
package FernetTest;

use strict;
use warnings;

use Exporter 'import';
use File::Find;
use IPC::Run;
use MIME::Base64 qw(encode_base64url decode_base64url encode_base64);
use PostgreSQL::Test::Utils ();
use Test::More ();
use Time::HiRes ();

our @EXPORT = qw(new_key forms_of forms_found_in files_below
  run_bound slurp psql_env);
our @EXPORT_OK = qw(same session server_logs secrets_below new_plaintext
  start_session session_ended finish_session tell wait_until has_ended);

# A shell that runs the tests in the background has them ignore Ctrl-C, and so what
# they start: programs that are to be cancelled could not be.
$SIG{INT} = 'DEFAULT';

# new_key returns a Fernet key, as text, that nobody has used before. Tests look
# for keys in logs and memory, so each must be unique.
sub new_key
{
	open(my $random, '<:raw', '/dev/urandom') or die "urandom: $!";
	read($random, my $bytes, 32) == 32 or die "urandom: short read";
	close $random;
	return encode_base64url($bytes) . '=';
}

# forms_of returns the forms in which $secret could appear, by name. For a
# Fernet key: text, bytes, hexadecimal, and the text byte by byte, as a plan
# tree prints a constant. For any other text: the first 43 bytes.
sub forms_of
{
	my ($secret) = @_;
	my $text = substr($secret, 0, 43);
	my %forms = (
		'text' => $text,
		'bytes of the text' => join(' ', map { ord } split //, substr($text, 0, 24)),
		'hexadecimal of the text' => unpack('H*', substr($text, 0, 24)),
	);
	if ($secret =~ /^[A-Za-z0-9_-]{43}=$/)
	{
		my $raw = decode_base64url($secret);
		(my $standard = $text) =~ tr{-_}{+/};
		$forms{'standard base64'} = $standard if $standard ne $text;
		$forms{'signing half'} = substr($raw, 0, 16);
		$forms{'encryption half'} = substr($raw, 16, 16);
		$forms{'hexadecimal'} = unpack('H*', substr($raw, 0, 16));
		$forms{'hexadecimal of the encryption half'} =
		  unpack('H*', substr($raw, 16, 16));
	}
	return \%forms;
}

# forms_found_in returns the names of the forms of $secret that are in the
# bytes $$haystack, a reference; hexadecimal is found in either case.
sub forms_found_in
{
	my ($secret, $haystack) = @_;
	my $forms = forms_of($secret);
	my @found;
	foreach my $name (sort keys %$forms)
	{
		my $form = $forms->{$name};
		if ($name eq 'bytes of the text')
		{
			# The server breaks the lines of a plan tree, inside of numbers too.
			my $break = '(?:(?:\n|\\\\n)\s*)?';
			my $pattern = join $break, split //, $form;
			push @found, $name if $$haystack =~ /$pattern/;
			next;
		}
		push @found, $name
		  if index($$haystack, $form) >= 0
		  || ($name =~ /^hexadecimal/
			&& index($$haystack, uc $form) >= 0);
	}
	return @found;
}

# slurp returns the bytes of a file, or an empty string if it is gone.
sub slurp
{
	my ($path) = @_;
	open(my $file, '<:raw', $path) or return '';
	local $/;
	my $bytes = <$file>;
	close $file;
	return defined $bytes ? $bytes : '';
}

# files_below returns every plain file below the folders.
sub files_below
{
	my @folders = grep { -e } @_;
	my @files;
	return @files unless @folders;
	find({ no_chdir => 1, wanted => sub { push @files, $_ if -f && !-l } },
		@folders);
	return @files;
}

# psql_env returns the environment that makes a client of $node give $options
# in its startup packet.
sub psql_env
{
	my ($node, $options, $database) = @_;
	return (
		PGHOST => $node->host,
		PGPORT => $node->port,
		PGDATABASE => $database // 'postgres',
		PGOPTIONS => $options // '');
}

# run_bound runs $script, a pgbench script, once with %variables as bind
# parameters of the extended protocol: psql 15 has no \bind. Returns its exit
# status and its output.
sub run_bound
{
	my ($node, $script, $variables, $options, $database) = @_;
	my $file = $node->basedir . '/bound.sql';
	open(my $out, '>', $file) or die "$file: $!";
	print $out $script;
	close $out;
	local %ENV = (%ENV, psql_env($node, $options, $database));
	my @define = map { ('-D', "$_=$variables->{$_}") } sort keys %$variables;
	my $output = '';
	my $ok = IPC::Run::run(
		[ 'pgbench', '-n', '-t', '1', '-M', 'extended', @define, '-f', $file ],
		'>', \$output, '2>&1');
	return ($ok, $output);
}

# new_plaintext returns a text that nobody has used before and that cannot be a
# key, for tests that look for it in files.
sub new_plaintext
{
	return 'plaintext-' . substr(new_key(), 0, 33);
}

# same is Test::More's is(), but when the two differ it prints neither key nor
# token nor plaintext: it cuts out everything that looks like one.
sub same
{
	my ($got, $expected, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return Test::More::pass($name) if defined $got && $got eq $expected;
	Test::More::fail($name);
	foreach my $pair ([ 'got', $got // '(undefined)' ],
		[ 'expected', $expected ])
	{
		my ($which, $text) = @$pair;
		$text =~ s{[A-Za-z0-9_/+=-]{20,}}{<withheld>}g;
		Test::More::diag(sprintf("%10s: %s", $which, substr($text, 0, 2000)));
	}
	return 0;
}

# session runs $sql in a new session, continues after errors, and returns its
# output, and its errors with their SQLSTATEs but without the place in the
# source. %how may name options for the startup packet, a database, a user and a
# connstr in place of $node's.
sub session
{
	my ($node, $sql, %how) = @_;
	local $ENV{PGOPTIONS} = $how{options} // '';
	my $connstr = $how{connstr}
	  // $node->connstr($how{database} // 'postgres');
	$connstr .= " user=$how{user}" if defined $how{user};
	my ($out, $err) = ('', '');
	my $status = $node->psql(
		'postgres', "\\set VERBOSITY verbose\n$sql",
		connstr => $connstr,
		stdout => \$out,
		stderr => \$err,
		on_error_stop => 0);
	$err =~ s/^psql:<stdin>:\d+: //mg;
	$err =~ s/^LOCATION: .*(?:\n|\z)//mg;
	chomp $err;
	return ($out, $err, $status);
}

# tell prints output of a server or a client as a diagnostic; it cuts out
# everything that looks like a key, a token or a plaintext.
sub tell
{
	my ($text) = @_;
	$text =~ s{[A-Za-z0-9_/+=-]{20,}}{<withheld>}g;
	Test::More::diag(substr($text, 0, 2000));
	return;
}

# start_session begins to run $sql as session does, stopping at the first error,
# and does not wait. %how may name options for the startup packet, a database
# and a name for pg_stat_activity. For session_ended and finish_session.
sub start_session
{
	my ($node, $sql, %how) = @_;
	my $session = { sql => "$sql;\n", out => '', err => '' };
	local %ENV = (
		%ENV,
		psql_env($node, $how{options}, $how{database}),
		PGAPPNAME => $how{name} // 'session');
	$session->{run} = IPC::Run::start(
		[
			'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-v', 'ON_ERROR_STOP=1',
			'-f', '-'
		],
		'<', \$session->{sql}, '>', \$session->{out}, '2>', \$session->{err});
	$session->{run}->pump while length $session->{sql};
	return $session;
}

# session_ended says whether the session has ended, without waiting.
sub session_ended
{
	my ($session) = @_;
	$session->{run}->pump_nb if $session->{run}->pumpable;
	return !$session->{run}->pumpable;
}

# wait_until returns when $is_true does, asked again and again, and what it returned
# last: false if that takes longer than any test may.
sub wait_until
{
	my ($is_true) = @_;
	my $end = time() + $PostgreSQL::Test::Utils::timeout_default;
	my $is;
	Time::HiRes::usleep(20_000) until ($is = $is_true->()) || time() > $end;
	return $is;
}

# has_ended waits until a process is gone, and says whether it is. It goes when its
# parent has noticed its end: so the postmaster knows then of a process that was killed.
sub has_ended
{
	my ($pid) = @_;
	return wait_until(sub { !kill(0, $pid) });
}

# finish_session waits for the end and returns the output and the errors, as
# session does.
sub finish_session
{
	my ($session) = @_;
	$session->{run}->finish;
	my $err = $session->{err};
	$err =~ s/^psql:<stdin>:\d+: //mg;
	$err =~ s/^LOCATION: .*(?:\n|\z)//mg;
	chomp(my $out = $session->{out});
	chomp $err;
	return ($out, $err);
}

# server_logs returns a reference to everything that $node has logged, by pg_ctl
# and by the logging collector.
sub server_logs
{
	my ($node) = @_;
	my $logs = join '', map { slurp($_) } $node->logfile,
	  files_below($node->data_dir . '/log');
	return \$logs;
}

# secrets_below looks for each form of each of @$secrets in every file below
# the folders, and returns where it is: "file: form", never a secret.
sub secrets_below
{
	my ($secrets, @folders) = @_;
	my %forms;
	foreach my $secret (@$secrets)
	{
		my $forms = forms_of($secret);
		foreach my $name (keys %$forms)
		{
			$forms{ $forms->{$name} } = $name;
			$forms{ uc $forms->{$name} } = $name if $name =~ /^hexadecimal/;
		}
	}
	my $any = join '|', map { quotemeta } sort keys %forms;
	my @found;
	foreach my $folder (@folders)
	{
		foreach my $path (files_below($folder))
		{
			my $bytes = slurp($path);
			my %here;
			$here{ $forms{$1} } = 1 while $bytes =~ /($any)/g;
			my $name = $path =~ s{^\Q$folder\E/}{}r;
			push @found, map { "$name: $_" } sort keys %here;
		}
	}
	return @found;
}

1;
