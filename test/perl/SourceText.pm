# How the checks read C++: without its comments, without its strings, and what it
# includes.
package SourceText;

use strict;
use warnings;

use Exporter 'import';
our @EXPORT_OK = qw(read_text code bare included our_file);

# read_text returns the text of a file.
sub read_text
{
	my ($path) = @_;
	open(my $in, '<', $path) or die "$path: $!\n";
	local $/ = undef;
	return scalar <$in>;
}

# blank returns a text with its comments blanked, and unless $strings is true with
# its strings empty. The lines keep their numbers.
sub blank
{
	my ($text, $strings) = @_;
	$text =~ s{(//[^\n]*|/\*.*?\*/)|("(?:\\.|[^"\\\n])*"|(?<!\w)'(?:\\.|[^'\\\n])*')}{
		my ($comment, $string) = ($1, $2);
		if (defined $comment) { $comment =~ s/[^\n]/ /g; $comment }
		elsif ($strings) { $string }
		else { substr($string, 0, 1) . substr($string, -1) }
	}gsex;
	return $text;
}

# code returns a text without its comments, bare without its strings as well.
sub code { return blank($_[0], 1); }
sub bare { return blank($_[0], 0); }

# included returns what a text includes: a hash for each directive, with its line,
# its name, the sign before the name, and whether it is within an extern "C" block.
# A directive that names no file has no name.
sub included
{
	my ($text) = @_;
	my @found;
	my ($line, $c) = (0, 0);
	foreach (split /\n/, code($text))
	{
		++$line;
		$c = 1 if /^\s*extern\s+"C"\s*\{\s*$/;
		$c = 0 if /^\s*\}/;
		next if !/^\s*#\s*(?:include|include_next|import)\b\s*(?:(["<])([^">]+)[">])?/;
		push @found, { line => $line, sign => $1 // '', name => $2, c => $c };
	}
	return @found;
}

# our_file returns the file of src that $name leads to when $file includes it, or
# nothing if it leads elsewhere.
sub our_file
{
	my ($file, $name) = @_;
	my ($folder) = $file =~ m{^(.*)/};
	foreach my $path ("$folder/$name", "src/$name")
	{
		next if !-f $path;
		1 while $path =~ s{(^|/)(?!\.\./)[^/]+/\.\./}{$1};
		$path =~ s{(^|/)(?:\./)+}{$1}g;
		return $path if $path =~ m{^src/};
	}
	return;
}

1;
