#!/bin/bash
# The wall between the server's C and our C++, where a compiler does not see it:
# who includes what, no exceptions and no memory of C++, and no message that
# takes a statement along into the log. CONTRIBUTING.md explains each rule.
set -euo pipefail
cd -- "$(dirname -- "$0")/../.."

readonly module=${FERNET_MODULE:-pg_fernet.so}
found=0

# complain WHERE WHAT ADVICE
complain() {
  printf '%s: %s\n  %s\n' "$1" "$2" "$3"
  found=1
}

# code FILE prints a file with its comments blanked, bare FILE with its strings
# blanked as well; the lines keep their numbers.
code() { blank keep "$1"; }
bare() { blank drop "$1"; }
blank() {
  perl -0777 -e '
    my ($strings, $file) = @ARGV;
    open(my $in, "<", $file) or die "$file: $!";
    my $text = <$in>;
    $text =~ s{(//[^\n]*|/\*.*?\*/)|("(?:\\.|[^"\\\n])*"|(?<!\w)\x27(?:\\.|[^\x27\\\n])*\x27)}{
      my ($comment, $string) = ($1, $2);
      if (defined $comment) { $comment =~ s/[^\n]/ /g; $comment }
      elsif ($strings eq "keep") { $string }
      else { substr($string, 0, 1) . substr($string, -1) }
    }gsex;
    print $text;' "$1" "$2"
}

# includes FILE prints line number, "c" within an extern "C" block or else "-",
# the sign that opens the name, and the name.
includes() {
  code "$1" | perl -ne '
    $c = 1 if /^\s*extern\s+"C"\s*\{\s*$/;
    $c = 0 if /^\s*\}/;
    print "$. ", $c ? "c" : "-", " $1 $2\n"
      if /^\s*#\s*include\s*(["<])([^">]+)[">]/;'
}

# occurrences FILE REGEX prints the lines of code that match, with numbers.
occurrences() {
  bare "$1" | grep -nP -- "$2" || true
}

check_core_includes() {
  local file line sign name
  for file in src/core/*.[ch]pp; do
    while read -r line _ sign name; do
      if [[ $sign == '"' && $name != core/* ]]; then
        complain "$file:$line" "the core includes \"$name\"" \
          'The core knows nothing but itself: pass what it needs as an argument.'
      elif [[ $sign == '<' && -e $server_headers/$name ]]; then
        complain "$file:$line" "the core includes the server's <$name>" \
          'Move what needs the server to src/pg.'
      fi
    done < <(includes "$file")
  done
}

check_pg_includes() {
  local file line block sign name
  for file in src/pg/*.[ch]pp; do
    while read -r line block sign name; do
      if [[ $sign == '"' && $name =~ ^(core|pg)/ ]]; then
        if [[ $block == c ]]; then
          complain "$file:$line" "\"$name\" is included as C" \
            'Move it out of the extern "C" block.'
        fi
      elif [[ $sign == '"' || -e $server_headers/$name ]]; then
        if [[ $block != c ]]; then
          complain "$file:$line" "the server's $name is not included as C" \
            'Include it in boundary.hpp, or in an extern "C" block of a .cpp file.'
        elif [[ $file != *.cpp && $file != src/pg/@(boundary|compat).hpp ]]; then
          complain "$file:$line" "a header includes the server's $name" \
            'Include it in boundary.hpp; in compat.hpp, if not all servers have it.'
        fi
      fi
    done < <(includes "$file")
  done
}

check_versions() {
  local file line
  for file in src/*/*.[ch]pp; do
    [[ $file != src/pg/compat.hpp ]] || continue
    while IFS=: read -r line _; do
      complain "$file:$line" 'asks for the version of the server' \
        'Give the old server the name of the new one by a shim in compat.hpp.'
    done < <(occurrences "$file" '\bPG_VERSION_NUM\b|\bPG_MAJORVERSION')
  done
}

check_words() {
  local file line text
  # Placement new, "new (where) Type", takes no memory.
  local -r words='\b(throw|try|catch)\b|\bnew\b(?!\s*\((?!\s*std::nothrow))(?!>)'
  local -r types='\bstd::(string|vector|unique_ptr|shared_ptr|map|deque|list|function)\b'
  for file in src/*/*.[ch]pp; do
    while IFS=: read -r line text; do
      complain "$file:$line" "this needs exceptions or the heap:$text" \
        'Return a Status; take spans of the caller; palloc in src/pg only.'
    done < <(occurrences "$file" "$words|$types")
  done
}

# An ereport logs its statement, with the secrets in it, unless it is told not
# to.
check_ereports() {
  local file line
  for file in src/pg/*.[ch]pp; do
    while read -r line; do
      complain "$file:$line" 'this ereport does not hide its statement' \
        'Add HideStatement() to it.'
    done < <(bare "$file" | perl -0777 -ne '
      while (/\bereport(?:_domain)?\s*(\((?:[^()]++|(?1))*\))/g) {
        my ($statement, $start) = ($1, $-[0]);
        next if $statement =~ /\bHideStatement\(\)/;
        print 1 + (substr($_, 0, $start) =~ tr/\n//), "\n";
      }')
  done
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
check_core_includes
check_pg_includes
check_versions
check_words
check_ereports
check_module
exit "$found"
