# Where may fernet.index_key come from? 002_sources asks that of fernet.key; with
# FERNET_LONG=1, the same test is for this setting. One code serves both.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'takes as long as 002_sources: set FERNET_LONG=1'
  unless $ENV{FERNET_LONG};
$ENV{FERNET_TEST_SETTING} = 'fernet.index_key';
(my $test = __FILE__) =~ s/080_index_key_sources/002_sources/;
defined do "./$test" or die $@ || "$test: $!";
