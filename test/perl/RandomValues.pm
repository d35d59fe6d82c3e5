# Random values of every type in which tokens can sit, as expressions of SQL: tokens
# at random places, in random layers, among what only looks like one. The
# brackets around an encoding tell where it is, for a test that looks at the result.
package RandomValues;

use strict;
use warnings;

use Exporter 'import';
use JSON::PP;
use MIME::Base64 qw(encode_base64);

our @EXPORT_OK = qw(types_sql use_tokens makers random_of random_text quoted);

my @digits = ('A' .. 'Z', 'a' .. 'z', 0 .. 9, '-', '_');
my @tokens;

# use_tokens adds tokens for the values to come.
sub use_tokens
{
	push @tokens, @_;
	return;
}

# types_sql makes the types that values are of.
sub types_sql
{
	return <<'SQL';
CREATE TYPE textrange AS RANGE (subtype = text, collation = "C");
CREATE DOMAIN short AS text CHECK (length(value) < 100000);
CREATE DOMAIN shorts AS short[] CHECK (array_ndims(value) = 1);
CREATE TYPE connection AS (name text, ratio float8, at timestamptz, config jsonb, tags shorts, nothing text);
SQL
}

sub pick
{
	return $_[ int rand @_ ];
}

sub random_of
{
	my ($length, @characters) = @_;
	return join '', map { pick(@characters) } 1 .. $length;
}

# A piece that holds no token, though it may look like one
sub look_alike
{
	my $kind = int rand 8;
	return 'n gAAAAA' . random_of(int(rand 20), @digits) if $kind == 0;
	return 'x' . random_of(30 + int(rand 150), @digits) if $kind == 1;
	return random_of(2 * int(rand 150), 0 .. 9, 'a' .. 'f') if $kind == 2;
	return encode_base64(random_of(int(rand 150), 'a' .. 'z'), '') if $kind == 3;
	return 'the gAAAAA, gAAAA-' if $kind == 4;
	return pick("\x{e9}t\x{e9}", "\x{65e5}\x{672c}", 'back\\slash', 'quo"te', "it's", 'a,b', '{c}', '(d)', '');
}

# layer puts an encoding around $text. The brackets tell where it is.
sub layer
{
	my ($text, $may_break) = @_;
	utf8::encode($text);
	if (rand() < 0.4)
	{
		my $hex = unpack 'H*', $text;
		$hex = uc $hex if rand() < 0.3;
		return '[hex:' . pick('', '0x', '\\x') . "$hex]";
	}
	my $encoded = encode_base64($text, $may_break && rand() < 0.5 ? pick("\n", "\r\n") : '');
	$encoded =~ tr{+/}{-_} if rand() < 0.5;
	$encoded =~ s/=//g if rand() < 0.5;
	my $junk = int rand 4;
	return "[b64+$junk:" . ('k' x $junk) . "$encoded]";
}

# slot is a token with something around it.
sub slot
{
	my ($may_break) = @_;
	my $text = pick(@tokens);
	$text =~ s/=//g if rand() < 0.2;
	$text = pick('', '', 'v1:', 'Bearer ', 'a_', 'x', '"', '{"k":"', "b'", "\x{feff}") . $text
	  . pick('', '', ' ', '"', '"}', ';', '%3D', '==', "\x{e9}", '/b');
	my $layers = rand() < 0.6 ? 0 : 1 + int rand 3;
	$text = layer($text, $may_break) foreach 1 .. $layers;
	return $text;
}

# random_text is words, tokens and look-alikes. Without $may_break, no line of what is
# encoded ends.
sub random_text
{
	my ($may_break) = @_;
	return slot($may_break) if rand() < 0.2;
	return join ' ', map { rand() < 0.4 ? slot($may_break) : look_alike() } 1 .. 1 + int rand 4;
}

sub json_string
{
	return JSON::PP->new->allow_nonref->encode($_[0]);
}

# document is the text of a JSON document. Its keys differ.
sub document
{
	my ($depth, $may_break) = @_;
	my $kind = int rand($depth > 0 ? 8 : 5);
	return json_string(random_text($may_break)) if $kind < 3;
	return pick('1.00', '-0.5', '12345678901234567890.10', '1e20', 'true', 'false', 'null') if $kind < 5;
	my @items = map { document($depth - 1, $may_break) } 1 .. int rand 5;
	return '[' . join(', ', @items) . ']' if $kind == 5;
	my $n = 0;
	return '{' . join(', ', map { json_string($n++ . (rand() < 0.2 ? slot($may_break) : pick('k', 'name'))) . " : $_" } @items)
	  . '}';
}

sub quoted
{
	my ($text, $type) = @_;
	$text =~ s/'/''/g;
	return "'$text'" . (defined $type ? "::$type" : '');
}

sub list
{
	my ($item) = @_;
	return 'ARRAY[' . join(', ', map { rand() < 0.2 ? 'NULL' : $item->() } 1 .. 1 + int rand 5) . ']';
}

sub escaped
{
	my ($text) = @_;
	my %entities = ('&' => 'amp', '<' => 'lt', '>' => 'gt', '"' => 'quot');
	$text =~ s/([&<>"])/&$entities{$1};/g;
	return $text;
}

# makers returns for each type a function that returns an expression of SQL for a
# random value. %has names what the server has of citext, hstore and xml.
sub makers
{
	my (%has) = @_;
	my %make = (
		'text' => sub { quoted(random_text(1)) },
		'varchar' => sub { quoted(random_text(1)) },
		'short' => sub { quoted(random_text(1)) },
		'bytea' => sub { '\'\xff00\'::bytea || convert_to(' . quoted(random_text(1)) . q{, 'UTF8') || '\x00fe'} },
		'json' => sub { quoted(document(3, 0)) },
		'jsonb' => sub { quoted(document(3, 1)) },
		'text[]' => sub { list(sub { quoted(random_text(1)) }) . '::text[]' },
		'jsonb[]' => sub { list(sub { quoted(document(1, 0)) }) . '::jsonb[]' },
		'connection' => sub {
			return sprintf 'ROW(%s, %s, %s, %s, %s, NULL)::connection',
			  quoted(random_text(1)), rand() - 0.5, 'clock_timestamp()', quoted(document(2, 0), 'jsonb'),
			  list(sub { quoted(random_text(1)) }) . '::shorts';
		},
		'connection[]' => sub {
			return list(sub { sprintf 'ROW(%s, %s, NULL, NULL, NULL, NULL)::connection', quoted(random_text(1)), rand() })
			  . '::connection[]';
		},
		'shorts' => sub { list(sub { quoted(random_text(1)) }) },
		'textrange' => sub { rand() < 0.5 ? 'textrange(' . quoted(random_text(1)) . ', NULL)' : 'textrange(NULL, ' . quoted(random_text(1)) . ')' },
		'textmultirange' => sub { 'textmultirange(textrange(' . quoted(random_text(1)) . ', NULL))' });
	$make{citext} = $make{text} if $has{citext};
	$make{hstore} = sub {
		my @keys = map { quoted($_ . (rand() < 0.2 ? slot(1) : 'k')) } 1 .. 1 + int rand 5;
		my @items = map { rand() < 0.2 ? 'NULL' : quoted(random_text(1)) } @keys;
		return 'hstore(ARRAY[' . join(', ', @keys) . '], ARRAY[' . join(', ', @items) . ']::text[])';
	} if $has{hstore};
	$make{xml} = sub {
		return quoted('<a k="' . escaped(random_text(1) =~ tr/\r\n//dr) . '">' . escaped(random_text(1)) . '<b/></a>');
	} if $has{xml};
	return %make;
}

1;
