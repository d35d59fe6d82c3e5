# OpenSSL without the algorithms that pg_fernet needs: servers whose
# OPENSSL_CONF removes AES-128-CBC, SHA-256 or HMAC, has only the null provider,
# or asks for FIPS providers where there are none; and sessions in which this is
# set later. Each call that needs a missing algorithm ends with an error of ours
# that says so. The session, other SQL and functions without cryptography
# continue, and nothing is written. A configuration that only adds providers
# changes nothing.

use strict;
use warnings;

use FaultTest;
use FernetTest qw(:DEFAULT same);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $filter = build_library('filter_provider');
my ($old, $new) = (new_key(), new_key());
my $both = "-c fernet.key=$new,$old";

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
session_preload_libraries = 'pg_fernet'
log_statement = none
log_min_messages = log
restart_after_crash = off
CONF
$node->start;
create_fault_functions($node);
my $setup = connect_to($node, options => "-c fernet.key=$old");
value_of($setup, $_)
  foreach 'CREATE EXTENSION pg_fernet',
  'CREATE TABLE secret AS
	SELECT i AS id, fernet_encrypt($$plaintext $$ || i) AS token
	FROM generate_series(1, 20) AS i';
my $token = value_of($setup, 'SELECT token FROM secret WHERE id = 1');
my $before = 
  value_of($setup, 'SELECT sum(hashtextextended(token, id)) FROM secret');
$setup->disconnect;
$node->stop;

