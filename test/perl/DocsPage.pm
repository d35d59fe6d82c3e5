# Runs the blocks of a page of the documentation in their order, each in the
# place that it names, and compares their output with the page.
#
#   ```sql on NAME     a session of psql on that server, the same for all of them
#   ```sql             the same, on the server that is called "default"
#   ```python, ```sh   a program
#   ```python FILE     a file, which is run if the page shows what it prints
#   ```sh FILE         the same
#   ```ini FILE        a file
#   ```text            what the block above it prints, in one piece
#
# An error that the page does not show is a failure.
package DocsPage;

use strict;
use warnings;

use Exporter 'import';
use FernetTest qw(slurp tell);
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More ();

our @EXPORT_OK = qw(blocks_of run_page);

# blocks_of returns the blocks of a page: the line of each, its language, the
# words after it, its body, and the body of the text block that follows.
sub blocks_of
{
	my ($page) = @_;
	my $text = slurp($page);
	die "$page: is empty or missing" if $text eq '';
	my @blocks;
	while ($text =~ /^( *)```(\w*)[ ]*([^\n]*)\n(.*?)^ *```$/msg)
	{
		my ($indent, $language, $words, $body) = ($1, $2, $3, $4);
		my $line = 1 + (substr($text, 0, $-[0]) =~ tr/\n//);
		$body =~ s/^$indent//mg;
		if ($language eq 'text' && @blocks)
		{
			$blocks[-1]{output} = $body;
			next;
		}
		push @blocks,
		  {
			line => $line,
			language => $language,
			words => $words,
			body => $body
		  };
	}
	return @blocks;
}

# trimmed returns a text without the spaces at the ends of its lines.
sub trimmed
{
	my ($text) = @_;
	$text =~ s/[ \t]+$//mg;
	return $text;
}

# printed tests that $actual is what the page shows.
sub printed
{
	my ($block, $actual, $name) = @_;
	my ($claimed, $lines) = map { "\n" . trimmed($_) } $block->{output}, $actual;
	return Test::More::pass($name) if index($lines, $claimed) >= 0;
	Test::More::fail($name);
	tell("the page shows:$claimed");
	tell("it printed:$lines");
	return 0;
}

# start_psql begins a session. The variables are for psql.
sub start_psql
{
	my ($connstr, $variables) = @_;
	my $psql = { in => '', out => '', blocks => 0 };
	my @variables = map { ('-v', "$_=$variables->{$_}") } sort keys %$variables;
	$psql->{run} = IPC::Run::start([ 'psql', '-X', @variables, '-d', $connstr ],
		'<', \$psql->{in}, '>', \$psql->{out}, '2>&1',
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return $psql;
}

# ask_psql runs $sql in a session and returns its output.
sub ask_psql
{
	my ($psql, $sql) = @_;
	my $mark = 'end of block ' . ++$psql->{blocks};
	$psql->{out} = '';
	$psql->{in} .= "$sql\n\\echo $mark\n";
	$psql->{run}->pump until $psql->{out} =~ /^$mark\n/m;
	return $psql->{out} =~ s/^$mark\n.*//msr;
}

# run_page runs a page. %how has
#   servers    the connection string of each server, by name
#   before     called with the name of a server before a block runs on it
#   variables  those of psql
#   env        those of the environment
#   folder     where the files of the page are written and programs are run
sub run_page
{
	my ($page, %how) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my %interpreter = (python => [ 'python3', '-B' ], sh => [ 'bash', '-u' ]);
	my ($folder, %psql) = ($how{folder});
	foreach my $block (blocks_of($page))
	{
		my ($language, $words) = @$block{qw(language words)};
		my $name = "$page, line $block->{line}: $language $words" =~ s/ $//r;
		if ($language eq 'sql')
		{
			my $server = $words =~ /^on (\w+)$/ ? $1 : 'default';
			my $connstr = $how{servers}{$server} // die "$name: no such server";
			$psql{$server} //= start_psql($connstr, $how{variables} // {});
			$how{before}->($server) if defined $how{before};
			my $out = ask_psql($psql{$server}, $block->{body});
			if (defined $block->{output})
			{
				printed($block, $out, $name);
			}
			my $expected = () = ($block->{output} // '') =~ /^ERROR:/mg;
			my $errors = () = $out =~ /^(?:ERROR|FATAL|PANIC):|error:/mg;
			Test::More::is($errors, $expected, "$name: its errors are those of the page")
			  or tell($out);
			next;
		}
		my $file = $words =~ /^[\w.-]+$/ ? $words : "block-$block->{line}";
		PostgreSQL::Test::Utils::append_to_file("$folder/$file", $block->{body});
		my $interpreter = $interpreter{$language} // next;
		chmod 0755, "$folder/$file";
		next if $words ne '' && !defined $block->{output};
		my ($out, $status) = run_program([ @$interpreter, $file ], %how);
		Test::More::is($status, 0, "$name: succeeds") or tell($out);
		printed($block, $out, $name) if defined $block->{output};
	}
	foreach my $psql (values %psql)
	{
		$psql->{in} .= "\\q\n";
		$psql->{run}->finish;
	}
	return;
}

# run_program runs a program in the folder and environment of %how, and returns
# its output and exit status.
sub run_program
{
	my ($command, %how) = @_;
	local %ENV = (%ENV, %{ $how{env} // {} });
	my $out = '';
	IPC::Run::run($command, '<', '/dev/null', '>', \$out, '2>&1',
		init => sub { chdir $how{folder} or die "$how{folder}: $!" },
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return ($out, $? >> 8);
}

1;
