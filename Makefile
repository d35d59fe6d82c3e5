# Build, install and test with PGXS: nothing but PostgreSQL's server package for
# developers, OpenSSL's, and a compiler. See CONTRIBUTING.md. The program is built
# where libpq has its headers too.
EXTENSION = pg_fernet
# Where this file is: the folder of the build is another one with VPATH.
root := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
# The version in the control file is the source of truth.
EXTVERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" $(root)/pg_fernet.control)

MODULE_big = pg_fernet
sources := $(wildcard $(addprefix $(root)/src/,core/*.cpp pg/*.cpp pg/*/*.cpp))
OBJS = $(patsubst $(root)/%.cpp,%.o,$(sort $(sources)))
client_sources := $(wildcard $(root)/src/client/*.cpp)
client_objects = $(patsubst $(root)/%.cpp,%.o,$(sort $(client_sources)))
# The compiler writes down which headers an object is made of.
dependencies = $(OBJS:.o=.d) $(client_objects:.o=.d)
EXTRA_CLEAN = $(dependencies) $(client_objects) pg_fernet
DATA = $(patsubst $(root)/%,%,$(wildcard $(root)/sql/*--*.sql))

REGRESS = roundtrip tokens keys errors limits nulls settings statement_text transactions \
	privileges rotate rotate_refused rotate_options rotate_tables \
	rotate_indexes rotate_reasons rotate_triggers rotate_owner rotate_value rotate_documents adopt \
	encrypt_trigger derived_keys inspect census find_tokens assert_database recognise on_unknown ledger interop environment search_path encodings \
	upgrade readme docs_encrypt_and_decrypt docs_installation docs_interoperability \
	docs_keys docs_monitoring docs_reference docs_rotation docs_runbook docs_costs docs_functions docs_who_decrypted docs_compliance \
	cookbook_adopt_a_plaintext_column cookbook_backups cookbook_from_pgcrypto \
	cookbook_from_python_to_the_database cookbook_pgbouncer cookbook_postgrest_and_hasura cookbook_tenants \
	rotate_types rotate_table encrypt_trigger_kept encrypt_json dry_run \
	blind_index blind_index_trigger index_column docs_blind_index value_edges
# Some topics hold non-ASCII text; encodings makes databases of its own.
ENCODING = UTF8
ISOLATION = index_column rotate_batch rotate_detached rotate_dropped rotate_isolation \
	rotate_ledger rotate_locked rotate_moved rotate_proof \
	rotate_table rotate_trigger rotate_twice rotate_writer
ISOLATION_OPTS = --inputdir=$(root)/test/isolation
TAP_TESTS = 1
PROVE_TESTS = test/t/*.pl

PG_CONFIG ?= pg_config

# The program, if libpq's headers are there.
libpq_includes := $(shell $(PG_CONFIG) --includedir)
has_libpq := $(wildcard $(libpq_includes)/libpq-fe.h)

# PGDLLEXPORT is empty before PostgreSQL 16, where -fvisibility=hidden would
# then hide even what PostgreSQL looks up.
PG_CPPFLAGS = -I$(root)/src -isystem $(shell $(PG_CONFIG) --includedir-server) \
	-DFERNET_VERSION='"$(EXTVERSION)"' \
	-DPGDLLEXPORT='__attribute__((visibility("default")))'
# The folder of the build must not be in the result: two builds give the same.
PG_CXXFLAGS = -ffile-prefix-map=$(abspath $(root))=. -ffile-prefix-map=$(CURDIR)=. \
	-MMD -MP -std=c++20 -fno-exceptions -fno-rtti -fvisibility=hidden \
	-Wall -Wextra -Wshadow -Wconversion $(if $(WERROR),-Werror) \
	$(if $(SANITIZE),$(SANITIZE_FLAGS))
# SANITIZE=address,undefined is for a server that has the libraries of the
# sanitizers preloaded. An error is reported, and then things go on. What glibc
# checks instead of memcpy and its like, the sanitizers would not see.
SANITIZE_FLAGS = -fsanitize=$(SANITIZE) -fsanitize-recover=all \
	-fno-omit-frame-pointer -Wp,-U_FORTIFY_SOURCE
SHLIB_LINK = -lcrypto

# Bitcode is for inlining functions into queries; ours call OpenSSL.
override with_llvm := no
# A PostgreSQL built with --enable-depend would do the same, in one folder for the
# files of all folders.
override autodepend := no

PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# A prefix that is given to `make install` counts: PGXS knows none before
# PostgreSQL 18, and Debian's of 18 goes by its own folders all the same. Below
# it, files go where PostgreSQL's documentation says.
ifeq ($(origin prefix),command line)
below := $(if $(findstring pgsql,$(prefix))$(findstring postgres,$(prefix)),,/postgresql)
override datadir := $(prefix)/share$(below)
override pkglibdir := $(prefix)/lib$(below)
override bindir := $(prefix)/bin
override mandir := $(prefix)/share/man
endif

ifneq ($(has_libpq),)
# It has the C++ library and exceptions, which the core and the module do without.
$(client_objects): override CXXFLAGS += -fexceptions -frtti
$(client_objects): override CPPFLAGS += -isystem $(libpq_includes)
pg_fernet: $(client_objects) $(filter src/core/%,$(OBJS))
	$(CXX) $(CXXFLAGS) $^ $(LDFLAGS) -L$(shell $(PG_CONFIG) --libdir) -lpq -lcrypto -pthread -o $@

all: pg_fernet

install: install-client
.PHONY: install-client uninstall-client
install-client: pg_fernet
	$(MKDIR_P) '$(DESTDIR)$(bindir)' '$(DESTDIR)$(mandir)/man1'
	$(INSTALL_PROGRAM) pg_fernet '$(DESTDIR)$(bindir)/pg_fernet'
	$(INSTALL_DATA) $(root)/docs/pg_fernet.1 '$(DESTDIR)$(mandir)/man1/pg_fernet.1'

uninstall: uninstall-client
uninstall-client:
	rm -f '$(DESTDIR)$(bindir)/pg_fernet' '$(DESTDIR)$(mandir)/man1/pg_fernet.1'
endif

-include $(dependencies)

# With VPATH, the folders of the objects have to be made.
$(shell mkdir -p $(dir $(OBJS) $(client_objects)))

# What a release consists of, from its tag: the archives, for PGXN and for packagers;
# the bill of materials; and the sums of all, to be signed. See RELEASING.md.
release := pg_fernet-$(EXTVERSION)
tag := v$(EXTVERSION)
.PHONY: dist
dist:
	git archive --format=zip --prefix=$(release)/ --output=$(release).zip $(tag)
	git archive --format=tar.gz --prefix=$(release)/ --output=$(release).tar.gz $(tag)
	$(root)/scripts/sbom --date "$$(git log -1 --format=%cI $(tag))" \
		$(release).zip $(release).tar.gz >$(release).spdx.json
	sha256sum $(release).zip $(release).tar.gz $(release).spdx.json >SHA256SUMS
