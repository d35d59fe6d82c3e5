# shellcheck shell=bash
plant newroom/planted.pl <<'CODE'
use warnings;
my $planted; my $planted;
CODE
plant newroom/planted <<'CODE'
#!/usr/bin/perl
this is no perl
CODE
expect 'newroom/planted.pl: perl -cw says:' 'newroom/planted: perl -cw says:'
must_fail

rm -rf .git
expect 'test/perl/FernetTest.pm is not looked at'
must_fail
