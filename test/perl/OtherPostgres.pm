# A second PostgreSQL, a copy of an installed one, for tests that need two
# versions of PostgreSQL or of the extension, or a server without the extension.
package OtherPostgres;

use strict;
use warnings;

use Exporter 'import';
use IPC::Run;
use PostgreSQL::Test::Utils;

our @EXPORT_OK = qw(older_pg_config newer_release copy_postgres install_copy must_run output_of);

sub output_of
{
	my @command = @_;
	my $output = '';
	IPC::Run::run(\@command, '>', \$output, '2>', '/dev/null') or return '';
	chomp $output;
	return $output;
}

# older_pg_config returns the pg_config of a PostgreSQL that is older than the
# version $major and can build extensions: the one that FERNET_OLD_PG_CONFIG
# names, or the oldest of Debian's. Without one, nothing and the reason.
sub older_pg_config
{
	my ($major) = @_;
	my $named = $ENV{FERNET_OLD_PG_CONFIG};
	foreach my $program (
		defined $named
		? $named
		: sort glob '/usr/lib/postgresql/*/bin/pg_config')
	{
		my ($version) = output_of($program, '--version') =~ /(\d+)/;
		next unless defined $version;
		next unless -e output_of($program, '--pgxs');
		next unless -x output_of($program, '--bindir') . '/postgres';
		return $program if $version >= 15 && $version < $major;
	}
	return (undef,
		"needs a PostgreSQL older than $major that can build extensions; "
		  . (defined $named
			? 'FERNET_OLD_PG_CONFIG names none'
			: 'there is none here, see FERNET_OLD_PG_CONFIG in its file'));
}

# The minor versions that came out with 15.0 would have been these.
my %first_minor = (15 => 0, 16 => -4, 17 => -8, 18 => -14);

# newer_release says why pg_upgrade may not take a database of $old to $new, two outputs
# of pg_config --version: an old server of a later release can write what the new one
# does not know yet. Nothing, if it may, or if nobody knows.
sub newer_release
{
	my ($old, $new) = @_;
	my @age;
	foreach my $version ($old, $new)
	{
		my ($major, $minor) = $version =~ /(\d+)\.(\d+)/ or return;
		return unless defined $first_minor{$major};
		push @age, $minor - $first_minor{$major};
	}
	return if $age[0] <= $age[1];
	return "$old was released after $new; needs an older PostgreSQL of the same time";
}

sub must_run
{
	my ($log, @command) = @_;
	IPC::Run::run(\@command, '>>', $log, '2>&1')
	  or die "failed, see $log: @command";
	return;
}

# log_file returns where the commands of this module leave their output.
sub log_file
{
	return "$PostgreSQL::Test::Utils::log_path/other_postgres.log";
}

# copy_postgres makes a copy of the PostgreSQL of $pg_config below $folder,
# without our extension, as scripts/test does for the version under test.
# Returns the path of its pg_config, beside the other programs.
sub copy_postgres
{
	my ($pg_config, $folder) = @_;
	my $log = log_file();
	my $bindir = output_of($pg_config, '--bindir');
	must_run($log, 'mkdir', '-p', "$folder$bindir");
	# Real copies: a link would be resolved to where the program came from.
	must_run($log, 'cp', '-rL', "$bindir/.", "$folder$bindir");
	foreach my $kind (qw(pkglibdir sharedir includedir includedir-server))
	{
		my $from = output_of($pg_config, "--$kind");
		next if !-e $from || -e "$folder$from";
		must_run($log, 'mkdir', '-p', "$folder$from");
		must_run($log, 'cp', '-rs', "$from/.", "$folder$from");
	}
	# Remove an installed version of the extension, so that only the built one
	# is there. A folder on the way to it may have our name.
	must_run($log, 'find', (map { $folder . output_of($pg_config, "--$_") } qw(pkglibdir sharedir)),
		'-mindepth', '1', '-name', 'pg_fernet*', '-prune', '-exec', 'rm', '-rf', '{}', '+');
	return "$folder$bindir/pg_config";
}

# install_copy builds the working tree for the PostgreSQL of $pg_config and
# installs it into a copy of that below $folder. Returns the path of the copy,
# whose programs are in bin.
sub install_copy
{
	my ($pg_config, $folder) = @_;
	my $log = log_file();
	my $copy = copy_postgres($pg_config, $folder);
	must_run($log, 'mkdir', "$folder/tree");
	# Objects that were compiled for the version under test are useless here.
	must_run($log, 'cp', '-r', qw(Makefile pg_fernet.control docs src sql), "$folder/tree");
	must_run($log, 'find', "$folder/tree", '-name', '*.o', '-delete');
	must_run($log, 'make', '-C', "$folder/tree", "PG_CONFIG=$copy", '-j2', 'install');
	return $copy =~ s{/bin/pg_config$}{}r;
}

1;
