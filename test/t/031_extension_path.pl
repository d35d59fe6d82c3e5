# Installation without root: PostgreSQL 18 finds an extension in a folder of any
# user's by extension_control_path, and its library by dynamic_library_path. The
# commands are those of the documentation: make install with a prefix.

use strict;
use warnings;

use FernetTest    qw(:DEFAULT same session);
use OtherPostgres qw(copy_postgres must_run);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($major) = `pg_config --version` =~ /(\d+)/;
plan skip_all => "PostgreSQL $major has no extension_control_path, which 18 brings"
  if $major < 18;

# A PostgreSQL without the extension, since it would look there first.
my $folder = PostgreSQL::Test::Utils::tempdir();
my $pg_config = copy_postgres('pg_config', "$folder/server");
my $log = "$PostgreSQL::Test::Utils::log_path/make_install.log";
must_run($log, 'mkdir', "$folder/tree");
must_run($log, 'cp', '-rp', qw(Makefile pg_fernet.control docs src sql), "$folder/tree");

my $key = new_key();

# Two prefixes: PostgreSQL adds its name to that which does not hold it.
my %folders = (
	"$folder/extras"            => '/postgresql',
	"$folder/postgresql-extras" => '');
my $number = 0;
foreach my $prefix (sort keys %folders)
{
	my $below = $folders{$prefix};
	must_run($log, 'make', '-C', "$folder/tree", "PG_CONFIG=$pg_config",
		'-j2', 'install', "prefix=$prefix");
	my $node = PostgreSQL::Test::Cluster->new('path' . $number++,
		install_path => $pg_config =~ s{/bin/pg_config$}{}r);
	$node->init;
	$node->start;
	my ($out, $err) = session($node, 'CREATE EXTENSION pg_fernet');
	like($err, qr/^ERROR:  0A000: extension "pg_fernet" is not available/,
		'without the settings there is no extension');
	$node->append_conf('postgresql.conf', <<"CONF");
extension_control_path = '\$system:$prefix/share$below'
dynamic_library_path = '\$libdir:$prefix/lib$below'
session_preload_libraries = 'pg_fernet'
CONF
	$node->restart;
	($out, $err) = session($node, <<'SQL', options => "-c fernet.key=$key");
SHOW fernet.key;
CREATE EXTENSION pg_fernet;
SELECT fernet_decrypt(fernet_encrypt('text'));
SELECT status FROM fernet_doctor() WHERE item = 'version';
SQL
	same($err, '', "with $prefix there is no error");
	is($out, "********\ntext\nok", 'and the extension works, preloaded too');
	$node->stop;
}
done_testing();
