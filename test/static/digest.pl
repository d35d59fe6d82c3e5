#!/usr/bin/perl
# digest.pl RULES BUILD FILE prints a digest of what an analyzer reads for a file of
# the working tree: RULES, the flags that BUILD/compile_commands.json has for it,
# and the text of the file and of all that it includes. No path is part of it, so
# that copies of the tree have the same.

use strict;
use warnings;

use Cwd qw(getcwd);
use Digest::SHA;
use JSON::PP qw(decode_json);
use Text::ParseWords qw(shellwords);

use lib 'test/perl';
use SourceText qw(read_text);

my ($rules, $build, $file) = @ARGV;

# slurp_command returns what a command prints.
sub slurp_command
{
	my (@command) = @_;
	open(my $pipe, '-|', @command) or die "$command[0]: $!\n";
	local $/ = undef;
	my $text = <$pipe>;
	close $pipe or die "$command[0] failed\n";
	return $text;
}

my $path = getcwd() . "/$file";
my $list = decode_json(read_text("$build/compile_commands.json"));
my ($entry) = grep { $_->{file} eq $path } @$list;
die "$build: does not say how to compile $file\n" if !$entry;

my @words = shellwords($entry->{command});
my @ask;
while (defined(my $word = shift @words))
{
	if ($word eq '-o') { shift @words; next; }
	push @ask, $word eq '-c' ? '-M' : $word;
}
# As make wants it: "name.o: file file \", on several lines.
my $rule = slurp_command(@ask);
$rule =~ s/^.*?: //s;
$rule =~ s/\\\n//g;

my $digest = Digest::SHA->new(256);
$digest->add("$rules\n", map { "$_\n" } grep { !m{/} } @ask);
$digest->add(Digest::SHA->new(256)->addfile($_)->digest) foreach shellwords($rule);
print $digest->hexdigest, "\n";
