# The checker of histories, which 100_history asks, finds what it is there for: good
# histories, bad ones, and random ones that a slow search judges, too.
# FERNET_LONG=1 makes 20,000 of these.

use strict;
use warnings FATAL => 'all';

use Cwd            qw(abs_path);
use File::Basename qw(dirname);
use FernetTest     qw(tell);
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

my $self_test = abs_path(dirname(__FILE__) . '/../history/self_test');
my $output = '';
my $ok = IPC::Run::run([ $self_test, $ENV{FERNET_LONG} ? 20000 : 500 ], '<', '/dev/null', '>', \$output, '2>&1');
ok($ok, 'the checker accepts good histories and no bad one') or tell($output);
like($output, qr/^\d+ good histories, \d+ bad ones, \d+ at random, \d+ of them right$/m, 'and it has judged all');
note $output;

done_testing();
