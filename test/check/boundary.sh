#!/bin/bash
# The wall between the server's C and our C++, where a compiler does not see it:
# who includes what, no exceptions and no memory of C++, and no message that
# takes a statement along into the log. CONTRIBUTING.md explains each rule.
set -euo pipefail
cd -- "$(dirname -- "$0")/../.."
# shellcheck source=test/check/lib/sources.sh
source test/check/lib/sources.sh

readonly module=${FERNET_MODULE:-pg_fernet.so}
found=0

# complain WHERE WHAT ADVICE
complain() {
  printf '%s: %s\n  %s\n' "$1" "$2" "$3"
  found=1
}

# check_sources holds the rules that the text of a file shows: perl prints the
# complaints.
check_sources() {
  perl -Itest/perl -MSourceText=read_text,bare,included,our_file -e '
    use strict;
    use warnings;
    my $server_headers = shift @ARGV;
    my $failed = 0;

    sub complain {
      my ($file, $line, $what, $advice) = @_;
      print "$file:$line: $what\n  $advice\n";
      $failed = 1;
    }

    # occurrences returns number and text of the lines that match.
    sub occurrences {
      my ($bare, $regex) = @_;
      my $line = 0;
      return grep { $_->[1] =~ $regex } map { [ ++$line, $_ ] } split /\n/, $bare;
    }

    sub check_core_includes {
      my ($file, $text) = @_;
      foreach my $include (included($text)) {
        my ($line, $sign, $name) = @$include{qw(line sign name)};
        next if !defined $name;
        if ($sign eq q(") && $name !~ m{^core/}) {
          complain($file, $line, "the core includes \"$name\"",
            "The core knows nothing but itself: pass what it needs as an argument.");
        } elsif ($sign eq "<" && -e "$server_headers/$name") {
          complain($file, $line, "the core includes the server\x27s <$name>",
            "Move what needs the server to src/pg.");
        }
      }
    }

    sub check_module_includes {
      my ($file, $text) = @_;
      foreach my $include (included($text)) {
        my ($line, $sign, $name, $c) = @$include{qw(line sign name c)};
        next if !defined $name;
        if (our_file($file, $name) || $name =~ m{^(core|pg)/}) {
          complain($file, $line, "\"$name\" is included as C",
            "Move it out of the extern \"C\" block.") if $c;
        } elsif ($sign eq q(") || -e "$server_headers/$name") {
          if (!$c) {
            complain($file, $line, "the server\x27s $name is not included as C",
              "Include it in boundary.hpp, or in an extern \"C\" block of a .cpp file.");
          } elsif ($file =~ /\.hpp$/ && $file !~ m{^src/pg/(server/)?(boundary|compat)\.hpp$}) {
            complain($file, $line, "a header includes the server\x27s $name",
              "Include it in boundary.hpp; in compat.hpp, if not all servers have it.");
          }
        }
      }
    }

    sub check_versions {
      my ($file, $bare) = @_;
      return if $file =~ m{^src/pg/(server/)?compat\.hpp$};
      complain($file, $_->[0], "asks for the version of the server",
        "Give the old server the name of the new one by a shim in compat.hpp.")
        foreach occurrences($bare, qr/\bPG_VERSION_NUM\b|\bPG_MAJORVERSION/);
    }

    sub check_words {
      my ($file, $bare) = @_;
      # Placement new, "new (where) Type", takes no memory.
      my $words = qr/\b(?:throw|try|catch)\b|\bnew\b(?!\s*\((?!\s*std::nothrow))(?!>)/;
      my $types =
        qr/\bstd::(?:string|vector|unique_ptr|shared_ptr|map|deque|list|function)\b/;
      complain($file, $_->[0], "this needs exceptions or the heap:$_->[1]",
        "Return a Status; take spans of the caller; palloc in src/pg only.")
        foreach occurrences($bare, qr/$words|$types/);
    }

    # An ereport logs its statement, with the secrets in it, unless it is told not
    # to.
    sub check_ereports {
      my ($file, $bare) = @_;
      while ($bare =~ /\bereport(?:_domain)?\s*(\((?:[^()]++|(?1))*\))/g) {
        my ($statement, $start) = ($1, $-[0]);
        next if $statement =~ /\bHideStatement\(\)/;
        complain($file, 1 + (substr($bare, 0, $start) =~ tr/\n//),
          "this ereport does not hide its statement", "Add HideStatement() to it.");
      }
    }

    foreach my $file (@ARGV) {
      my $text = read_text($file);
      my $bare = bare($text);
      if ($file =~ m{^src/core/}) {
        check_core_includes($file, $text);
      } else {
        check_module_includes($file, $text);
        check_ereports($file, $bare);
      }
      check_versions($file, $bare);
      check_words($file, $bare);
    }
    exit $failed;' "$server_headers" "$@"
}

check_module() {
  local name
  if [[ ! -e $module ]]; then
    complain "$module" 'there is no built module' 'Run "make" first.'
    return
  fi
  # What only the C++ library could provide: operator new and delete, and all
  # other names of C++; exceptions, and their tables and unwinding.
  while read -r name; do
    complain "$module" "needs $name, of the C++ library" \
      'Look for memory from the heap, exceptions, or a static local variable.'
  done < <(nm -D -u -- "$module" | awk '{ print $NF }' |
    grep -E '^(_Z|__cxa_|__gxx_|_Unwind_)' |
    grep -vE '^__cxa_(finalize|atexit)(@|$)' || true)
  while read -r name; do
    complain "$module" "is linked with $name" \
      'Only libcrypto and libc are: see SHLIB_LINK in the Makefile.'
  done < <(readelf -d -- "$module" |
    sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' |
    grep -vE '^(libcrypto|libc|libm|ld-linux[^/]*)\.so(\.|$)' || true)
}

server_headers=$("${PG_CONFIG:-pg_config}" --includedir-server)
if [[ ! -e $server_headers/postgres.h ]]; then
  complain "${PG_CONFIG:-pg_config}" 'finds no server headers' \
    'Install postgresql-server-dev-NN, or set PG_CONFIG.'
fi
mapfile -t files < <(sources src/core src/pg)
check_sources "${files[@]}" || found=1
printf '%s\n' "${files[@]}" | require_all '[ch]pp' src/core src/pg || found=1
check_module
exit "$found"