# start_with starts the server with the lines of $config as its openssl.cnf, and
# without the algorithms named. Returns whether it accepts connections: a server
# without a random generator cannot.
sub start_with
{
	my ($config, $without) = @_;
	my $file = $node->basedir . '/openssl.cnf';
	unlink $file;
	append_to_file($file, "openssl_conf = init\n[init]\n$config");
	local %ENV = (
		%ENV,
		OPENSSL_CONF => $file,
		FERNET_TEST_WITHOUT => $without // '');
	return $node->start(fail_ok => 1);
}

my $filtered = <<"CONF";
providers = providers
[providers]
filter = filter_section
[filter_section]
module = $filter
activate = 1
CONF
# FIPS providers only, where there are none; only the random generator is
# exempt.
my $fips = <<'CONF';
alg_section = algorithms
random = random
[algorithms]
default_properties = fips=yes
[random]
properties = -fips
seed_properties = -fips
CONF

# The calls that use the key.
my %calls = (
	fernet_encrypt => q(SELECT fernet_encrypt('y')),
	fernet_decrypt => "SELECT fernet_decrypt('$token')",
	fernet_decrypt_bytea => "SELECT fernet_decrypt_bytea('$token')",
	fernet_try_decrypt => "SELECT fernet_try_decrypt('$token')",
	fernet_try_decrypt_bytea => "SELECT fernet_try_decrypt_bytea('$token')",
	fernet_verify => "SELECT fernet_verify('$token')",
	fernet_rotate => "SELECT fernet_rotate('$token')",
	fernet_timestamp => "SELECT fernet_timestamp('$token')",
	fernet_key_index => "SELECT fernet_key_index('$token')",
	fernet_inspect => "SELECT fernet_inspect('$token')",
	fernet_census => q(SELECT fernet_census('secret', 'token')),
	fernet_assert_rotated => q(SELECT fernet_assert_rotated('secret', 'token')),
	fernet_rotate_batch => q(SELECT fernet_rotate_batch('secret', 'token')),
	fernet_rotate_column => q(CALL fernet_rotate_column('secret', 'token')),
	fernet_decrypt_column =>
	  q(CALL fernet_decrypt_column('secret', 'token', true)),
);

# test_missing tests that all these calls fail and that everything else works.
sub test_missing
{
	my ($name, $connection) = @_;
	foreach my $round (1, 2)
	{
		foreach my $call (sort keys %calls)
		{
			my ($state, $value, $message) = outcome($connection, $calls{$call});
			is($state, 'XX000', "$name: $call is an error");
			like(
				$message,
				qr/could not complete the cryptographic operation.*AES-128-CBC and SHA-256/s,
				"$name: $call says what is missing") if $state ne '';
			is(held_after($connection), '', "$name: $call leaves nothing behind");
		}
	}
	is(value_of($connection, "SELECT fernet_is_token('$token')"),
		1, "$name: fernet_is_token works");
	is( value_of(
			$connection, q(SELECT status FROM fernet_doctor() WHERE item = 'openssl')),
		'fail',
		"$name: fernet_doctor says so");
	test_others($name, $connection);
	return;
}

sub test_others
{
	my ($name, $connection) = @_;
	is(value_of($connection, "SELECT set_config('fernet.key', '$new', false)"),
		'********', "$name: a key can be set");
	is( value_of(
			$connection,
			'SELECT sum(hashtextextended(token, id)) FROM secret'),
		$before,
		"$name: other SQL goes on, and nothing was written");
	cmp_ok(value_of($connection, 'SELECT count(*) FROM fernet_doctor()'),
		'>', 10, "$name: fernet_doctor works");
	return;
}

foreach my $case (
	[ 'without AES-128-CBC', $filtered, 'AES-128-CBC' ],
	[ 'without SHA-256', $filtered, 'SHA2-256' ],
	[ 'without both', $filtered, 'AES-128-CBC,SHA2-256' ],
	[ 'with FIPS providers only', $fips ])
{
	my ($name, $config, $without) = @$case;
	ok(start_with($config, $without), "$name: the server starts");
	my $connection = connect_to($node, options => $both);
	test_missing($name, $connection);
	is(value_of($connection, 'SELECT length(fernet_generate_key())'),
		44, "$name: fernet_generate_key works");
	$connection->disconnect;
	$node->stop;
}

# Only fingerprints need HMAC, and no token fails without them.
{
	my $name = 'without HMAC';
	ok(start_with($filtered, 'HMAC'), "$name: the server starts");
	my $connection = connect_to($node, options => $both);
	is(value_of($connection, "SELECT fernet_decrypt('$token')"),
		'plaintext 1', "$name: fernet_decrypt works");
	is(value_of($connection, q(SELECT fernet_decrypt(fernet_encrypt('y')))),
		'y', "$name: fernet_encrypt works");
	is((outcome($connection, 'SELECT fernet_keys()'))[0],
		'XX000', "$name: fernet_keys is an error");
	is( value_of(
			$connection,
			q(SELECT status || key_index FROM fernet_census('secret', 'token'))),
		'secondary2', "$name: fernet_census tells the number of the key");
	is( value_of(
			$connection, "SELECT status || key_index FROM fernet_inspect('$token')"),
		'secondary2', "$name: fernet_inspect tells the number of the key");
	value_of($connection, "SELECT set_config('fernet.key', '$new', false)");
	is((outcome($connection, "SELECT fernet_decrypt('$token')"))[0],
		'PF004', "$name: another key's token is told as ever");
	is(held_after($connection), '', "$name: nothing is left behind");
	test_others($name, $connection);
	$connection->disconnect;
	$node->stop;
}

# Without a random generator PostgreSQL accepts no connection. If another
# version does, the calls must fail.
foreach my $case (
	[ 'on the null provider', <<'CONF' ], [ 'with fips=yes', <<'CONF' ])
providers = providers
[providers]
null = null_section
[null_section]
activate = 1
CONF
alg_section = algorithms
[algorithms]
default_properties = fips=yes
CONF
{
	my ($name, $config) = @$case;
	my $started = start_with($config);
	my $connection = $started && eval { connect_to($node, options => $both) };
	if ($connection)
	{
		is((outcome($connection, $calls{$_}))[0], 'XX000', "$name: $_ is an error")
		  foreach sort keys %calls;
		$connection->disconnect;
	}
	else
	{
		pass("$name: nobody can connect");
	}
	$node->stop('immediate') if $started;
}

# In a session the generator is ready before the algorithms are removed.
ok(start_with(''), 'the server starts');
foreach my $properties ('fips=yes', 'provider=none')
{
	my $connection = connect_to($node, options => $both);
	value_of($connection, 'SELECT fault_openssl_properties(?)', $properties);
	test_missing("with $properties", $connection);
	# The generator of private bytes is made when it is first asked.
	my (undef, $key, $message) =
	  outcome($connection, 'SELECT length(fernet_generate_key())');
	ok(($key // 0) == 44 || $message =~ /could not generate random bytes/,
		"with $properties: fernet_generate_key works, or says why not");
	value_of($connection, 'SELECT fault_openssl_properties(?)', '');
	is(value_of($connection, q(SELECT fernet_decrypt(fernet_encrypt('y')))),
		'y', "with $properties no more, it works in the same session");
	$connection->disconnect;

	# Algorithms that were fetched before stay.
	$connection = connect_to($node, options => $both);
	value_of($connection, q(SELECT fernet_encrypt('y')));
	value_of($connection, 'SELECT fault_openssl_properties(?)', $properties);
	is(value_of($connection, q(SELECT fernet_decrypt(fernet_encrypt('y')))),
		'y', "a session that works when $properties is set goes on");
	$connection->disconnect;
}
$node->stop;

# Configurations that do no harm.
foreach my $case (
	[ 'the filter without a filter', $filtered ],
	[
		'default and legacy', <<'CONF'
providers = providers
[providers]
default = default_section
legacy = legacy_section
[default_section]
activate = 1
[legacy_section]
activate = 1
CONF
	],
	[ 'an empty file', '' ])
{
	my ($name, $config) = @$case;
	ok(start_with($config), "$name: the server starts");
	my $connection = connect_to($node, options => $both);
	is(value_of($connection, "SELECT fernet_decrypt('$token')"),
		'plaintext 1', "$name: fernet_decrypt works");
	is(value_of($connection, q(SELECT fernet_decrypt(fernet_encrypt('y')))),
		'y', "$name: fernet_encrypt works");
	is(value_of($connection, 'SELECT count(fingerprint) FROM fernet_keys()'),
		2, "$name: fernet_keys works");
	is(held_after($connection), '', "$name: nothing is left behind");
	$connection->disconnect;
	$node->stop;
}

no_crash($node);
done_testing();
