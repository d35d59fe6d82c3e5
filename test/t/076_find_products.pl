# In one database with the tables and values of all products of docs/products,
# fernet_find_tokens names every place that their pages name, and no other one.

use strict;
use warnings;

use FernetTest qw(:DEFAULT);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('products');
$node->init;
$node->start;

local %ENV = (
	%ENV, psql_env($node, ''),
	PYTHONDONTWRITEBYTECODE => 1,
	PYTHONUTF8 => 1);
delete $ENV{PGDATABASE};
my ($out, $err) = ('', '');
IPC::Run::run([ '/usr/bin/python3', 'test/products/find_all', 'all_products' ], '>', \$out, '2>', \$err);
is($err, '', 'no error');
like($out, qr/^\d+ places of \d+ products$/, 'every place is found');

$node->stop;
done_testing();
