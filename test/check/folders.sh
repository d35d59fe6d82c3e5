#!/bin/bash
# The folders of src lie in one line, test/check/lib/folders: a file includes only
# files of its own folder and of those before it, and no file includes itself by
# way of others. src/pg/module.cpp may include anything of the module. The core
# includes nothing else of ours; a program in src/client includes the core only.
set -euo pipefail
cd -- "$(dirname -- "$0")/../.."
# shellcheck source=test/check/lib/sources.sh
source test/check/lib/sources.sh

server_headers=$("${PG_CONFIG:-pg_config}" --includedir-server)
if [[ ! -e $server_headers/postgres.h ]]; then
  printf '%s: finds no server headers\n' "${PG_CONFIG:-pg_config}"
  printf '  Install postgresql-server-dev-NN, or set PG_CONFIG.\n'
  exit 1
fi
found=0
mapfile -t files < <(sources src)
mapfile -t line < <(line_of_folders)

# What no check finds: C++ by another name. A build leaves objects and their like.
while IFS= read -r file; do
  printf '%s: no check looks at a file of this kind\n' "$file"
  printf '  Call it .cpp or .hpp, or move it out of src.\n'
  found=1
done < <(find src ! -type d ! \( -type f -name '*.[ch]pp' \) \
  ! -name '*.o' ! -name '*.d' ! -name '*.bc' ! -name '*.Po')

perl -Itest/perl -MSourceText=read_text,included,our_file -e '
  use strict;
  use warnings;
  my $server_headers = shift @ARGV;
  my $count = shift @ARGV;
  my @line = splice @ARGV, 0, $count;
  my %place = map { $line[$_] => $_ } 0 .. $#line;
  my (%includes, %seen);
  my $failed = 0;

  sub complain {
    my ($where, $what, $advice) = @_;
    print "$where: $what\n  $advice\n";
    $failed = 1;
  }

  sub folder_of { return $_[0] =~ s{/[^/]*$}{}r; }

  # wrong_way says what is wrong with it that $file includes $target, or nothing.
  sub wrong_way {
    my ($file, $target) = @_;
    my ($from, $to) = (folder_of($file), folder_of($target));
    return if $from eq $to || !defined $place{$to} && $to ne "src/client";
    return if $file eq "src/pg/module.cpp" && $to ne "src/client";
    if ($from eq "src/client" || $to eq "src/client") {
      return if $to eq "src/core";
      return "Programs and module share src/core only";
    }
    return if !defined $place{$from} || $place{$to} < $place{$from};
    return "$from comes before $to in test/check/lib/folders";
  }

  foreach my $file (@ARGV) {
    my $folder = folder_of($file);
    complain($file, "$folder has no place in the line of folders",
      "Move the file to one of them, or add the folder to test/check/lib/folders.")
      if !defined $place{$folder} && $folder ne "src/client" && $file ne "src/pg/module.cpp";
    foreach my $include (included(read_text($file))) {
      my ($number, $name) = @$include{qw(line name)};
      my $where = "$file:$number";
      if (!defined $name) {
        complain($where, "this includes what a macro names, or by another word",
          "Write #include and the name.");
        next;
      }
      my $target = our_file($file, $name);
      if (!defined $target) {
        complain($where, "src/client includes the server\x27s $name",
          "It is a program: it has libpq, and the core.")
          if $folder eq "src/client" && -e "$server_headers/$name";
        next;
      }
      complain($where, "$name is not named from src",
        "Write " . substr($target, 4) . ".") if "src/$name" ne $target;
      complain($where, "includes $name, which is compiled by itself",
        "Declare what is needed of it in a header.") if $name !~ /\.hpp$/;
      push @{ $includes{$file} }, $target;
      my $wrong = wrong_way($file, $target);
      complain($where, "includes $name the wrong way",
        "$wrong. Move what both need to the folder before, or pass it as an argument.")
        if defined $wrong;
    }
  }

  # follow goes along the includes of the last file of @path.
  sub follow {
    my (@path) = @_;
    my $file = $path[-1];
    if ($seen{$file}++) {
      my @circle = @path;
      shift @circle while $circle[0] ne $file;
      complain($file, "is included in a circle", join(" includes ", @circle) . ".")
        if @circle > 1;
      return;
    }
    follow(@path, $_) foreach sort @{ $includes{$file} // [] };
    return;
  }
  follow($_) foreach sort keys %includes;
  exit $failed;' "$server_headers" "${#line[@]}" "${line[@]}" "${files[@]}" || found=1

printf '%s\n' "${files[@]}" | require_all '[ch]pp' src || found=1
exit "$found"
